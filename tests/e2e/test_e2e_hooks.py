"""Hooks of the installed command: real scripts, EPICS base's tools, the run database, kills."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.plant import Plant, ready_plant
from tests.epics import Epics, eventually
from tests.sshd import SshServer

SCRIPT = """#!/bin/sh
cat >"$1/$ATTPC_HOOK.json"
env | grep ^ATTPC_ >"$1/$ATTPC_HOOK.env"
echo "$ATTPC_HOOK of run $ATTPC_RUN"
for word in $(cat "$1/fail" 2>/dev/null); do [ "$word" = "$ATTPC_HOOK" ] && { echo "no beam" >&2; exit 3; }; done
for word in $(cat "$1/hang" 2>/dev/null); do
  [ "$word" = "$ATTPC_HOOK" ] && { touch "$1/hangs"; trap '' TERM; sleep 987 & while :; do wait; done; }
done
exit 0
"""
POINTS = ("before_start", "after_start", "before_stop", "after_stop", "after_filing", "failed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the script of the hooks is, and what it was told."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    script = folder / "hook"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return folder


def hooks(folder: Path, *points: str, **keys: Any) -> dict[str, Any]:
    """The same program for these occasions."""
    program = (str(folder / "hook"), str(folder))
    return {point: [{"name": "note", "run": list(program), "timeout": 20, **keys}] for point in points or POINTS}


def told(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json") if file.stat().st_size}


def sleeping() -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.cmdline() == ["sleep", "987"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_a_run_with_hooks(epics: Epics, tmp_path: Path, folder: Path) -> None:
    """Every script is told the run, its output is in events; a required one refuses a start with its output."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, hooks=hooks(folder, required=True))) as plant:
        (folder / "fail").write_text("before_start")
        assert not await plant.put("Run:Start")
        reason = "run 0 cannot start: hook note (before_start) failed: exit status 3: before_start of run 0 | no beam"
        assert await plant.text("Run:Message") == reason
        assert plant.query("SELECT count(*) FROM runs") == [(0,)]
        (folder / "fail").write_text("after_stop")
        assert await plant.put("Run:Title", 'dürer\'s "run"', "-S")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        assert await plant.put("Run:Stop"), await plant.text("Run:Message")
        await eventually(lambda: len(told(folder)) == 5)
        about = told(folder)
        assert {each["title"] for each in about.values()} == {'dürer\'s "run"'}
        states = [about[point]["state"] for point in POINTS[:5]]
        assert states == ["starting", "running", "stopping", "filing", "complete"]
        assert about["after_filing"]["bytes"] == sum(plant.graw_files().values()) > 0
        assert about["after_filing"]["duration"] > 0
        assert 'ATTPC_TITLE=dürer\'s "run"\n' in (folder / "after_stop.env").read_text()
        assert await plant.severity("Run:Message") == "MAJOR"
        failed = "hook note (after_stop) failed: exit status 3: after_stop of run 0 | no beam"
        assert failed in await plant.text("Run:Message")
        await eventually(lambda: failed in plant.query("SELECT message FROM runs")[0][0])
        done = (
            "SELECT runs.run_number, events.message FROM events LEFT JOIN runs ON runs.id = run_id WHERE {} ORDER BY 1"
        )
        await eventually(
            lambda: (
                plant.query(done.format("events.message LIKE 'hook note % done%'"))
                == [
                    (None, "hook note (before_start) done: before_start of run 0"),
                    (0, "hook note (after_start) done: after_start of run 0"),
                    (0, "hook note (before_stop) done: before_stop of run 0"),
                    (0, "hook note (after_filing) done: after_filing of run 0"),
                ]
            )
        )


async def test_hooks_that_hang(epics: Epics, tmp_path: Path, folder: Path) -> None:
    """Stop gives up a start that waits; a stop waits no longer than the time-out; nothing of the script is left."""
    sections = hooks(folder, "before_start", timeout=60) | hooks(folder, "before_stop", timeout=1)
    async with ready_plant(Plant(tmp_path, epics, boards=1, hooks=sections)) as plant:
        (folder / "hang").write_text("before_start")
        start = asyncio.create_task(plant.put("Run:Start"))
        await eventually((folder / "hangs").exists)
        before = time.monotonic()
        assert await plant.put("Run:Stop")
        assert not await start
        assert time.monotonic() - before < 3
        assert await plant.text("Run:Message") == "run 0 does not start: Stop requested"
        await eventually(lambda: not sleeping())
        (folder / "hang").write_text("before_stop")
        assert await plant.put("Run:Start")
        await plant.stop_run()
        assert "hook note (before_stop) failed: it did not end within 1 s" in await plant.text("Run:Message")
        assert await plant.severity("Run:Message") == "MINOR"
        await eventually(lambda: not sleeping())
        assert plant.query("SELECT run_number, state FROM runs") == [(0, "complete")]


