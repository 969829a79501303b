"""A run database with filed runs, and the checksums of their files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ioc.archive.checksums import Checksums
from ioc.hosts import MachineHost
from ioc.hosts.transport import shown
from ioc.model import DocumentState, Event, FiledFile, RunClass, RunId, RunState
from ioc.rundb import SqliteRunStore
from ioc.runlogic.state import Run, State
from tests.rundb.rows import rows
from tests.runlogic.installation import topology

AT_REST = State(restored=True)
RUNNING = State(restored=True, run=Run(state=RunState.Running))


async def filed_run(store: SqliteRunStore, *files: FiledFile, complete: bool = True) -> RunId:
    """Enter a run with these files."""
    record = await store.reserve_run("e1", "test", RunClass.Production, "a/b/c")
    if files:
        await store.add_files(record.run, *files)
    if complete:
        now = time.time()
        await store.save_run(replace(record, state=DocumentState.Complete, started_at=now - 1, stopped_at=now))
    return record.run


def filed(host: MachineHost, router: str, path: Path | bytes, size: int | None = None) -> FiledFile:
    """Return a file as filing records it; its size is that of now unless given."""
    place = os.fsencode(path)
    return FiledFile(router, host.name, shown(place), os.stat(place).st_size if size is None else size, time.time())  # noqa: PTH116


def checksums_in(database: Path) -> dict[str, str]:
    """Return the checksums in the database by path."""
    return dict(rows(database, "SELECT path, checksum FROM files"))


class Running:
    """The checksums of some hosts at work, and what they say."""

    def __init__(self, store: SqliteRunStore, hosts: Sequence[MachineHost], **keys: Any) -> None:
        self.events: list[Event] = []
        installation = topology().model_copy(update=keys)
        self.checksums = Checksums(installation, hosts, store, self.events.append, look_seconds=0.05)


@contextlib.asynccontextmanager
async def running(store: SqliteRunStore, *hosts: MachineHost, **keys: Any) -> AsyncGenerator[Running]:
    """Compute checksums, from the moment that the core is restored and at rest."""
    made = Running(store, hosts, **keys)
    made.checksums.show(AT_REST)
    task = asyncio.create_task(made.checksums.run())
    try:
        yield made
        assert not task.done() or keys.get("checksums") == "never"
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
