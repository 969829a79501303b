"""Safe copies, with real rsync, rclone and OpenSSH: every file arrives, is compared, and nothing else counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ioc.hosts import MachineHost
from ioc.hosts.transport import from_shown
from ioc.model import ArchiveState, RunState
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Destination
from tests.archive.conftest import KINDS, needs_rsync
from tests.archive.rig import NAME, Disk, at_work

MakeDestination = Callable[..., Destination]
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


def there(tmp_path: Path) -> dict[bytes, bytes]:
    """Content of all files at the destination, by path below it."""
    found: dict[bytes, bytes] = {}
    base = os.fsencode(tmp_path / "there")
    for directory, _, names in os.walk(base):
        for name in names:
            path = directory + b"/" + name
            with open(path, "rb") as file:
                found[path.removeprefix(base + b"/")] = file.read()
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_each_file_arrives_at_its_place_and_is_verified(
    kind: str, disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """Files of the same name of two routers do not collide; an experiment may have any legal name."""
    run = await disk.run("it's a $(test); é")
    await disk.file(run, CONTENT)
    await disk.file(run, b"other", router="data1")
    await disk.file(run, b"", b"empty.graw")
    async with at_work(store, [host], destination(kind)) as working:
        await working.until(lambda: [state for state, _ in disk.copies()] == ["verified"] * 3)
        await working.until(lambda: working.copies.status("safe").backlog == 0)
        assert working.copies.status("safe").state is ArchiveState.Idle
        assert not working.events
    place = os.fsencode(run.directory)
    assert there(tmp_path) == {
        place + b"/data0/" + NAME: CONTENT,
        place + b"/data1/" + NAME: b"other",
        place + b"/data0/empty.graw": b"",
    }
    for (path,) in disk.sql("SELECT path FROM file_copies"):
        assert Path(os.fsdecode(from_shown(path)).removeprefix(":local:")).exists()


@pytest.mark.parametrize("kind", KINDS)
async def test_hostile_names(
    kind: str, disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """A name is never an option, a pattern, a host, or a part of a script."""
    run = await disk.run()
    for number, name in enumerate(HOSTILE):
        await disk.file(run, b"%d" % number * 100, name)
    async with at_work(store, [host], destination(kind)) as working:
        await working.until(lambda: [state for state, _ in disk.copies()] == ["verified"] * len(HOSTILE))
    assert sorted(there(tmp_path).values()) == sorted(b"%d" % number * 100 for number in range(len(HOSTILE)))


@needs_rsync
async def test_two_files_of_the_same_name_of_one_router(
    disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """A router that worked in two directories has filed two files of the same name: both are kept."""
    run = await disk.run()
    await disk.file(run, b"first")
    disk.sql("UPDATE files SET path = path || 'x'")
    (tmp_path / "disk/data0" / run.directory / os.fsdecode(NAME)).rename(
        tmp_path / "disk/data0" / run.directory / (os.fsdecode(NAME) + "x")
    )
    other = Disk(tmp_path / "second", store, disk.database, disk.host)
    disk.sql("UPDATE files SET path = replace(path, 'x', '')")
    (tmp_path / "disk/data0" / run.directory / (os.fsdecode(NAME) + "x")).rename(
        tmp_path / "disk/data0" / run.directory / os.fsdecode(NAME)
    )
    await other.file(run, b"second")
    async with at_work(store, [host], destination("directory")) as working:
        await working.until(lambda: [state for state, _ in disk.copies()] == ["verified"] * 2)
    assert sorted(there(tmp_path).values()) == [b"first", b"second"]
    assert any(b"_duplicate-1" in path for path in there(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_with_a_wrong_byte_is_not_verified_and_copied_again(
    kind: str, disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """What lies at the place already, with the right size and time, is compared, and replaced if it is not right."""
    run = await disk.run()
    path = await disk.file(run, CONTENT)
    async with at_work(store, [host], destination(kind)) as working:
        await working.until(lambda: [state for state, _ in disk.copies()] == ["verified"])
    (copy,) = (file for file in (tmp_path / "there").rglob("*.graw"))
    spoiled = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    copy.write_bytes(spoiled)
    times = os.stat(path)
    os.utime(copy, ns=(times.st_mtime_ns, times.st_mtime_ns))
    disk.sql("UPDATE file_copies SET state = 'copied', verified_at = NULL")
    seen: set[str] = set()

    def verified() -> bool:
        seen.update(f"{state}: {message}" for state, message in disk.copies())
        return [state for state, _ in disk.copies()] == ["verified"]

    async with at_work(store, [host], destination(kind), pauses=(1.0, 1.0)) as working:
        await working.until(verified)
        assert any("fails" in event.message and "checksum" in event.message for event in working.events)
        await working.until(lambda: any("works again" in event.message for event in working.events))
    assert any(each.startswith("failed: the checksum of the copy is sha256:") for each in seen)
    assert there(tmp_path).popitem()[1] == CONTENT
    assert len(there(tmp_path)) <= 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_that_changed_is_never_verified(
    kind: str, local_disk: Disk, local_host: MachineHost, store: SqliteRunStore, destination: MakeDestination, sshd: object
) -> None:
    """A byte that flipped after the checksum was computed makes the copy fail, however often it is made."""
    run = await local_disk.run()
    path = await local_disk.file(run, CONTENT, checksum="sha256:" + "0" * 64)
    async with at_work(store, [local_host], destination(kind)) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Failed)
        assert "but must be sha256:0000" in working.copies.status("safe").message
        assert os.fsdecode(path) in working.copies.status("safe").message
    assert [state for state, _ in local_disk.copies()] == ["failed"]


@needs_rsync
async def test_a_file_without_checksum_waits(
    disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination
) -> None:
    """It is in the backlog, and is copied when its checksum has come, with whatever algorithm."""
    run = await disk.run()
    path = await disk.file(run, b"abc", checksum="")
    async with at_work(store, [host], destination("directory")) as working:
        await working.until(lambda: working.copies.status("safe").backlog == 1)
        assert "1 files wait for their checksums" in working.copies.status("safe").message
        assert not disk.copies()
        await disk.set_checksum(path, "xxh128:06b05ab6733a618578af5f94892f3950")
        await working.until(lambda: disk.copies() == [("verified", "")])


@pytest.mark.parametrize("kind", ["directory", "ssh"])
@needs_rsync
async def test_a_destination_without_a_program_for_checksums_is_read_back(
    kind: str, tmp_path: Path, disk: Disk, store: SqliteRunStore, destination: MakeDestination, host: MachineHost
) -> None:
    """No algorithm that neither end knows is ever called verified."""
    run = await disk.run()
    await disk.file(run, b"abc", checksum="md17:00")
    async with at_work(store, [host], destination(kind)) as working:
        await working.until(lambda: any(state == "failed" for state, _ in disk.copies()))
    assert "has a program for md17" in disk.copies()[0][1]
    assert not list((tmp_path / "there").rglob("*.graw"))


@needs_rsync
@pytest.mark.parametrize("source", ["link", "directory", "gone"])
async def test_a_source_that_is_no_file_any_more(
    source: str, disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination
) -> None:
    """It fails with the reason, and the others are copied."""
    run = await disk.run()
    path = await disk.file(run, b"abc")
    await disk.file(run, b"good", b"good.graw")
    os.unlink(path)
    if source == "link":
        os.symlink("/etc/hostname", path)
    elif source == "directory":
        os.mkdir(path)
    async with at_work(store, [host], destination("directory")) as working:
        await working.until(lambda: sorted(state for state, _ in disk.copies()) == ["failed", "verified"])
    reasons = {"link": "symbolic link", "directory": "not a regular file", "gone": "not there"}
    assert reasons[source] in disk.copies()[0][1]


@needs_rsync
async def test_destinations_are_served_one_after_the_other_and_a_bad_one_delays_none(
    disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """One that refuses is tried again with growing pauses; the files reach the other one meanwhile."""
    run = await disk.run()
    for number in range(5):
        await disk.file(run, b"%d" % number, b"%d.graw" % number)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a directory must be")
    bad = destination("directory", "bad", there=blocked)
    async with at_work(store, [host], bad, destination("directory")) as working:
        await working.until(lambda: [state for state, _ in disk.copies()].count("verified") == 5)
        assert working.copies.status("bad").state is ArchiveState.Failed
        assert "blocked" in working.copies.status("bad").message
        assert working.copies.status("safe").state is not ArchiveState.Failed
        blocked.unlink()
        await working.until(lambda: [state for state, _ in disk.copies()].count("verified") == 10)
        await working.until(lambda: working.copies.status("bad").backlog == 0)
        assert working.copies.status("bad").state is ArchiveState.Idle
    assert [event.message.split(":")[0] for event in working.events if event.source == "Archive:bad"] == [
        f"copying from {host.name} fails",
        f"copying from {host.name} works again",
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_ends_copying_at_once_and_it_goes_on_from_there(
    kind: str, disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination, tmp_path: Path
) -> None:
    """In a run nothing is copied to a destination without during_runs; afterwards the file is completed."""
    run = await disk.run()
    content = os.urandom(2_000_000)
    await disk.file(run, content)
    async with at_work(store, [host], destination(kind, bandwidth_mbps=2)) as working:  # 8 s
        await working.until(lambda: working.copies.status("safe").rate > 0)
        assert working.copies.status("safe").state is ArchiveState.Copying
        working.run(RunState.Running)
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Paused)
        partial = sum(map(len, there(tmp_path).values()))
        assert partial < len(content)
        assert not disk.copies()
    async with at_work(store, [host], destination(kind)) as working:
        await working.until(lambda: disk.copies() == [("verified", "")])
    assert list(there(tmp_path).values()) == [content]


@needs_rsync
async def test_with_permission_copying_goes_on_in_a_run(
    disk: Disk, host: MachineHost, store: SqliteRunStore, destination: MakeDestination
) -> None:
    """A destination with during_runs is served beside data taking, the other waits for the end of the run."""
    run = await disk.run()
    await disk.file(run, CONTENT)
    late = destination("directory", "late", there=disk.directory.parent / "late")
    async with at_work(store, [host]) as working:
        pass
    archive = (late, destination("directory", during_runs=True))
    async with at_work(store, [host], *archive) as working:
        working.run(RunState.Running)
        await working.until(lambda: ("verified", "") in disk.copies())
        await working.until(lambda: working.copies.status("late").state is ArchiveState.Paused)
        working.run(RunState.Stopped)
        await working.until(lambda: disk.copies() == [("verified", "")] * 2)
