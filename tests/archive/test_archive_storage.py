"""The storage of a destination: one that is not there is no empty one, and one is not two."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ioc.model import ArchiveState, RunId
from tests.archive.conftest import KINDS, needs_rclone, needs_rsync
from tests.archive.copies_rig import NAME, Bench

MARK = ".attpc-archive"


async def copied(bench: Bench, kind: str, *, marked: bool) -> Path:
    """Make a run with a verified copy; `marked`: as it is made today, else as before there were marks."""
    run = await bench.disk.run()
    await bench.disk.file(run, b"first")
    place = bench.tmp_path / "there"
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")])
    assert (place / MARK).read_text() == "safe\n"
    if not marked:
        (place / MARK).unlink()
    await bench.disk.file(run, b"second", NAME.replace(b"AsAd0", b"AsAd1"))
    return place


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "older"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_mounted_is_not_taken_for_empty(kind: str, marked: bool, bench: Bench) -> None:
    """Nothing is copied to the mount point, State says why, no copy fails; it goes on when the disk is there again."""
    place = await copied(bench, kind, marked=marked)
    away = bench.tmp_path / "away"
    place.rename(away)
    place.mkdir()
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.NotMounted)
        remedy = f"touch {':local:' if kind == 'rclone' else ''}{place}/{MARK}"
        assert remedy in working.copies.status("safe").message
        assert bench.disk.copies() == [("verified", "")]
        assert not list(place.iterdir())
        place.rmdir()
        away.rename(place)
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 2)
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Idle)
    assert (place / MARK).read_text() == "safe\n"


@needs_rsync
async def test_another_disk(local_bench: Bench) -> None:
    """A new disk is used when its mark is made by hand; a directory that we may not write has none and is used."""
    place = await copied(local_bench, "directory", marked=True)
    shutil.rmtree(place)
    place.mkdir()
    async with local_bench.at_work(local_bench.destination("directory")) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.NotMounted)
        (place / MARK).touch()
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")] * 2)
    assert (place / MARK).read_text() == "safe\n"


@pytest.mark.parametrize(("first", "second"), [("directory", "ssh"), ("directory", "rclone"), ("rclone", "directory")])
@needs_rsync
async def test_one_storage_by_two_ways(first: str, second: str, local_bench: Bench, sshd: object) -> None:
    """The second way is refused and says which destination it is; when the first one is renamed, the place stays."""
    bench = local_bench
    if "rclone" in {first, second} and shutil.which("rclone") is None:
        pytest.skip("rclone is not installed")
    run = await bench.disk.run()
    await bench.disk.file(run, b"content")
    one, two = bench.destination(first, "one"), bench.destination(second, "two")
    async with bench.at_work(one) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")])
    async with bench.at_work(one, two) as working:
        await working.until(lambda: working.copies.status("two").state is ArchiveState.Failed)
        assert "is the place of the destination one already" in working.copies.status("two").message
        assert bench.disk.copies() == [("verified", "")]
    async with bench.at_work(two) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 2)
    assert [path.read_bytes() for path in (bench.tmp_path / "there").rglob(os.fsdecode(NAME))] == [b"content"]


@pytest.mark.parametrize("kind", ["directory", "ssh"])
@needs_rsync
async def test_a_link_to_the_file_is_no_copy(kind: str, bench: Bench) -> None:
    """Where a link to the file itself has the name of its copy, as gathering makes one, it gets another name."""
    run = await bench.disk.run()
    original = await bench.disk.file(run, b"content")
    place = bench.tmp_path / "there" / run.directory / "data0" / os.fsdecode(NAME)
    place.parent.mkdir(parents=True)
    place.symlink_to(os.fsdecode(original))
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")])
    assert not place.is_symlink()
    assert place.read_bytes() == b"content"
    assert [path.is_symlink() for path in place.parent.glob("*.replaced-1")] == [True]


@needs_rclone
async def test_a_disk_that_goes_while_rclone_copies(local_bench: Bench) -> None:
    """What arrived at the mount point meanwhile is no copy; the file is copied again when the disk is there again."""
    bench = local_bench
    place = await copied(bench, "rclone", marked=True)
    (run,) = (path.relative_to(place) for path in place.glob("e1/run_*"))
    name = "big.graw"
    await bench.disk.file(RunId("e1", 0), os.urandom(1_000_000), name.encode())
    away, ready = bench.tmp_path / "away", bench.tmp_path / "mount_point"
    (ready / run / "data0").mkdir(parents=True)
    async with bench.at_work(bench.destination("rclone", bandwidth_mbps=2)) as working:
        await working.until((place / run / "data0" / name).exists)
        (ready / run / "data0" / name).hardlink_to(place / run / "data0" / name)
        place.rename(away)
        ready.rename(place)
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.NotMounted)
        assert [state for state, _ in bench.disk.copies()] == ["verified", "verified", "copied"]
        (away / run / "data0" / name).unlink()
        place.rename(ready)
        away.rename(place)
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 3)
    assert (place / run / "data0" / name).stat().st_size == 1_000_000
