"""A process that keeps a logbook and kills itself at a given step: before or after one of its changes of the disk.

Usage: python -m tests.logbook.keeper_process TOPOLOGY STEP: the topology has one logbook; STEP 0 is never.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ioc.logbook.keeper import Keeper, Pace
from ioc.logbook.logbooks import KINDS
from ioc.logbook.occasions import due
from ioc.logbook.plot import Plotter
from ioc.rundb import documents
from ioc.rundb.connection import open_for_reading
from ioc.topology.load import load
from tests.epics import eventually


class Small(Plotter):
    """Draws at once."""

    async def draw(self, occasion: Any, page: Any) -> bytes | None:
        return b"\x89PNG small"


class Steps:
    """Counts the changes of the disk, each twice: before and after."""

    def __init__(self, last: int) -> None:
        self._left = last

    def counted(self, do: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self._step()
            result = do(*arguments, **options)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def keep(file: Path, steps: Steps) -> None:
    topology = load(file)
    database = Path(topology.database)
    db = open_for_reading(database)
    runs = documents.last_runs(db, topology.experiment, 9)
    db.close()
    for holder, name in ((os, "fsync"), (os, "write"), (Path, "replace"), (Path, "unlink"), (Path, "write_bytes")):
        setattr(holder, name, steps.counted(getattr(holder, name)))
    [logbook] = topology.logbook
    with ThreadPoolExecutor(1) as threads:
        keeper = Keeper(
            logbook.name,
            KINDS[logbook.kind](logbook, threads),
            folder=file.parent / "spool",
            database=database,
            plotter=Small(database),
            threads=threads,
            report=lambda text, severity: print(severity.name, text, file=sys.stderr),
            pace=Pace(0.1, 0.2, 0.05),
        )
        task = asyncio.create_task(keeper.run())
        for run in runs:
            keeper.consider(due(run))
        await eventually(lambda: not keeper.waiting, 60)
        task.cancel()
        await asyncio.wait([task])


if __name__ == "__main__":
    asyncio.run(keep(Path(sys.argv[1]), Steps(int(sys.argv[2]))))
