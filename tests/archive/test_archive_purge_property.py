"""No sequence of harm and purges removes a file that has fewer good copies than asked."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioc.archive.purge import Purger
from ioc.hosts import MachineHost
from ioc.model import Client
from ioc.rundb import SqliteRunStore
from ioc.rundb.connection import open_for_reading
from ioc.rundb.copies import old_files, save_copied, save_failed, save_verified
from ioc.topology.schema import Destination
from tests.archive.copies_rig import Disk, sha256
from tests.hosts.rig import Hosts, site
from tests.rundb.rows import execute, rows

FILES, PLACES = 3, 3
HARM = ("lose", "shorten", "flip", "link", "failed", "copied", "checksum", "touch", "grow", "restore", "twin")
Step = tuple[str, int, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(HARM), st.integers(0, FILES - 1), st.integers(0, PLACES - 1)),
        st.tuples(st.sampled_from(("purge", "deep")), st.integers(1, PLACES), st.just(0)),
    ),
    min_size=1,
    max_size=8,
)


class World:
    """Three files with three verified copies each."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.database = base / "runs.db"
        self.archive = [Destination(name=f"d{n}", directory=str(base / f"d{n}")) for n in range(PLACES)]
        self.sources = [base / "disk" / "data0" / "e1" / "run_0000" / f"{n}.graw" for n in range(FILES)]
        self.contents = [b"content %d" % n for n in range(FILES)]

    def copy(self, file: int, place: int) -> Path:
        return self.base / f"d{place}" / "e1" / "run_0000" / "data0" / f"{file}.graw"

    async def make(self) -> SqliteRunStore:
        """Write all files and rows."""
        store = await SqliteRunStore.open(self.database)
        disk = Disk(self.base / "disk", store, self.database, "localhost")
        run = await disk.run()
        for n, content in enumerate(self.contents):
            await disk.file(run, content, b"%d.graw" % n)
            for place in range(PLACES):
                await self.set_state(store, n, place, "verified")
                self.restore(n, place)
        disk.sql(
            "UPDATE files SET checksummed_at = '2100-01-01T00:00:00.000000Z'"
        )  # the tests are faster than a second
        disk.sql("UPDATE file_copies SET verified_at = '2100-01-02T00:00:00.000000Z'")
        return store

    def restore(self, file: int, place: int) -> None:
        copy = self.copy(file, place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        copy.write_bytes(self.contents[file])

    async def set_state(self, store: SqliteRunStore, file: int, place: int, state: str) -> None:
        path, name, key = str(self.copy(file, place)), f"d{place}", file + 1
        if state == "verified":
            await store.transaction(lambda db: save_verified(db, key, name, path, sha256(self.contents[file])))
        elif state == "copied":
            await store.transaction(lambda db: save_copied(db, key, name, path))
        else:
            await store.transaction(lambda db: save_failed(db, key, name, path, "it failed"))

    async def harm(self, store: SqliteRunStore, what: str, file: int, place: int) -> None:
        """Do one thing that may happen to a copy or a file."""
        copy, source = self.copy(file, place), self.sources[file]
        if what == "restore":
            self.restore(file, place)
        elif what in {"failed", "copied"}:
            await self.set_state(store, file, place, what)
        elif what == "checksum":
            execute(
                self.database,
                f"UPDATE files SET checksummed_at = '2100-01-03T00:00:00.000000Z' WHERE id = {file + 1}",
            )
        elif what in {"touch", "grow"}:
            if source.exists():
                source.write_bytes(self.contents[file] + (b"x" if what == "grow" else b""))
                os.utime(source, (2**33, 2**33))
        elif copy.is_file() and not copy.is_symlink():
            content = copy.read_bytes()
            copy.unlink()
            if what == "shorten":
                copy.write_bytes(content[:-1])
            elif what == "flip":
                copy.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            elif what == "link":
                copy.symlink_to(source)
            elif what == "twin":
                twin = self.copy(file, (place + 1) % PLACES)
                if twin.is_file():
                    copy.hardlink_to(twin)

    def good(self, file: int, *, deep: bool) -> int:
        """Count different files that are copies as good as they can be seen to be."""
        found: set[int] = set()
        for place in range(PLACES):
            copy = self.copy(file, place)
            if copy.is_symlink() or not copy.is_file():
                continue
            content = copy.read_bytes()
            if content == self.contents[file] or (not deep and len(content) == len(self.contents[file])):
                found.add(copy.stat().st_ino)
        return len(found)


async def sequence(base: Path, todo: list[Step]) -> None:
    world, hosts = World(base), Hosts(None)
    store = await world.make()
    try:
        for what, first, second in todo:
            if what in HARM:
                await world.harm(store, what, first, second)
            else:
                await asyncio.to_thread(purge, world, hosts(site("data0")), first, deep=what == "deep")
    finally:
        await hosts.close()
        await store.close()


def purge(world: World, host: MachineHost, wanted: int, *, deep: bool) -> None:
    """Purge, and compare what is gone with what was there."""
    before = [source.exists() for source in world.sources]
    good = [world.good(file, deep=deep) for file in range(FILES)]
    verified = dict(
        rows(
            world.database,
            "SELECT file_id, count(*) FROM file_copies JOIN files ON id = file_id "
            "WHERE state = 'verified' AND verified_at >= checksummed_at GROUP BY file_id",
        )
    )
    purger = Purger([host], world.archive, wanted, deep=deep)
    with closing(open_for_reading(world.database)) as db:
        files = old_files(db, "e1", time.time() + 1e6, ())
    plan = purger.plan(files)
    purger.mark_lost(plan, world.database)
    list(purger.carry_out(plan, world.database, Client("somebody", "here")))
    marked = {number for (number,) in rows(world.database, "SELECT id FROM files WHERE purged_at IS NOT NULL")}
    for file, source in enumerate(world.sources):
        if before[file] and not source.exists():
            assert good[file] >= wanted
            assert verified.get(file + 1, 0) >= wanted
            assert file + 1 in marked
        assert not (file + 1 in marked and source.exists())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_no_file_without_enough_good_copies_is_removed(todo: list[Step]) -> None:
    """Whatever happens to copies, files and rows, in whatever order."""
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(sequence(Path(base), todo))
