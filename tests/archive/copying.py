"""A process that makes safe copies and kills itself at a step: around a transaction or the start of a program.

Usage: python -m tests.archive.copying DATABASE DIRECTORY STEP: copies go to DIRECTORY; STEP 0 is never. The exit code
is 0 when everything is verified.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ioc.hosts.local import LocalTransport
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Destination
from tests.archive.copies_rig import at_work
from tests.hosts.rig import Hosts, site
from tests.rundb.rows import rows


class Steps:
    """Counts steps, and kills this process at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class CountedStore(SqliteRunStore):
    """Counts transactions that change something, each twice: before and after."""

    steps: Steps

    async def transaction(self, function: Any, *, behind_rows: bool = False) -> Any:
        def counted(db: Any) -> Any:
            before = db.conn.total_changes
            result = function(db)
            if db.conn.total_changes != before:
                self.steps.step()
                changed.append(True)
            return result

        changed: list[bool] = []
        result = await super().transaction(counted, behind_rows=behind_rows)
        if changed:
            self.steps.step()
        return result


class CountedTransport(LocalTransport):
    """Counts starts of programs, each twice, and each piece of their output."""

    steps: Steps

    def start(self, script: str, arguments: Any) -> Any:
        self.steps.step()
        program = super().start(script, arguments)
        self.steps.step()
        return program


async def main(database: Path, directory: str, step: int) -> None:
    store = CountedStore(database)
    store.steps = steps = Steps(step)
    await store.start()

    def counted(_: object) -> CountedTransport:
        transport = CountedTransport()
        transport.steps = steps
        return transport

    hosts = Hosts(None)
    host = hosts(site("data0"), wrap=counted)
    archive = Destination(name="safe", directory=directory, bandwidth_mbps=80)
    left = "SELECT count(*) FROM files LEFT JOIN file_copies ON file_id = id WHERE coalesce(state, '') <> 'verified'"
    async with at_work(store, [host], archive) as working:
        await working.until(lambda: rows(database, left) == [(0,)])
    await hosts.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