async def test_kills_while_hooks_hang(epics: Epics, tmp_path: Path, folder: Path) -> None:
    """kill -9 in before_start uses no number; in before_stop the stop goes on later; SIGTERM ends in time."""
    sections = hooks(folder, "before_start", "before_stop", timeout=60)
    async with ready_plant(Plant(tmp_path, epics, boards=1, hooks=sections)) as plant:
        for number in (signal.SIGKILL, signal.SIGTERM):
            (folder / "hang").write_text("before_start")
            await plant.until("Run:CanStart", "Yes")
            start = asyncio.create_task(plant.put("Run:Start", timeout=15))
            await eventually((folder / "hangs").exists)
            before = time.monotonic()
            assert plant.stop(number) == (0 if number == signal.SIGTERM else -number)
            assert time.monotonic() - before < 5
            assert not await start
            await eventually(lambda: not sleeping())
            (folder / "hangs").unlink()
            await plant.start()
        assert plant.query("SELECT count(*) FROM runs") == [(0,)]
        await plant.until("Run:CanStart", "Yes")
        (folder / "hang").write_text("before_stop")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        stop = asyncio.create_task(plant.put("Run:Stop", timeout=15))
        await eventually((folder / "hangs").exists)
        plant.stop(signal.SIGKILL)
        assert not await stop
        await eventually(lambda: not sleeping())
        (folder / "hang").unlink()
        await plant.start()
        await plant.until_closed()
        assert plant.query("SELECT run_number, state FROM runs") == [(0, "complete")]


async def test_a_reload_kills_no_hook(epics: Epics, tmp_path: Path, folder: Path) -> None:
    """An internal restart is refused while a hook runs; what the end of the IOC kills is an event of its run."""
    sections = hooks(folder, "after_filing", timeout=60)
    async with ready_plant(Plant(tmp_path, epics, boards=1, hooks=sections)) as plant:
        (folder / "hang").write_text("after_filing")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        assert await plant.put("Run:Stop"), await plant.text("Run:Message")
        await eventually((folder / "hangs").exists)
        while await plant.get("State") != "Idle":
            assert await plant.put("Reset"), await plant.text("Message")
        plant.write_topology(hooks={})
        assert not await plant.put("IOC:Reload")
        assert "hooks changed, but hook note (after_filing) of run 0 is under way" in await plant.text("Log:Last")
        plant.stop(signal.SIGTERM)
        query = "SELECT runs.run_number, events.message FROM events LEFT JOIN runs ON runs.id = run_id WHERE {}"
        assert plant.query(query.format("events.message LIKE '%IOC stops or restarts'")) == [
            (0, "hook note (after_filing) of run 0 was ended: the IOC stops or restarts")
        ]
        await eventually(lambda: not sleeping())
        await plant.start()


async def test_hooks_over_ssh(epics: Epics, tmp_path: Path, folder: Path) -> None:
    """The same script on a host of the topology, reached by OpenSSH; when sshd is gone, the run goes on."""
    directory = tmp_path / "ssh"
    directory.mkdir()
    with SshServer(directory) as sshd:
        sections = hooks(folder, host="127.0.0.1")
        async with ready_plant(
            Plant(tmp_path, epics, boards=1, hooks=sections, ssh=sshd.settings().model_dump())
        ) as plant:
            assert await plant.put("Run:Start"), await plant.text("Run:Message")
            assert told(folder)["before_start"]["run"] == 0
            sshd.stop()
            await plant.until("Router:rn:Online", "Offline")
            assert not await plant.put("Run:Stop"), "the files cannot be moved"
            assert "hook note (before_stop) failed: " in await plant.text("Run:Message")
            assert await plant.get("ECC:North:State") == "Ready"
            sshd.start()
            await plant.until_closed()
            await eventually(lambda: "after_filing" in told(folder))
