"""What the tests of safe copies work with: filed runs on real disks, hosts and destinations of each kind."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ioc.archive.copies import Copies
from ioc.hosts import MachineHost
from ioc.hosts.transport import shown
from ioc.model import DocumentState, Event, FiledFile, RunClass, RunId, RunRecord, RunState
from ioc.rundb import SqliteRunStore
from ioc.runlogic.state import Run, State
from ioc.topology.schema import DataRouter, DataSource, Destination, Topology
from tests.epics import eventually
from tests.sshd import SshServer

NAME = b"CoBo0_AsAd0_2026-11-22T12:00:00.000_0000.graw"


def ssh_program(directory: Path, server: SshServer) -> Path:
    """Write a program ``ssh`` that knows the host ``dest``, as a user's ~/.ssh/config would; returns its directory."""
    config = directory / "ssh_config"
    config.write_text(
        f"Host dest\n  HostName {server.address}\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {server.client_key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {server.known_hosts}\n"
    )
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    ssh.chmod(0o755)
    return programs


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Disk:
    """The filed runs of a host: files, and the rows that filing and checksums make."""

    def __init__(self, directory: Path, store: SqliteRunStore, database: Path, host: str) -> None:
        self.directory = directory
        self.store = store
        self.database = database
        self.host = host

    async def run(self, experiment: str = "e1", state: DocumentState = DocumentState.Complete) -> RunId:
        """Make a run that has ended."""
        record = await self.store.reserve_run(experiment, "", RunClass.Testing, "")
        await self.close(record, state)
        return record.run

    async def close(self, record: RunRecord, state: DocumentState = DocumentState.Complete) -> None:
        """End a run."""
        await self.store.save_run(
            record.changed(state=state, started_at=record.reserved_at, stopped_at=record.reserved_at + 1)
        )

    async def file(
        self, run: RunId, content: bytes, name: bytes = NAME, *, router: str = "data0", checksum: str | None = None
    ) -> bytes:
        """File a file of a router, with its checksum unless `checksum` is another text; returns its path."""
        place = os.fsencode(self.directory / router / run.directory)
        os.makedirs(place, exist_ok=True)  # noqa: PTH103 - names are bytes
        path = place + b"/" + name
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(content)
        text = shown(path)
        await self.store.add_files(run, FiledFile(router, self.host, text, len(content), time.time()))
        await self.set_checksum(path, sha256(content) if checksum is None else checksum)
        return path

    async def set_checksum(self, path: bytes, checksum: str) -> None:
        now = await self.store.transaction(lambda db: _set_checksum(db, shown(path), checksum))
        assert now

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read, or change, the database as another program does."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            return connection.execute(query, values).fetchall()

    def copies(self) -> list[tuple[str, str]]:
        """State and message of each copy."""
        return self.sql("SELECT state, message FROM file_copies ORDER BY file_id, destination")


def _set_checksum(db: Any, path: str, checksum: str) -> bool:
    now = "strftime('%Y-%m-%dT%H:%M:%S', 'now') || '.000000Z'"
    done = db.execute(f"UPDATE files SET checksum = ?, checksummed_at = {now} WHERE path = ?", [checksum, path])
    return done.rowcount == 1


class Working:
    """Safe copies at work."""

    def __init__(self, copies: Copies, events: list[Event]) -> None:
        self.copies = copies
        self.events = events

    def run(self, state: RunState, record: RunRecord | None = None) -> None:
        """Let the core be in this state of a run."""
        self.copies.show(State(restored=True, run=Run(state=state, record=record)))

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for a condition."""
        await eventually(condition, seconds)


@contextlib.asynccontextmanager
async def at_work(
    store: SqliteRunStore, hosts: list[MachineHost], *archive: Destination, pauses: tuple[float, float] = (0.2, 1.0)
) -> AsyncGenerator[Working]:
    """Let copies be made; no run is open."""
    events: list[Event] = []
    sources = (
        DataSource(id="CoBo[0]", ecc_server="CoBo0", data_routers=("data0",)),
        DataSource(id="Mutant[master]", ecc_server="MuTAnT", data_routers=("data1",)),
    )
    routers = tuple(DataRouter(name=name, host="h") for name in ("data0", "data1"))
    topology = Topology.model_construct(archive=archive, data_sources=sources, data_routers=routers)
    copies = Copies(topology, store, hosts, events.append, look_seconds=0.2, pauses=pauses)
    working = Working(copies, events)
    working.run(RunState.Stopped)
    task = asyncio.create_task(copies.run())
    try:
        yield working
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


@dataclass
class Bench:
    """A host with its disk, and a place for copies."""

    tmp_path: Path
    store: SqliteRunStore
    disk: Disk
    host: MachineHost

    def destination(self, kind: str, name: str = "safe", there: Path | None = None, **options: object) -> Destination:
        """Return a destination of a kind; without `there`, in the directory ``there``."""
        where = str(there or self.tmp_path / "there")
        places: dict[str, dict[str, str]] = {
            "directory": {"directory": where},
            "ssh": {"ssh": "dest", "directory": where},
            "rclone": {"rclone": f":local:{where}"},
        }
        return Destination.model_validate({"name": name, **places[kind], **options})

    def at_work(
        self, *archive: Destination, pauses: tuple[float, float] = (0.2, 1.0)
    ) -> contextlib.AbstractAsyncContextManager[Working]:
        """Let copies be made; no run is open."""
        return at_work(self.store, [self.host], *archive, pauses=pauses)

    def there(self) -> dict[bytes, bytes]:
        """Content of all files at the destination, by path below it."""
        found: dict[bytes, bytes] = {}
        base = os.fsencode(self.tmp_path / "there")
        for directory, _, names in os.walk(base):
            for name in set(names) - {b".attpc-archive"}:
                path = directory + b"/" + name
                with open(path, "rb") as file:  # noqa: PTH123
                    found[path.removeprefix(base + b"/")] = file.read()
        return found
