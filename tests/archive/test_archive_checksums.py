"""Checksums of filed files come by themselves, and never wrong ones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ioc.model import ChecksumState, Event, Severity
from ioc.rundb import SqliteRunStore
from tests.archive.checksum_rig import AT_REST, RUNNING, checksums_in, filed, filed_run, running
from tests.epics import eventually
from tests.hosts.rig import Hosts, site
from tests.hosts.test_hosts_checksums import long_file, readers
from tests.rundb.rows import execute, rows
from tests.sshd import ROOT, SshServer

SECONDS = 60.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Path of the run database."""
    return tmp_path / "runs.db"


@pytest.fixture
async def store(database: Path) -> AsyncIterator[SqliteRunStore]:
    """The open run database."""
    opened = await SqliteRunStore.open(database)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server."""
    with SshServer(tmp_path_factory.mktemp("archive-sshd")) as server:
        yield server


@pytest.fixture(params=["ssh", "local"])
async def hosts(request: pytest.FixtureRequest) -> AsyncIterator[Hosts]:
    """Makes hosts of either kind."""
    made = Hosts(request.getfixturevalue("shared_sshd") if request.param == "ssh" else None)
    yield made
    await made.close()


def data(directory: Path, *names: str) -> list[Path]:
    """Make files with contents of their own."""
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(name.encode() * 1000)
    return [directory / name for name in names]


def right(database: Path) -> bool:
    """Whether each checksum in the database is that of the file now; fails if one is wrong."""
    for path, text in checksums_in(database).items():
        if text.startswith("sha256:"):
            assert text == "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return all(checksums_in(database).values())


def said(events: list[Event]) -> list[tuple[Severity, str]]:
    return [(event.severity, event.message) for event in events]


def due_cards(database: Path) -> list[int]:
    return [number for (number,) in rows(database, "SELECT run_number FROM runs WHERE card_due ORDER BY 1")]


async def test_every_filed_file_gets_its_checksum(
    hosts: Hosts, store: SqliteRunStore, database: Path, tmp_path: Path
) -> None:
    """Old and new runs, of all routers of a host; a run that is not finished has to wait. The card is asked for."""
    host = hosts(site("data0"), site("data1"))
    old = data(tmp_path / "old", "a", "b")
    await filed_run(store, filed(host, "data0", old[0]), filed(host, "data1", old[1]))
    unfinished = await filed_run(store, filed(host, "data0", data(tmp_path / "open", "c")[0]), complete=False)
    async with running(store, host) as it:
        await eventually(lambda: all(checksums_in(database)[str(path)] for path in old), SECONDS)
        assert due_cards(database) == [0]
        record = await store.get_run(unfinished)
        assert record is not None
        assert checksums_in(database)[str(tmp_path / "open/c")] == ""
        new = data(tmp_path / "new", "d")
        await filed_run(store, filed(host, "data1", new[0]))
        execute(database, "UPDATE runs SET state = 'complete'")  # as another program does
        await eventually(lambda: right(database), SECONDS)
        await eventually(lambda: it.checksums.status("data0").state is ChecksumState.Idle, SECONDS)
        assert it.checksums.status("data0").backlog == 0
        assert it.events == []
    assert due_cards(database) == [0, 1, 2]
    assert rows(database, "SELECT count(*) FROM files WHERE checksummed_at GLOB '2*Z'") == [(4,)]


async def test_a_run_stops_it_at_once(hosts: Hosts, store: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """In the middle of a file; it goes on after the run. With checksums: always, it does not stop."""
    host = hosts(site("data0"))
    path = long_file(tmp_path)
    await filed_run(store, filed(host, "data0", path))
    async with running(store, host) as it:
        await eventually(lambda: readers(path), SECONDS)
        assert it.checksums.status("data0").state is ChecksumState.Busy
        assert it.checksums.status("data0").backlog == os.stat(path).st_size  # noqa: PTH116
        it.checksums.show(RUNNING)
        assert it.checksums.status("data0").state is ChecksumState.Paused
        await eventually(lambda: not readers(path), SECONDS)
        it.checksums.show(AT_REST)
        await eventually(lambda: readers(path), SECONDS)
    await eventually(lambda: not readers(path), SECONDS)
    async with running(store, host, checksums="always") as it:
        await eventually(lambda: readers(path), SECONDS)
        it.checksums.show(RUNNING)
        assert it.checksums.status("data0").state is ChecksumState.Busy
        assert readers(path)
    await eventually(lambda: not readers(path), SECONDS)
    async with running(store, host, checksums="never") as it:
        assert it.checksums.status("data0").state is ChecksumState.Off
    assert checksums_in(database)[os.fsdecode(path)] == ""
    assert it.events == []


async def test_a_file_that_is_not_as_it_was_filed_is_told_once(
    hosts: Hosts, store: SqliteRunStore, database: Path, tmp_path: Path
) -> None:
    """A missing file, one of another size and a directory in its place are one MAJOR event, and have no checksum."""
    host = hosts(site("data0"))
    good, short, place, gone = data(tmp_path / "files", "good", "short", "place", "gone")
    files = [filed(host, "data0", each) for each in (good, short, place, gone)]
    short.write_bytes(b"1")
    place.unlink()
    place.mkdir()
    gone.unlink()
    run = await filed_run(store, *files)
    async with running(store, host) as it:
        await eventually(lambda: it.events and checksums_in(database)[str(good)], SECONDS)
        ((severity, message),) = said(it.events)
        assert severity is Severity.MAJOR
        assert "and 2 more files" in message
        assert it.events[0].run == run
        await eventually(lambda: it.checksums.status("data0").state is ChecksumState.Idle, SECONDS)
        assert it.checksums.status("data0").backlog == 0
        assert "more files have changed since they were filed" in it.checksums.status("data0").message
        await filed_run(store, filed(host, "data0", data(tmp_path / "files", "next")[0]))
        await eventually(lambda: checksums_in(database)[str(tmp_path / "files/next")], SECONDS)
        assert len(it.events) == 1
    assert due_cards(database) == [0, 1]  # also without those that have no checksum
    assert [text for text in checksums_in(database).values() if not text] == ["", "", ""]


async def test_many_missing_files_are_one_event(store: SqliteRunStore, tmp_path: Path) -> None:
    """Old runs whose files were moved away do not fill the log."""
    hosts = Hosts(None)
    host = hosts(site("data0"))
    for number in range(50):
        await filed_run(store, filed(host, "data0", tmp_path / f"gone{number}", 1))
    async with running(store, host) as it:
        await eventually(lambda: it.events, SECONDS)
        ((severity, message),) = said(it.events)
        assert severity is Severity.MAJOR
        assert "is missing; and 49 more files have changed since they were filed" in message
    await hosts.close()


async def test_a_file_recorded_with_another_size_gets_another_checksum(
    store: SqliteRunStore, database: Path, tmp_path: Path
) -> None:
    """A file that grew while it was filed loses the checksum of what it was."""
    hosts = Hosts(None)
    host = hosts(site("data0"))
    (path,) = data(tmp_path / "files", "a")
    run = await filed_run(store, filed(host, "data0", path))
    async with running(store, host):
        await eventually(lambda: right(database), SECONDS)
        await store.add_files(run, filed(host, "data0", path))
        assert checksums_in(database)[str(path)] != ""  # nothing has changed
        before = checksums_in(database)[str(path)]
        path.write_bytes(b"more than before" * 1000)
        await store.add_files(run, filed(host, "data0", path))
        await eventually(lambda: checksums_in(database)[str(path)] not in {"", before}, SECONDS)
    await hosts.close()


async def test_a_host_that_is_away_or_has_no_program_delays_no_other(
    store: SqliteRunStore, database: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its routers show that it failed, and why; a missing program is said once; when it is back, it goes on."""
    with SshServer(tmp_path_factory.mktemp("away")) as server:
        server.stop()
        away, here = Hosts(server), Hosts(None)
        good, bad = here(site("data0")), away(site("data1"))
        files = data(tmp_path / "files", "a", "b")
        await filed_run(store, filed(bad, "data1", files[1]), filed(good, "data0", files[0]))
        async with running(store, good, bad) as it:
            await eventually(lambda: checksums_in(database)[str(files[0])], SECONDS)
            await eventually(lambda: it.checksums.status("data1").state is ChecksumState.Failed, SECONDS)
            assert "cannot be reached" in it.checksums.status("data1").message
            assert due_cards(database) == [0]  # the checksums of one host must not wait for those of all others
            server.start()
            await eventually(lambda: right(database), SECONDS)
            await eventually(lambda: it.checksums.status("data1").state is ChecksumState.Idle, SECONDS)
            assert it.events == []
        await away.close()
        await here.close()


