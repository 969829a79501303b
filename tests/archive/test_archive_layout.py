"""Copies in the layout of the merger: what is at the destination can be merged, at any moment."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from ioc.hosts.transport import from_shown
from ioc.model import ArchiveState, RunId, RunState
from ioc.sim.frames import Board
from tests.archive.conftest import KINDS, needs_rclone
from tests.archive.copies_rig import NAME, Bench, Disk
from tests.merger import COBOS, files_of, merge

STAMP = "2026-11-27T09:17:39.123"
DIRECTORIES = {*(f"mm{cobo}" for cobo in COBOS), "data1"}


async def take_run(bench: Bench, events: int = 3) -> tuple[RunId, int]:
    """File a run of CoBo 0, in two files for each AsAd, and of a MuTAnT; returns the number of its frames."""
    run = await bench.disk.run()
    frames = [Board("CoBo[0]", 4).event(number) for number in range(2 * events)]
    for part, asad in itertools.product(range(2), range(4)):
        own = (frame[512 * asad : 512 * (asad + 1)] for frame in frames[part * events : (part + 1) * events])
        name = f"CoBo0_AsAd{asad}_{STAMP}_{part:04d}.graw"
        await bench.disk.file(run, b"".join(own), name.encode())
    await bench.disk.file(run, Board("Mutant[master]", 0).event(0), b"MuTanT_x.graw", router="data1")
    return run, 8 * events


def verified(bench: Bench) -> bool:
    left = "SELECT count(*) FROM files LEFT JOIN file_copies ON file_id = id WHERE coalesce(state, '') <> 'verified'"
    return bench.disk.sql(left) == [(0,)]


def frames_there(bench: Bench, run: RunId) -> int:
    return sum(map(len, merge(bench.tmp_path / "there" / run.experiment, run.number).values()))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_can_be_merged_where_its_copies_are(kind: str, bench: Bench) -> None:
    """All frames are found, each CoBo has its directory, also an empty one, and other files are beside them."""
    run, frames = await take_run(bench)
    async with bench.at_work(bench.destination(kind, layout="merger")) as working:
        await working.until(lambda: verified(bench))
        assert not working.events
    assert frames_there(bench, run) == frames
    place = bench.tmp_path / "there" / run.directory
    assert {path.name for path in place.iterdir()} == DIRECTORIES
    assert [path.name for path in (place / "data1").glob("*.graw")] == ["MuTanT_x.graw"]
    assert {path.name for path in place.rglob("*") if path.is_file() and path.suffix != ".graw"} <= {".keep"}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_a_whole_copy_is_never_taken(kind: str, bench: Bench) -> None:
    """A copy that is interrupted, fails or is replaced, and a second file of the same name, have other names."""
    run = await bench.disk.run()
    await bench.disk.file(run, b"bad", NAME.replace(b"AsAd0", b"AsAd1"), checksum="sha256:" + "0" * 64)
    await bench.disk.file(run, os.urandom(2_000_000))
    place = bench.tmp_path / "there" / run.directory / "mm0"
    destination = bench.destination(kind, layout="merger", bandwidth_mbps=2)
    async with bench.at_work(destination) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["failed"])
        await working.until(lambda: any(path.stat().st_size > 3 for path in place.iterdir()))
        assert not files_of(place, 0, 0)
        working.run(RunState.Running)
        await working.until(lambda: working.copies.status("safe").state is not ArchiveState.Copying)
        assert not files_of(place, 0, 0) + files_of(place, 0, 1)
    second = Disk(bench.tmp_path / "second", bench.store, bench.disk.database, bench.disk.host)
    await second.file(run, b"second")
    (place / os.fsdecode(NAME)).write_bytes(b"of another database")
    async with bench.at_work(bench.destination(kind, layout="merger")) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()].count("verified") == 2)
    assert [path.name for path in files_of(place, 0, 0)] == [os.fsdecode(NAME)]
    assert files_of(place, 0, 0)[0].stat().st_size == 2_000_000
    assert {"second", "of another database"} <= {os.fsdecode(each) for each in bench.there().values() if len(each) < 99}


@needs_rclone
async def test_a_kill_before_or_after_renaming(local_bench: Bench) -> None:
    """Whether rclone's copy has its final name already or not, it is compared where it is, and gets it."""
    bench = local_bench
    run, frames = await take_run(bench)
    destination = bench.destination("rclone", layout="merger")
    async with bench.at_work(destination) as working:
        await working.until(lambda: verified(bench))
    before = bench.there()
    for undo in (False, True):
        if undo:
            for file_id, path in bench.disk.sql("SELECT file_id, path FROM file_copies"):
                place = Path(os.fsdecode(from_shown(path)).removeprefix(":local:"))
                place.rename(place.parent / f".copy-{file_id}.partial")
        bench.disk.sql("UPDATE file_copies SET state = 'copied', verified_at = NULL")
        async with bench.at_work(destination) as working:
            await working.until(lambda: verified(bench))
            assert not working.events
        assert bench.there() == before
    assert frames_there(bench, run) == frames


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])
@pytest.mark.parametrize("first", ["routers", "merger"])
async def test_the_layout_changes(kind: str, first: str, local_bench: Bench) -> None:
    """A run whose copies were begun is completed in its layout, and what was copied stays known; later runs follow."""
    bench = local_bench
    second = {"routers": "merger", "merger": "routers"}[first]
    begun, frames = await take_run(bench)
    left = bench.disk.sql("SELECT id, checksum FROM files WHERE id > 2")
    bench.disk.sql("UPDATE files SET checksum = '' WHERE id > 2")
    async with bench.at_work(bench.destination(kind, layout=first)) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 2)
    for file_id, checksum in left:
        bench.disk.sql("UPDATE files SET checksum = ? WHERE id = ?", checksum, file_id)
    later, _ = await take_run(bench)
    async with bench.at_work(bench.destination(kind, layout=second)) as working:
        await working.until(lambda: verified(bench))
        assert not working.events
    base = bench.tmp_path / "there"
    by_router = {"data0", "data1"}
    begun_in, later_in = ({each.name for each in (base / run.directory).iterdir()} for run in (begun, later))
    assert begun_in == (by_router if first == "routers" else DIRECTORIES)
    assert later_in == (by_router if second == "routers" else DIRECTORIES)
    assert frames_there(bench, later if second == "merger" else begun) == frames
    for (path,) in bench.disk.sql("SELECT path FROM file_copies"):
        assert Path(os.fsdecode(from_shown(path)).removeprefix(":local:")).exists()


@needs_rclone
async def test_no_part_of_a_copy_is_taken_after_the_layout_changed(local_bench: Bench) -> None:
    """A run that is completed for the merger gets its names at the end, although the layout is now by router."""
    bench = local_bench
    run = await bench.disk.run()
    await bench.disk.file(run, b"first", NAME.replace(b"AsAd0", b"AsAd1"))
    async with bench.at_work(bench.destination("rclone", layout="merger")) as working:
        await working.until(lambda: verified(bench))
    await bench.disk.file(run, os.urandom(1_000_000))
    place = bench.tmp_path / "there" / run.directory / "mm0"
    async with bench.at_work(bench.destination("rclone", bandwidth_mbps=2)) as working:
        await working.until(lambda: sum(path.stat().st_size for path in place.iterdir()) > len(b"first"))
        assert not files_of(place, 0, 0)
        await working.until(lambda: verified(bench))
    assert [path.stat().st_size for path in files_of(place, 0, 0)] == [1_000_000]
