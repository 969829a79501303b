"""Run cards of the running IOC: at filing, after an edit by PV, after one by the command line, after a kill."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.plant import COMMAND, Plant
from tests.epics import Epics
from tests.sshd import SshServer


@pytest.fixture(params=["local", "ssh"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, epics: Epics) -> AsyncIterator[Plant]:
    """A plant of either kind, Ready."""
    if request.param == "local":
        async with Plant(tmp_path, epics) as plant:
            await plant.to_ready()
            yield plant
        return
    (tmp_path / "ssh").mkdir()
    with SshServer(tmp_path / "ssh") as sshd:
        async with Plant(tmp_path, epics, ssh=sshd.settings().model_dump()) as plant:
            await plant.to_ready()
            yield plant


def cards(plant: Plant) -> dict[str, Any]:
    """The cards of all routers, by path."""
    return {str(path): json.loads(path.read_text()) for path in plant.directory.rglob("run_*.json")}


async def all_have(plant: Plant, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the cards of all directories with files meet a condition; they are then all the same."""
    deadline = time.monotonic() + 60
    while True:
        places = {path.rpartition("/")[0] for (path,) in plant.query("SELECT path FROM files")}
        found = cards(plant)
        if {path.rpartition("/")[0] for path in found} == places and all(map(condition, found.values())):
            first, *others = found.values()
            assert all(other == first for other in others)
            return first
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def test_a_run_has_its_card_through_edits_and_kills(site: Plant) -> None:
    """Filed, edited by a PV and by `runs edit`, also while the IOC is dead, every directory has the present card."""
    assert await site.put("Run:Title", "first of all", "-S")
    assert await site.put("Run:Start"), await site.text("Run:Message")
    await site.stop_run()
    card = await all_have(site, lambda card: card["state"] == "complete")
    assert card["title"] == "first of all"
    assert {file["path"] for file in card["files"]} == {path for (path,) in site.query("SELECT path FROM files")}
    assert await site.put("Run:Comment", "by a PV", "-S")
    await all_have(site, lambda card: card["comment"] == "by a PV")
    site.stop(signal.SIGKILL)
    edit = ["runs", "edit", "0", "--database", site.directory / "runs.db", "--title", "edited"]
    subprocess.run([COMMAND, *map(str, edit)], check=True, capture_output=True)
    assert {card["title"] for card in cards(site).values()} == {"first of all"}
    await site.start()
    await all_have(site, lambda card: card["title"] == "edited")
