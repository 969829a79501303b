"""Safe copies, with real rsync, rclone and OpenSSH: every file arrives, is compared, and nothing else counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ioc.hosts.transport import from_shown
from ioc.model import ArchiveState, RunState
from tests.archive.conftest import KINDS, needs_rsync
from tests.archive.copies_rig import NAME, Bench, Disk

CONTENT = os.urandom(300_000)
HOSTILE = [
    b"-rf.graw",
    b"two words.graw",
    b"quote's\"`$(touch x)`.graw",
    b"new\nline.graw",
    b"a:b:c.graw",
    b"back\\slash.graw",
    b"not-utf8-\xff\xfe.graw",
    "µ — é.graw".encode(),
    b"*?[a].graw",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_file_arrives_at_its_place_and_is_verified(kind: str, bench: Bench) -> None:
    """Files of the same name of two routers do not collide; an experiment may have any legal name."""
    run = await bench.disk.run("it's a $(test); é")
    await bench.disk.file(run, CONTENT)
    await bench.disk.file(run, b"other", router="data1")
    await bench.disk.file(run, b"", b"empty.graw")
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"] * 3)
        await working.until(lambda: working.copies.status("safe").backlog == 0)
        assert working.copies.status("safe").state is ArchiveState.Idle
        assert not working.events
    place = os.fsencode(run.directory)
    assert bench.there() == {
        place + b"/data0/" + NAME: CONTENT,
        place + b"/data1/" + NAME: b"other",
        place + b"/data0/empty.graw": b"",
    }
    for (path,) in bench.disk.sql("SELECT path FROM file_copies"):
        assert Path(os.fsdecode(from_shown(path)).removeprefix(":local:")).exists()


@pytest.mark.parametrize("kind", KINDS)
async def test_hostile_names(kind: str, bench: Bench) -> None:
    """A name is never an option, a pattern, a host, or a part of a script."""
    run = await bench.disk.run()
    for number, name in enumerate(HOSTILE):
        await bench.disk.file(run, b"%d" % number * 100, name)
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"] * len(HOSTILE))
    assert sorted(bench.there().values()) == sorted(b"%d" % number * 100 for number in range(len(HOSTILE)))


@needs_rsync
async def test_two_files_of_the_same_name_of_one_router(bench: Bench) -> None:
    """A router that worked in two directories has filed two files of the same name: both are kept."""
    run = await bench.disk.run()
    await bench.disk.file(run, b"first")
    second = Disk(bench.tmp_path / "second", bench.store, bench.disk.database, bench.disk.host)
    await second.file(run, b"second")
    async with bench.at_work(bench.destination("directory")) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"] * 2)
    assert sorted(bench.there().values()) == [b"first", b"second"]
    assert any(path.endswith(b".duplicate-1") for path in bench.there())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_with_a_wrong_byte_is_not_verified_and_copied_again(kind: str, bench: Bench) -> None:
    """What lies at the place already, with the right size and time, is compared, and replaced if it is not right."""
    run = await bench.disk.run()
    path = await bench.disk.file(run, CONTENT)
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"])
    (copy,) = (file for file in (bench.tmp_path / "there").rglob("*.graw"))
    spoiled = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    copy.write_bytes(spoiled)
    times = Path(os.fsdecode(path)).stat()
    os.utime(copy, ns=(times.st_mtime_ns, times.st_mtime_ns))
    bench.disk.sql("UPDATE file_copies SET state = 'copied', verified_at = NULL")
    seen: set[str] = set()

    def verified() -> bool:
        seen.update(f"{state}: {message}" for state, message in bench.disk.copies())
        return [state for state, _ in bench.disk.copies()] == ["verified"]

    async with bench.at_work(bench.destination(kind), pauses=(1.0, 1.0)) as working:
        await working.until(verified)
        assert any("fails" in event.message and "checksum" in event.message for event in working.events)
        await working.until(lambda: any("works again" in event.message for event in working.events))
    assert any(each.startswith("failed: the checksum of the copy is sha256:") for each in seen)
    assert copy.read_bytes() == CONTENT
    replaced = {path: content for path, content in bench.there().items() if not path.endswith(b".graw")}
    assert list(replaced.values()) == ([] if kind == "rclone" else [spoiled])  # rclone's was known to be ours


@pytest.mark.parametrize("kind", KINDS)
async def test_another_file_at_the_place_of_a_copy_is_kept(kind: str, bench: Bench) -> None:
    """A run of the same number in another database has its copies there: they may be the only ones left."""
    run = await bench.disk.run()
    await bench.disk.file(run, CONTENT)
    place = bench.tmp_path / "there" / run.directory / "data0"
    place.mkdir(parents=True)
    (place / os.fsdecode(NAME)).write_bytes(b"the only copy")
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"])
    assert (place / os.fsdecode(NAME)).read_bytes() == CONTENT
    assert sorted(bench.there().values()) == sorted([CONTENT, b"the only copy"])


@needs_rsync
async def test_the_same_copy_is_not_kept_twice(bench: Bench) -> None:
    """An older copy of the database does not know what was copied since."""
    run = await bench.disk.run()
    await bench.disk.file(run, CONTENT)
    for _ in range(2):
        bench.disk.sql("DELETE FROM file_copies")
        async with bench.at_work(bench.destination("directory")) as working:
            await working.until(lambda: [state for state, _ in bench.disk.copies()] == ["verified"])
    assert list(bench.there().values()) == [CONTENT]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_that_changed_is_never_verified(kind: str, local_bench: Bench, sshd: object) -> None:
    """A byte that flipped after the checksum was computed makes the copy fail, however often it is made."""
    run = await local_bench.disk.run()
    path = await local_bench.disk.file(run, CONTENT, checksum="sha256:" + "0" * 64)
    async with local_bench.at_work(local_bench.destination(kind)) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Failed)
        assert "but must be sha256:0000" in working.copies.status("safe").message
        assert os.fsdecode(path) in working.copies.status("safe").message
    assert [state for state, _ in local_bench.disk.copies()] == ["failed"]


@needs_rsync
async def test_a_file_without_checksum_waits(bench: Bench) -> None:
    """It is in the backlog, and is copied when its checksum has come, with whatever algorithm."""
    run = await bench.disk.run()
    path = await bench.disk.file(run, b"abc", checksum="")
    async with bench.at_work(bench.destination("directory")) as working:
        await working.until(lambda: working.copies.status("safe").backlog == 1)
        assert "1 files wait for their checksums" in working.copies.status("safe").message
        assert not bench.disk.copies()
        await bench.disk.set_checksum(path, "xxh128:06b05ab6733a618578af5f94892f3950")
        await working.until(lambda: bench.disk.copies() == [("verified", "")])


@pytest.mark.parametrize("kind", ["directory", "ssh"])
@needs_rsync
async def test_a_destination_without_a_program_for_checksums_is_read_back(kind: str, bench: Bench) -> None:
    """No algorithm that neither end knows is ever called verified."""
    run = await bench.disk.run()
    await bench.disk.file(run, b"abc", checksum="md17:00")
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: any(state == "failed" for state, _ in bench.disk.copies()))
    assert "has a program for md17" in bench.disk.copies()[0][1]
    assert not list((bench.tmp_path / "there").rglob("*.graw"))


@needs_rsync
@pytest.mark.parametrize("source", ["link", "directory", "gone"])
async def test_a_source_that_is_no_file_any_more(source: str, bench: Bench) -> None:
    """It fails with the reason, and the others are copied."""
    run = await bench.disk.run()
    path = await bench.disk.file(run, b"abc")
    await bench.disk.file(run, b"good", b"good.graw")
    Path(os.fsdecode(path)).unlink()
    if source == "link":
        Path(os.fsdecode(path)).symlink_to("/etc/hostname")
    elif source == "directory":
        Path(os.fsdecode(path)).mkdir()
    async with bench.at_work(bench.destination("directory")) as working:
        await working.until(lambda: sorted(state for state, _ in bench.disk.copies()) == ["failed", "verified"])
    reasons = {"link": "symbolic link", "directory": "not a regular file", "gone": "not there"}
    assert reasons[source] in bench.disk.copies()[0][1]


@needs_rsync
async def test_destinations_are_served_one_after_the_other_and_a_bad_one_delays_none(bench: Bench) -> None:
    """One that refuses is tried again with growing pauses; the files reach the other one meanwhile."""
    run = await bench.disk.run()
    for number in range(5):
        await bench.disk.file(run, b"%d" % number, b"%d.graw" % number)
    blocked = bench.tmp_path / "blocked"
    blocked.write_text("a file where a directory must be")
    bad = bench.destination("directory", "bad", there=blocked)
    async with bench.at_work(bad, bench.destination("directory")) as working:
        await working.until(lambda: [state for state, _ in bench.disk.copies()].count("verified") == 5)
        assert working.copies.status("bad").state is ArchiveState.NotMounted
        assert "blocked" in working.copies.status("bad").message
        assert working.copies.status("safe").state is not ArchiveState.Failed
        blocked.unlink()
        blocked.mkdir()
        await working.until(lambda: [state for state, _ in bench.disk.copies()].count("verified") == 10)
        await working.until(lambda: working.copies.status("bad").backlog == 0)
        assert working.copies.status("bad").state is ArchiveState.Idle
    assert [event.message.split(":")[0] for event in working.events if event.source == "Archive:bad"] == [
        f"copying from {bench.host.name} fails",
        f"copying from {bench.host.name} works again",
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_ends_copying_at_once_and_it_goes_on_from_there(kind: str, bench: Bench) -> None:
    """In a run nothing is copied to a destination without during_runs; afterwards the file is completed."""
    run = await bench.disk.run()
    content = os.urandom(2_000_000)
    await bench.disk.file(run, content)
    async with bench.at_work(bench.destination(kind, bandwidth_mbps=2)) as working:  # 8 s
        await working.until(lambda: working.copies.status("safe").rate > 0)
        assert working.copies.status("safe").state is ArchiveState.Copying
        working.run(RunState.Running)
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Paused)
        partial = sum(map(len, bench.there().values()))
        assert partial < len(content)
        assert bench.disk.copies() == ([("copying", "")] if kind == "rclone" else [])
    async with bench.at_work(bench.destination(kind)) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")])
    assert list(bench.there().values()) == [content]


@needs_rsync
async def test_with_permission_copying_goes_on_in_a_run(bench: Bench) -> None:
    """A destination with during_runs is served beside data taking, the other waits for the end of the run."""
    run = await bench.disk.run()
    await bench.disk.file(run, CONTENT)
    (bench.tmp_path / "late").mkdir()
    late = bench.destination("directory", "late", there=bench.tmp_path / "late")
    archive = (late, bench.destination("directory", during_runs=True))
    async with bench.at_work(*archive) as working:
        working.run(RunState.Running)
        await working.until(lambda: ("verified", "") in bench.disk.copies())
        await working.until(lambda: working.copies.status("late").state is ArchiveState.Paused)
        working.run(RunState.Stopped)
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 2)


async def test_it_is_not_failed_when_nothing_is_left_to_copy(local_bench: Bench) -> None:
    """A file that could not be copied and is then gone for good leaves no alarm that nobody can end."""
    bench = local_bench
    run = await bench.disk.run()
    path = await bench.disk.file(run, CONTENT)
    os.unlink(path)  # noqa: PTH108 - bytes
    async with bench.at_work(bench.destination("directory")) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Failed)
        bench.disk.sql("UPDATE files SET purged_at = '2026-11-27T12:00:00.000000Z'")
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Idle)
        assert working.copies.status("safe").message == ""
