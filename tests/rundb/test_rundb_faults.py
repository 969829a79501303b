"""What the store does when the file, the disk or the process fails."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from ioc.errors import PeerError, PeerTimeout
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.lock import FileLock
from ioc.rundb.migrations import migrate, newest_version
from ioc.rundb.writing import open_for_writing
from tests.epics import eventually
from tests.rundb.rows import PRESSURE, event, locked, reading, rows

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def impatient(database: Path) -> AsyncIterator[SqliteRunStore]:
    """A store whose calls end within two seconds."""
    opened = SqliteRunStore(database, call_seconds=2.0)
    await opened.start()
    yield opened
    await opened.close()


async def test_a_locked_file_fails_within_a_bound_and_recovers(impatient: SqliteRunStore, database: Path) -> None:
    """While another program holds the file, a run number is refused in time, nothing blocks, and it heals itself."""
    await impatient.define_observables("e1", [PRESSURE])
    with locked(database):
        impatient.add_event(event("kept"))
        begun = time.monotonic()
        with pytest.raises(PeerError, match=r"runs\.db is locked by another program: close"):
            await impatient.reserve_run("e1", "", RunClass.Beam, "")
        assert time.monotonic() - begun < 2
        impatient.add_samples("e1", None, [reading(1.0)])
        await eventually(lambda: "locked" in impatient.health().error)
        assert impatient.health().queued >= 2
    assert (await impatient.reserve_run("e1", "", RunClass.Beam, "")).run.number == 0
    await eventually(lambda: impatient.health().queued == 0)
    assert impatient.health().error == ""
    assert rows(database, "SELECT count(*) FROM samples") == [(1,)]
    messages = [message for (message,) in rows(database, "SELECT message FROM events ORDER BY id")]
    assert messages[0] == "kept"
    assert "works again" in messages[1]


Call = Callable[[SqliteRunStore], Awaitable[object]]
CALLS: dict[str, Call] = {
    "a setting": lambda store: store.save_settings({"title": "x" * 5000}),
    "a run number": lambda store: store.reserve_run("e1", "", RunClass.Beam, ""),
    "the last run": lambda store: store.last_run("e3"),
    "observables": lambda store: store.define_observables("e1", [PRESSURE]),
    "all rows": lambda store: store.flush(),
}


@pytest.mark.parametrize("what", CALLS)
async def test_no_call_waits_for_a_locked_file(store: SqliteRunStore, database: Path, what: str) -> None:
    """Whatever is asked for while another program has the file locked is refused within half a second, with the reason.

    It is so whether others ask too, and rows wait; together with them it takes no longer.
    """
    await store.define_observables("e1", [PRESSURE])
    with locked(database):
        store.add_samples("e1", None, [reading(1.0)])
        begun = time.monotonic()
        asked = [CALLS[what](store), *(call(store) for call in CALLS.values())]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(outcome, PeerError)
            assert "is locked by another program" in str(outcome)
        assert time.monotonic() - begun < 0.5
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(PeerError, match="is locked by another program"):
                await CALLS[what](store)
        assert time.monotonic() - begun < 0.5
    await eventually(lambda: not store.problem(), timeout=2)
    await CALLS[what](store)


async def test_a_problem_is_known_and_over_within_two_seconds(store: SqliteRunStore, database: Path) -> None:
    """Though nobody writes, a lock, a file that is gone and one that is back are told within two seconds."""
    await eventually(lambda: not store.problem())
    elsewhere = database.with_name("elsewhere.db")
    with locked(database):
        await eventually(lambda: "is locked by another program" in store.problem(), timeout=2)
    await eventually(lambda: not store.problem(), timeout=2)
    _move(database, elsewhere)
    await eventually(lambda: "was removed or replaced while in use" in store.problem(), timeout=2)
    _move(elsewhere, database)
    await eventually(lambda: not store.problem(), timeout=2)


async def test_a_full_disk_is_known_though_nobody_writes(tmp_path: Path) -> None:
    """A disk that others fill is told within two seconds; no call waits; it is over within two more."""
    if not _may_mount(tmp_path):
        pytest.skip("a full disk needs permission to mount one")
    with _small_disk(tmp_path / "disk"):
        store = await SqliteRunStore.open(tmp_path / "disk" / "runs.db")
        await asyncio.to_thread(_fill_up, tmp_path / "disk")
        await eventually(lambda: "its disk is full" in store.problem(), timeout=2)
        begun = time.monotonic()
        for call in CALLS.values():
            with contextlib.suppress(PeerError):  # what is small may fit into what was left
                await call(store)
        with pytest.raises(PeerError, match="its disk is full"):
            await store.save_settings({"large": "x" * 1_000_000})
        assert time.monotonic() - begun < 0.5
        await asyncio.to_thread((tmp_path / "disk" / "others").unlink)
        await eventually(lambda: not store.problem(), timeout=2)
        await store.save_settings({"title": "x" * 5000})
        await store.close()


def _fill_up(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "others").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def _make_older(database: Path) -> None:
    """Make a file that cannot be opened without being written."""
    with contextlib.closing(open_for_writing(database, create=True, busy_seconds=1).conn) as connection:
        migrate(Database(connection), str(database), target=newest_version() - 1)


async def test_a_file_that_is_locked_at_the_start_is_waited_for(database: Path) -> None:
    """The store says why it is not open, refuses in time what is asked for, keeps rows, and opens by itself."""
    _make_older(database)
    store = SqliteRunStore(database)
    with locked(database):
        starting = asyncio.create_task(store.start())
        await eventually(lambda: "is locked by another program" in store.problem())
        begun = time.monotonic()
        with pytest.raises(PeerError, match="is locked by another program"):
            await store.load_settings()
        assert time.monotonic() - begun < 1.0
        store.add_event(event("kept"))
        assert not starting.done()
    await asyncio.wait_for(starting, 2)
    await store.close()
    assert [message for (message,) in rows(database, "SELECT message FROM events ORDER BY id LIMIT 1")] == ["kept"]


async def test_a_store_that_waits_at_the_start_can_be_closed(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who ends the program while the file was never opened is told what is lost, and nobody else keeps the file."""
    _make_older(database)
    store = SqliteRunStore(database)
    with locked(database):
        starting = asyncio.create_task(store.start())
        await eventually(store.problem)
        store.add_event(event("lost"))
        begun = time.monotonic()
        await store.close()
        assert time.monotonic() - begun < 2
        with pytest.raises(PeerError, match="is locked by another program"):
            await starting
    assert "1 rows are lost" in caplog.text
    FileLock(database).release()


