"""kill -9 at any step of an entry: afterwards every entry is in the logbook, once and whole."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ioc.rundb import SqliteRunStore
from tests.epics import eventually
from tests.logbook.conftest import finished_run
from tests.logbook.olog_stub import PASSWORD, USER, OlogStub
from tests.topology.test_topology_load import GOOD


def write_topology(folder: Path, logbook: dict[str, Any]) -> Path:
    data = yaml.safe_load(GOOD) | {"logbook": [{"name": "book", **logbook}], "database": "runs.db", "experiment": "e1"}
    data.pop("ssh", None)
    (folder / "topology.yaml").write_text(yaml.safe_dump(data))
    (folder / "spool").mkdir()
    (folder / "spool/made.json").write_text(json.dumps({"since": 0, "made": []}))
    return folder / "topology.yaml"


async def keep(topology: Path, step: int) -> int:
    """Run a keeper until it has nothing to do, or has killed itself; its exit code."""
    command = (sys.executable, "-m", "tests.logbook.keeper_process", str(topology), str(step))
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "OLOG_PASSWORD": PASSWORD})
    return await process.wait()


def olog_section(stub: OlogStub) -> dict[str, Any]:
    section = {"kind": "olog", "url": stub.url, "user": USER, "password": "env:OLOG_PASSWORD", "tags": ["run"]}
    return {**section, "logbooks": ["Operations"]}


@pytest.mark.parametrize("kind", ["olog", "markdown"])
@pytest.mark.parametrize("first", [1, 2])
async def test_killed_at_any_step(store: SqliteRunStore, tmp_path: Path, olog: OlogStub, kind: str, first: int) -> None:
    """A process that is killed at a step is followed by one that is killed at a later step, until all is done."""
    section = olog_section(olog) if kind == "olog" else {"kind": "markdown", "file": "book.md"}
    topology = write_topology(tmp_path, section)
    kills = 0
    for run in range(2):
        await finished_run(store, f"title {run}")
    for step in range(first, 24, 2):
        if await keep(topology, step) == 0:
            break
        kills += 1
    else:
        assert await keep(topology, 0) == 0
    assert kills >= 4
    if kind == "olog":
        titles = olog.titles()
    else:
        text = (tmp_path / "book.md").read_text()
        assert text.count("<!-- attpc-ioc ") == text.count("<!-- end of ") == 4
        titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sorted(titles) == sorted(f"Run {n} {what}: title {n}" for n in range(2) for what in ("started", "ended"))
    assert not list((tmp_path / "spool").glob("0*"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_while_the_service_has_it(
    store: SqliteRunStore, tmp_path: Path, olog: OlogStub, when: str
) -> None:
    """Killed when the service has just stored an entry, or is about to: the next process asks, and sends it once."""
    topology = write_topology(tmp_path, olog_section(olog))
    await finished_run(store)
    if when == "before":
        olog.faults.append("hang")
    command = (sys.executable, "-m", "tests.logbook.keeper_process", str(topology), "0")
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "OLOG_PASSWORD": PASSWORD})
    if when == "after":
        olog.stored = lambda: process.send_signal(signal.SIGKILL) if len(olog.entries) == 1 else None
    else:
        await eventually(lambda: any(request.startswith("PUT") for request in olog.requests))
        process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert await keep(topology, 0) == 0
    assert olog.titles() == ["Run 0 started: krypton", "Run 0 ended: krypton"]