async def test_a_missing_program_is_said_once(
    store: SqliteRunStore, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PVs show it for as long as it is so."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("xxhsum", "sha256sum", "shasum"):
        (programs / name).write_text("#!/bin/sh\nexit 127\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    hosts = Hosts(None)
    host = hosts(site("data0"))
    await filed_run(store, filed(host, "data0", data(tmp_path / "files", "a")[0]))
    async with running(store, host) as it:
        await eventually(lambda: it.events, SECONDS)
        it.checksums.show(RUNNING)
        it.checksums.show(AT_REST)
        assert it.checksums.status("data0").state is ChecksumState.Failed
        assert "xxhash" in it.checksums.status("data0").message
        for each in programs.iterdir():
            each.unlink()
        await eventually(lambda: right(database), SECONDS)
        await eventually(lambda: it.checksums.status("data0").state is ChecksumState.Idle, SECONDS)
        assert [severity for severity, _ in said(it.events)] == [Severity.MINOR]
    await hosts.close()


KILLED = """
import asyncio, json, sys
from pathlib import Path
from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Ssh
from tests.archive.checksum_rig import running
from tests.hosts.rig import TIMES, site

async def main(database, settings):
    store = await SqliteRunStore.open(Path(database))
    transport = SshTransport("127.0.0.1", Ssh(**settings), 10.0) if settings else LocalTransport()
    host = MachineHost("127.0.0.1" if settings else "localhost", transport, [site("data0")], [], **TIMES)
    async with running(store, host):
        print("begun", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


@pytest.mark.parametrize("kind", ["ssh", "local"])
async def test_a_kill_at_any_moment_stores_nothing_wrong(
    request: pytest.FixtureRequest, tmp_path: Path, database: Path, kind: str
) -> None:
    """kill -9 of the IOC, again and again: each checksum that is there is right, and in the end all are there."""
    server = request.getfixturevalue("shared_sshd") if kind == "ssh" else None
    hosts = Hosts(server)
    host = hosts(site("data0"))
    paths = data(tmp_path / "files", *(f"file{number}" for number in range(40)))
    for path in paths:
        with path.open("r+b") as file:
            file.truncate(20_000_000)
    store = await SqliteRunStore.open(database)
    await filed_run(store, *(filed(host, "data0", path) for path in paths))
    await store.close()
    await hosts.close()
    settings = server.settings().model_dump_json() if server else "{}"
    kills = done = 0
    while not right(database):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(database), settings, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        before = sum(map(bool, checksums_in(database).values()))
        target = min(len(paths), before + 1 + 3 * kills)
        with contextlib.suppress(AssertionError):
            await eventually(lambda want=target: sum(map(bool, checksums_in(database).values())) >= want, SECONDS)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        kills += 1
        done = sum(map(bool, checksums_in(database).values()))
        assert done > before
    assert kills > 3
    assert len(set(checksums_in(database).values())) == len(paths)
    assert due_cards(database) == [0]
