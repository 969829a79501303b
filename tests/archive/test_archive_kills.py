"""kill -9 at every step of copying and purging: nothing is lost, nothing half is taken for whole, and all resumes."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Destination
from tests.archive.conftest import needs_rclone, needs_rsync, needs_s3
from tests.archive.copies_rig import Disk, at_work
from tests.archive.s3 import PART, S3Server
from tests.archive.test_archive_faults import programs
from tests.archive.test_archive_purge import topology_text
from tests.dying import DyingProgram
from tests.epics import eventually
from tests.hosts.rig import Hosts, site
from tests.rundb.rows import rows

CONTENTS = (os.urandom(300_000), os.urandom(200_000))
PARTS = os.urandom(PART + 100_000)
Json = dict[str, Any]
World = dict[str, Any]


@pytest.fixture
def mortal() -> Iterator[DyingProgram]:
    made = DyingProgram("tests.archive.mortal")
    yield made
    made.close()


class Place:
    """A directory with a database, filed files and destinations, which can be laid anew."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "world"
        self.root.mkdir()
        self.template = tmp_path / "template"
        self.programs = tmp_path / "programs"
        self.database = self.root / "runs.db"

    async def make(self, *contents: bytes, archive: tuple[Destination, ...] = ()) -> None:
        """File files, and copy them to `archive`; this is how each try begins."""
        for name in ("there", "there2"):
            (self.root / name).mkdir()
        store = await SqliteRunStore.open(self.database)
        hosts = Hosts(None)
        host = hosts(site("data0"))
        disk = Disk(self.root / "disk", store, self.database, host.name)
        run = await disk.run()
        for number, content in enumerate(contents):
            await disk.file(run, content, b"%d.graw" % number)
        async with at_work(store, [host], *archive) as working:
            wanted = len(archive) * len(contents)
            await working.until(lambda: [state for state, _ in disk.copies()] == ["verified"] * wanted)
        await hosts.close()
        await store.close()
        if archive:
            (self.root / "topology.yaml").write_text(topology_text(self.database, "127.0.0.1", {}, archive))
            disk.sql("UPDATE files SET host = '127.0.0.1', moved_at = '2020-01-02'")
            disk.sql("UPDATE runs SET reserved_at = '2020-01-01', started_at = reserved_at, stopped_at = '2020-01-02'")
        shutil.copytree(self.root, self.template)

    def reset(self) -> None:
        """Begin again."""
        shutil.rmtree(self.root)
        shutil.copytree(self.template, self.root)
        shutil.rmtree(self.programs, ignore_errors=True)

    def files(self, under: str) -> dict[str, bytes]:
        """Content of files by their path below a directory."""
        base = self.root / under
        return {
            str(path.relative_to(base)): path.read_bytes()
            for path in base.rglob("*")
            if path.is_file() and path.name != ".attpc-archive"
        }

    def world(self) -> World:
        """All that counts: files, copies, rows."""
        places = {name: self.files(name) for name in ("disk", "there", "there2")}
        files = rows(self.database, "SELECT path, bytes, checksum, purged_at IS NOT NULL FROM files ORDER BY id")
        copies = rows(
            self.database,
            "SELECT file_id, destination, path, state, message FROM file_copies ORDER BY file_id, destination",
        )
        return {**places, "files": files, "copies": copies}


async def quiet(place: Place) -> None:
    """Wait until what was started on the host has ended."""
    await eventually(lambda: not programs(str(place.root)))


def verified_are_whole(world: World, where: str = "there") -> None:
    """Each row that says verified has a copy with the content of its file."""
    names = {file_id: path.rpartition("/")[2] for file_id, (path, *_) in enumerate(world["files"], 1)}
    for file_id, _, path, state, _ in world["copies"]:
        if state == "verified":
            name = path.partition(f"/{where}/")[2]
            content = CONTENTS[int(names[file_id].removesuffix(".graw"))]
            assert world[where][name] == content


# With the least number of steps; by ssh, only the programs on the host of the router are counted.
COPIES = [
    pytest.param("directory", "process", 10, marks=needs_rsync),
    pytest.param("directory", "programs", 10, marks=needs_rsync),
    pytest.param("ssh", "process", 10, marks=needs_rsync),
    pytest.param("ssh", "programs", 6, marks=needs_rsync),
    pytest.param("rclone", "process", 10, marks=needs_rclone),
    pytest.param("rclone", "programs", 10, marks=needs_rclone),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("destination", "kind", "least"), COPIES)
