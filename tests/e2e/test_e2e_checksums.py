"""Checksums of runs that were really taken, over SSH: they come by themselves, pause for a run, and are verified."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from tests.e2e.plant import COMMAND, ROUTERS, Plant
from tests.epics import Epics, eventually
from tests.hosts.test_hosts_checksums import LONG, readers
from tests.rundb.rows import execute
from tests.sshd import SshServer

SECONDS = 60.0


async def take_run(plant: Plant) -> None:
    assert await plant.put("Run:Start"), await plant.text("Run:Message")
    await plant.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    await plant.stop_run()


def without_checksum(plant: Plant) -> int:
    return plant.query("SELECT count(*) FROM files WHERE checksum = ''")[0][0]


async def verify(plant: Plant, *arguments: str) -> tuple[int, str]:
    """Call the installed command beside the IOC."""
    words = [str(COMMAND), "runs", "verify", "--topology", str(plant.file), *arguments]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


async def test_files_of_a_run_are_summed_and_verified(tmp_path: Path, epics: Epics) -> None:
    """After filing; a start pauses it at once; after kill -9 it goes on; the PVs and `runs verify` tell."""
    (tmp_path / "ssh").mkdir()
    with SshServer(tmp_path / "ssh") as sshd:
        async with Plant(tmp_path, epics, ssh=sshd.settings().model_dump()) as plant:
            await plant.to_ready()
            await take_run(plant)
            await eventually(lambda: plant.query("SELECT 1 FROM files") and not without_checksum(plant), SECONDS)
            for router in ROUTERS:
                await plant.until(f"Router:{router}:Checksumming", "Idle", SECONDS)
                assert await plant.get(f"Router:{router}:ChecksumLeftMB") == "0"
            code, output = await verify(plant, "--deep")
            assert code == 0, output
            assert "all whole" in output
            # A file that takes long, as if it had been filed with the run.
            path, router = plant.query("SELECT path, router FROM files ORDER BY id")[0]
            os.truncate(path, LONG)
            execute(plant.database, f"UPDATE files SET bytes = {LONG}, checksum = '' WHERE path = '{path}'")
            await plant.until(f"Router:{router}:Checksumming", "Busy", SECONDS)
            await eventually(lambda: readers(os.fsencode(path)), SECONDS)
            assert float(await plant.get(f"Router:{router}:ChecksumLeftMB")) > 200_000
            assert await plant.put("Run:Start"), await plant.text("Run:Message")
            await eventually(lambda: not readers(os.fsencode(path)), SECONDS)
            await plant.until(f"Router:{router}:Checksumming", "Paused", SECONDS)
            await plant.stop_run()
            await eventually(lambda: readers(os.fsencode(path)), SECONDS)
            plant.stop(signal.SIGKILL)
            await eventually(lambda: not readers(os.fsencode(path)), SECONDS)
            await plant.start()
            await eventually(lambda: readers(os.fsencode(path)), SECONDS)
            os.truncate(path, 1000)
            await eventually(lambda: without_checksum(plant) == 1, SECONDS)
            code, output = await verify(plant)
            assert code == 1
            assert f"1000 bytes instead of {LONG}" in output
            plant.stop()
            await eventually(lambda: not readers(os.fsencode(path)), SECONDS)
