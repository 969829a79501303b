"""Logbook and notifications of the installed command: a run with good services, and with services of every badness."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.plant import Plant, ready_plant
from tests.epics import Epics, eventually
from tests.logbook.olog_stub import PASSWORD, USER, OlogStub
from tests.notify.receiver import Receiver


def sections(olog: OlogStub, receiver: Receiver, folder: Path) -> dict[str, Any]:
    for name, secret in (("password", PASSWORD), ("url", f"json://127.0.0.1:{receiver.port}/?rto=30&cto=30")):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    book = {"name": "ours", "kind": "olog", "url": olog.url, "user": USER, "password": f"file:{folder}/password"}
    return {
        "logbook": [
            {**book, "logbooks": ["Operations"], "tags": ["run"]},
            {"name": "notes", "kind": "markdown", "file": str(folder / "notes.md")},
        ],
        "notifications": {
            "targets": [{"name": "shift", "url": f"file:{folder}/url"}],
            "rules": [{"when": "run_failed"}, {"when": "ioc_restarted"}],
        },
    }


@asynccontextmanager
async def site(epics: Epics, folder: Path, *, fault: str = "") -> AsyncIterator[tuple[Plant, OlogStub, Receiver]]:
    with OlogStub() as olog, Receiver() as receiver:
        olog.always, receiver.fault = fault, fault and "hang"
        plant = Plant(folder, epics, boards=1, **sections(olog, receiver, folder))
        async with ready_plant(plant):
            yield plant, olog, receiver


async def test_a_run_is_in_the_logbooks(epics: Epics, tmp_path: Path) -> None:
    """Start and end of a run, then a kill of the IOC and the end of a second run: each entry once, nobody missed."""
    async with site(epics, tmp_path) as (plant, olog, receiver):
        await eventually(lambda: receiver.messages)
        assert await plant.put("Run:Start"), await plant.text("Run:BlockedBy")
        assert await plant.put("Run:Stop")
        await eventually(lambda: len(olog.entries) == 2)
        assert await plant.put("Run:Start"), await plant.text("Run:BlockedBy")
        assert plant.stop(signal.SIGKILL)
        await plant.start()
        await plant.until("Run:State", "Running")
        assert await plant.put("Run:Stop")
        await eventually(lambda: len(olog.entries) == 4)
        await plant.until("Logbook:State", "Ok")
        await plant.until("Logbook:Waiting", "0")
        assert len(receiver.messages) == 1, "two starts of the IOC within the repeat time are one message"
        titles = ["Run 0 started", "Run 0 ended", "Run 1 started", "Run 1 ended"]
        assert [title.partition(":")[0] for title in olog.titles()] == titles
        source = olog.entries[1]["source"]
        assert "| North | plain | p1 | c1 |" in source
        assert "| pressure |" in source
        assert ".graw" in source
        if olog.files:
            assert all(png.startswith(b"\x89PNG") for png in olog.files.values())
        notes = (tmp_path / "notes.md").read_text()
        assert notes.count("\n## Run ") == 4


@pytest.mark.parametrize("fault", ["hang", "trickle", "garbage", "500"])
async def test_a_run_with_bad_services(epics: Epics, tmp_path: Path, fault: str) -> None:
    """With a logbook and a target that are bad in any way, start, stop and the end of the IOC are as fast as ever."""
    async with site(epics, tmp_path, fault=fault) as (plant, olog, _):
        began = time.monotonic()
        assert await plant.put("Run:Start"), await plant.text("Run:BlockedBy")
        assert await plant.put("Run:Stop")
        assert time.monotonic() - began < 15
        await eventually(lambda: olog.requests)
        spool = plant.database.with_name("runs.db-logbook") / "ours"
        await eventually(lambda: len(list(spool.glob("0*.json"))) == 2)
        notes = tmp_path / "notes.md"  # the other logbook is not affected
        await eventually(lambda: notes.read_text().count("\n## Run ") == 2)
        began = time.monotonic()
        assert plant.stop() == 0
        assert time.monotonic() - began < 4.5
        kept = [json.loads(file.read_text())["title"].partition(":")[0] for file in sorted(spool.glob("0*.json"))]
        assert kept == ["Run 0 started", "Run 0 ended"]
        everything = plant.log.read_text() + "".join(str(row) for row in plant.query("SELECT * FROM events"))
        assert PASSWORD not in everything
        assert "json://" not in everything
        olog.always = ""
        olog.released.set()
        await plant.start()
        await eventually(lambda: len(olog.entries) == 2)
        await plant.until("Logbook:Waiting", "0")