async def test_a_disk_that_is_full_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """A database that cannot be made because its disk is full is made when there is space."""
    if not _may_mount(tmp_path):
        pytest.skip("a full disk needs permission to mount one")
    with _small_disk(tmp_path / "disk"):
        await asyncio.to_thread(_fill_up, tmp_path / "disk")
        store = SqliteRunStore(tmp_path / "disk" / "runs.db")
        starting = asyncio.create_task(store.start())
        await eventually(lambda: "its disk is full" in store.problem(), timeout=2)
        await asyncio.to_thread((tmp_path / "disk" / "others").unlink)
        await asyncio.wait_for(starting, 2)
        assert (await store.reserve_run("e1", "", RunClass.Beam, "")).run.number == 0
        await store.close()


async def test_a_file_system_that_turns_read_only_is_named(tmp_path: Path) -> None:
    """A file system that is mounted read-only is told as that, and what is to be done."""
    if not _may_mount(tmp_path):
        pytest.skip("a file system needs permission to mount one")
    with _small_disk(tmp_path / "disk"):
        await (await SqliteRunStore.open(tmp_path / "disk" / "runs.db")).close()
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)
        with pytest.raises(PeerError, match=r"file system|must be writable: Read-only"):
            await SqliteRunStore.open(tmp_path / "disk" / "runs.db")


async def test_a_bug_in_the_writer_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the thread that writes ends by a bug of ours, that is a problem like others, and no call waits for it."""
    store = await SqliteRunStore.open(database)

    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("ioc.rundb.rows.RowWriter.insert_log", bug)
    store.add_event(event("lost"))
    await eventually(lambda: "is no longer written, see the log: restart the IOC" in store.problem())
    with pytest.raises(PeerError, match="is closed"):
        await store.load_settings()
    await store.close()
    assert "RuntimeError: a bug" in caplog.text
    FileLock(database).release()


async def test_a_reader_that_holds_a_transaction_is_told(
    store: SqliteRunStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an old state is read the log of the file grows, and the store says why; afterwards it is cut off."""
    monkeypatch.setattr("ioc.rundb.writer._LOG_BYTES", 300_000)
    monkeypatch.setattr("ioc.rundb.writer._LARGE_LOG_BYTES", 1_000_000)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        for number in range(20):
            await store.save_settings({f"s{number}": "x" * 100_000})
        await eventually(lambda: "keeps a read transaction open" in store.health().warning)
        assert store.health().log_bytes > 1_000_000
        assert store.problem() == ""
        reader.execute("COMMIT")
        await eventually(lambda: not store.health().warning, timeout=3)
        assert store.health().log_bytes < 300_000
    assert len(await store.load_settings()) == 20