@pytest.mark.usefixtures("sshd")
async def test_copies(mortal: DyingProgram, tmp_path: Path, destination: str, kind: str, least: int) -> None:
    """After each kill, what is verified (by rsync: what is called as data) is whole; in the end all is as ever."""
    place = Place(tmp_path)
    await place.make(*CONTENTS)
    there = str(place.root / "there")
    places = {
        "directory": {"directory": there},
        "ssh": {"ssh": "dest", "directory": there},
        "rclone": {"rclone": f":local:{there}"},
    }
    archive = [{"name": "safe", "bandwidth_mbps": 16, **places[destination]}]
    job: Json = {"kind": kind, "archive": archive, "database": str(place.database), "programs": str(place.programs)}
    assert await asyncio.to_thread(mortal.do, **(job | {"kind": "process", "step": 0})) == "done"
    undisturbed = place.world()
    assert [state for *_, state, _ in undisturbed["copies"]] == ["verified"] * 2
    assert sorted(undisturbed["there"].values()) == sorted(CONTENTS)
    for step in itertools.count(1):
        place.reset()
        outcome = await asyncio.to_thread(mortal.do, **(job | {"step": step}))
        await quiet(place)
        if outcome == "done":
            assert step > least
            assert place.world() == undisturbed
            return
        assert outcome == "killed"
        left = place.world()
        verified_are_whole(left)
        if destination != "rclone":
            called_data = {name: content for name, content in left["there"].items() if name.endswith(".graw")}
            assert called_data.items() <= undisturbed["there"].items()
        assert left["disk"] == undisturbed["disk"]
        assert await asyncio.to_thread(mortal.do, **(job | {"kind": "process", "step": 0})) == "done"
        assert place.world() == undisturbed, f"killed at step {step}"


@pytest.mark.timeout(900)
@needs_s3
async def test_copies_to_s3(s3: S3Server, mortal: DyingProgram, tmp_path: Path) -> None:
    """After each kill, an object is whole or not there; in the end each is there, and what was whole was sent once."""
    place = Place(tmp_path)
    await place.make(b"first", PARTS)
    names = ["e1/run_0000/data0/0.graw", "e1/run_0000/data0/1.graw"]
    whole = dict(zip(names, (b"first", PARTS), strict=True))
    for step in itertools.count(1):
        place.reset()
        bucket = f"bucket{step}"
        s3.make_bucket(bucket)
        archive = [{"name": "tape", "bandwidth_mbps": 80, "rclone": f"s3:{bucket}"}]
        job: Json = {"archive": archive, "database": str(place.database), "programs": str(place.programs)}
        job["kind"] = "programs"
        outcome = await asyncio.to_thread(mortal.do, **(job | {"step": step}))
        await quiet(place)
        assert s3.objects(bucket).items() <= whole.items()
        if outcome == "done":
            assert step > 10
            return
        assert outcome == "killed"
        query = "SELECT file_id FROM file_copies WHERE state IN ('copied', 'verified')"
        copied = [names[int(file_id) - 1] for (file_id,) in rows(place.database, query)]
        sent = {name: s3.times_sent(name, bucket) for name in copied}
        assert await asyncio.to_thread(mortal.do, **(job | {"kind": "process", "step": 0})) == "done"
        assert [row[3:] for row in place.world()["copies"]] == [("verified", "")] * 2
        assert s3.objects(bucket) == whole
        assert {name: s3.times_sent(name, bucket) for name in sent} == sent


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["process", "programs"])
@needs_rsync
async def test_purge(mortal: DyingProgram, tmp_path: Path, kind: str) -> None:
    """After each kill, what is gone has its copies; the next call ends with the same files and rows as one alone."""
    place = Place(tmp_path)
    archive = tuple(Destination(name=name, directory=str(place.root / name)) for name in ("there", "there2"))
    await place.make(*CONTENTS, archive=archive)
    words = ["--copies", "2", "--older-than", "30d", "--yes", "--deep"]
    words = ["runs", "purge", "--topology", str(place.root / "topology.yaml"), *words]
    job: Json = {"kind": kind, "purge": words, "programs": str(place.programs)}
    before = place.world()
    assert await asyncio.to_thread(mortal.do, **(job | {"kind": "process", "step": 0})) == "done"
    undisturbed = place.world()
    assert undisturbed["disk"] == {}
    assert [purged for *_, purged in undisturbed["files"]] == [1, 1]
    for step in itertools.count(1):
        place.reset()
        outcome = await asyncio.to_thread(mortal.do, **(job | {"step": step}))
        await quiet(place)
        left = place.world()
        assert (left["there"], left["there2"]) == (before["there"], before["there2"])
        marked = {path for path, *_, purged in left["files"] if purged}
        assert not any(Path(path).exists() for path in marked)
        if outcome == "done":
            assert step > 5
            assert left == undisturbed
            return
        assert outcome == "killed"
        assert await asyncio.to_thread(mortal.do, **(job | {"kind": "process", "step": 0})) == "done"
        assert place.world() == undisturbed, f"killed at step {step}"
        events = rows(place.database, "SELECT message FROM events WHERE source = 'runs purge'")
        assert sum(int(message.partition(": ")[2].split()[0]) for (message,) in events) == len(CONTENTS)