async def test_a_job_that_follows_rows_waits_for_them_or_fails(database: Path) -> None:
    """What was queued for an observable is never filed under the one that takes its place, whatever the file does."""
    store = SqliteRunStore(database, call_seconds=2.0)
    await store.start()
    await store.define_observables("e1", [PRESSURE])
    changed = PRESSURE.model_copy(update={"units": "mbar"})
    store.add_samples("e1", None, [reading(760.0)])
    with locked(database), pytest.raises(PeerError, match="locked"):
        await store.define_observables("e1", [changed])
    await eventually(lambda: not store.problem())
    with locked(database):
        defining = asyncio.create_task(store.define_observables("e1", [changed]))
        await asyncio.sleep(0)
        store.add_samples("e1", None, [reading(1013.0)])
        await asyncio.sleep(0.1)
    await defining
    await store.flush()
    sql = "SELECT units, value FROM samples JOIN observables ON observables.id = observable_id ORDER BY value"
    assert rows(database, sql) == [("Torr", 760.0), ("mbar", 1013.0)]
    assert store.health().dropped == 0
    await store.close()


async def test_rows_that_are_lost_at_the_end_are_said(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who ends the program while the file is locked is told how many rows could not be written."""
    monkeypatch.setattr("ioc.rundb.writer._DRAIN_SECONDS", 0.2)
    store = await SqliteRunStore.open(database)
    await store.define_observables("e1", [PRESSURE])
    with locked(database):
        store.add_samples("e1", None, [reading(float(number)) for number in range(7)])
        store.add_event(event("lost"))
        await store.close()
    assert store.health().dropped == 8
    assert "is locked by another program" in caplog.text
    assert "8 rows are lost, the program ends before they could be written" in caplog.text


async def test_the_loop_is_not_blocked_while_the_file_is_locked(impatient: SqliteRunStore, database: Path) -> None:
    """The event loop answers within 50 ms while an awaited call waits for a lock."""
    with locked(database):
        call = asyncio.create_task(impatient.save_settings({"a": "b"}))
        longest = 0.0
        while not call.done():
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - begun)
        assert longest < 0.25
        with pytest.raises(PeerError):
            await call


@contextlib.contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def _enlarge(path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", path], check=True)


def _may_mount(tmp_path: Path) -> bool:
    try:
        with _small_disk(tmp_path / "probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


async def _fill(store: SqliteRunStore) -> int:
    """Record until the disk is full; returns how many samples were queued."""
    await store.define_observables("e1", [PRESSURE])
    count = 0
    while not store.health().error:
        store.add_samples("e1", None, [reading(float(count + n), 1e9 + count + n) for n in range(500)])
        count += 500
        await asyncio.sleep(0.02)
    assert "its disk is full: free space" in store.health().error
    with pytest.raises(PeerError, match="its disk is full: free space"):
        await store.save_settings({"large": "x" * 1_000_000})
    return count


async def test_a_full_disk_raises_the_alarm_and_recovers(tmp_path: Path) -> None:
    """On a full disk rows are kept and the reason told; when there is space again, all of them are written.

    The disk is a tmpfs of 1 MB where mounting is permitted, else SQLite's own limit of pages stands for it.
    """
    if _may_mount(tmp_path):
        with _small_disk(tmp_path / "disk"):
            store = await SqliteRunStore.open(tmp_path / "disk" / "runs.db")
            count = await _fill(store)
            _enlarge(tmp_path / "disk")
            await _recovers(store, tmp_path / "disk" / "runs.db", count)
    else:
        store = await SqliteRunStore.open(tmp_path / "runs.db")
        await store.transaction(lambda db: db.execute("PRAGMA max_page_count = 100"))
        count = await _fill(store)
        await store.transaction(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        await _recovers(store, tmp_path / "runs.db", count)


async def _recovers(store: SqliteRunStore, database: Path, count: int) -> None:
    await eventually(lambda: not store.health().error and store.health().queued == 0, timeout=10)
    await store.save_settings({"large": "x" * 1_000_000})
    await store.flush()
    assert rows(database, "SELECT count(*), count(DISTINCT sampled_us) FROM samples") == [(count, count)]
    assert store.health().dropped == 0
    await store.close()


async def test_a_connection_that_breaks_is_replaced(store: SqliteRunStore, database: Path) -> None:
    """When the connection fails the file is opened anew: one call fails, what waited is written, numbers go on."""
    await store.define_observables("e1", [PRESSURE])
    await store.reserve_run("e1", "", RunClass.Beam, "")
    with pytest.raises(PeerError, match="closed database"):
        await store.transaction(lambda db: db.conn.close())
    store.add_samples("e1", None, [reading(1.0)])
    assert (await store.reserve_run("e1", "", RunClass.Beam, "")).run.number == 1
    await store.flush()
    assert rows(database, "SELECT value FROM samples") == [(1.0,)]
    assert store.health().error == ""


async def test_a_disk_that_hangs_delays_nobody(database: Path) -> None:
    """While the disk takes nothing, calls end in time, rows wait and the loop is free; then everything goes on."""
    store = SqliteRunStore(database, call_seconds=0.3)
    await store.start()
    await store.define_observables("e1", [PRESSURE])
    disk = threading.Event()
    hanging = asyncio.create_task(store.transaction(lambda _: disk.wait(10)))
    await asyncio.sleep(0)
    begun = time.monotonic()
    store.add_samples("e1", None, [reading(float(number)) for number in range(1000)])
    with pytest.raises(PeerTimeout, match=r"runs\.db did not answer within 0\.3 s: check its disk"):
        await store.save_settings({"a": "late"})
    assert time.monotonic() - begun < 1.0
    assert store.health().queued == 1000
    disk.set()
    with pytest.raises(PeerTimeout):
        await hanging
    await eventually(lambda: store.health().queued == 0)
    assert rows(database, "SELECT count(*) FROM samples") == [(1000,)]
    assert await store.load_settings() == {}
    await store.close()


def _move(source: Path, target: Path) -> None:
    source.rename(target)


def _exists(path: Path) -> bool:
    return path.exists()


async def test_a_file_that_was_removed_is_never_made_anew(store: SqliteRunStore, database: Path) -> None:
    """With the file moved away nothing is acknowledged, for numbers would be used twice; put back, it goes on."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    elsewhere = database.with_name("elsewhere.db")
    _move(database, elsewhere)
    with pytest.raises(PeerError, match="was removed or replaced while in use: put the old file back"):
        await store.reserve_run("e1", "", RunClass.Beam, "")
    assert not _exists(database)
    _move(elsewhere, database)
    assert (await store.reserve_run("e1", "", RunClass.Beam, "")).run.number == 1
    assert store.health().error == ""


async def test_a_store_that_was_cancelled_while_waiting_goes_on(store: SqliteRunStore, database: Path) -> None:
    """Cancelling an awaited call abandons the wait and nothing else."""
    with locked(database):
        call = asyncio.create_task(store.reserve_run("e1", "", RunClass.Beam, ""))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await store.save_settings({"a": "b"})
    assert await store.load_settings() == {"a": "b"}


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancellation_is_never_swallowed(store: SqliteRunStore, turns: int) -> None:
    """Who is cancelled while the answer is on its way ends so, however near it is: an IOC ends when it is told to."""
    answered = threading.Event()
    call = asyncio.create_task(store.load_settings())
    behind = asyncio.create_task(store.transaction(lambda _: answered.set()))
    await asyncio.sleep(0)  # it is asked
    assert answered.wait(5)  # and answered, which the loop does not know yet
    for _ in range(turns):
        await asyncio.sleep(0)
    told = not call.done()
    call.cancel()
    await asyncio.wait([call, behind])
    assert call.cancelled() == told


CHILD = """
import asyncio, sys, time
from pathlib import Path
from ioc.model import Reading, RunClass, Severity
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable

async def main():
    store = await SqliteRunStore.open(Path(sys.argv[1]))
    await store.define_observables("e1", [Observable(name="pressure", pv="GAS:P")])
    number = 0
    while True:
        record = await store.reserve_run("e1", "", RunClass.Beam, "")
        print("run", record.run.number, flush=True)
        for _ in range(20):
            now = time.time()
            store.add_samples("e1", None, [Reading("pressure", number, Severity.NO_ALARM, "NO_ALARM", now)])
            print("sample", number, now, flush=True)
            number += 1
            await asyncio.sleep(0.002)

asyncio.run(main())
"""


def test_nothing_is_lost_when_the_process_is_killed(database: Path) -> None:
    """Killed again and again: no number that was given is lost or given twice, no sample older than 1 s is lost."""
    numbers: list[int] = []
    for round_number in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(database)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        samples: list[tuple[int, float]] = []
        given: list[int] = []
        lines = 150 + 250 * round_number
        with child.stdout as stream:
            for line in stream:
                word, number, *moment = line.split()
                if word == "run":
                    given.append(int(number))
                else:
                    samples.append((int(number), float(moment[0])))
                if len(samples) == lines:
                    child.kill()
                    killed_at = time.time()
                    break
        child.wait()
        numbers += given
        since = round(samples[0][1] * 1e6)
        stored = {value for (value,) in rows(database, "SELECT value FROM samples WHERE sampled_us >= ?", since)}
        assert {value for value, moment in samples if moment < killed_at - 1.0} <= stored
        assert set(given) <= {number for (number,) in rows(database, "SELECT run_number FROM runs")}
    assert len(numbers) == len(set(numbers))
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    FileLock(database).release()
