"""The store against a real SQLite file."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.model import (
    Client,
    ConfigChoice,
    DocumentState,
    FiledFile,
    PutRecord,
    RunClass,
    RunConfig,
    RunId,
    Severity,
    Statistics,
    ValueType,
)
from ioc.rundb import BEGINNING, Measurement, SqliteRunStore
from ioc.rundb.row_queue import RowQueue
from ioc.rundb.rows import LogRow
from ioc.rundb.times import from_text, to_text
from tests.epics import eventually
from tests.rundb.rows import GAS, PRESSURE, event, locked, reading, rows

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_run_numbers_count_from_zero_in_each_experiment(store: SqliteRunStore) -> None:
    """Numbers begin at 0 and count up within an experiment."""
    assert await store.last_run("e1") is None
    numbers = [(await store.reserve_run(name, "", RunClass.Beam, "")).run for name in ("e1", "e1", "e2", "e1")]
    assert numbers == [RunId("e1", 0), RunId("e1", 1), RunId("e2", 0), RunId("e1", 2)]


async def test_samples_of_one_moment_are_numbered_without_gap(store: SqliteRunStore, database: Path) -> None:
    """Samples of one moment have numbers from 0 on, in their order, also over several statements and transactions."""
    await store.define_observables("e1", [PRESSURE])
    for begin, end in ((0, 7), (7, 10)):
        store.add_samples("e1", None, [reading(float(value), 1e9) for value in range(begin, end)])
        await store.flush()
    assert rows(database, "SELECT seq, value FROM sample_rows ORDER BY seq") == [(n, float(n)) for n in range(10)]


async def test_concurrent_reservations_never_share_a_number(store: SqliteRunStore) -> None:
    """Fifty reservations at once get fifty different numbers."""
    records = await asyncio.gather(*(store.reserve_run("e1", "", RunClass.Beam, "") for _ in range(50)))
    assert sorted(record.run.number for record in records) == list(range(50))


async def test_a_run_comes_back_as_it_was_saved(database: Path) -> None:
    """Every field of a run survives closing and opening the database."""
    store = await SqliteRunStore.open(database)
    record = await store.reserve_run("e18008", "Ångström 'µ' \"quoted\"", RunClass.Production, "a/b/c")
    saved = replace(record, state=DocumentState.Filing, started_at=1795350000.25, stopped_at=1795350010.5, message="m")
    await store.save_run(saved)
    await store.close()
    store = await SqliteRunStore.open(database)
    last = await store.last_run("e18008")
    assert last is not None
    assert replace(last, reserved_at=0) == replace(saved, reserved_at=0, duration=10.25)
    assert last.reserved_at == pytest.approx(saved.reserved_at, abs=1e-6)
    assert await store.unfinished_runs() == (last,)
    await store.save_run(replace(last, state=DocumentState.Complete))
    assert await store.unfinished_runs() == ()
    await store.close()
    assert rows(database, "SELECT duration FROM runs") == [(10.25,)]


async def test_a_clock_set_back_gives_no_negative_duration(store: SqliteRunStore, database: Path) -> None:
    """A run that stopped before it started has duration 0, or the one that is known, and its stop is not stored so."""
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    for known, stored in ((None, 0.0), (60.0, 60.0)):
        await store.save_run(replace(record, started_at=1000.0, stopped_at=900.0, duration=known))
        assert rows(database, "SELECT duration, stopped_at >= started_at FROM runs") == [(stored, 1)]


async def test_the_bytes_of_a_run_are_added_up(store: SqliteRunStore, database: Path) -> None:
    """The size of a run follows its files, whatever is recorded again; saving the run does not change it."""
    first, second = [await store.reserve_run("e1", "", RunClass.Beam, "") for _ in range(2)]
    for record, path, size, source in (
        (first, "/a", 10, "CoBo[0]"),
        (first, "/b", 20, ""),
        (second, "/a", 5, ""),
        (first, "/a", 12, ""),
    ):
        await store.add_files(record.run, FiledFile("data0", "h", path, size, 5.0, source=source))
    await store.save_run(replace(first, state=DocumentState.Complete, size=7))
    assert rows(database, "SELECT bytes FROM runs ORDER BY id") == [(32,), (5,)]
    found = await store.get_run(first.run)
    assert found is not None
    assert found.size == 32
    assert rows(database, "SELECT path, source FROM files WHERE run_id = 1") == [("/a", "CoBo[0]"), ("/b", "")]


async def test_saving_an_unknown_run_is_an_error(store: SqliteRunStore) -> None:
    """A run that was never reserved cannot be saved, configured or given files."""
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    unknown = RunId("e1", 7)
    with pytest.raises(PeerError, match="run 7 of experiment e1 is not in the run database"):
        await store.save_run(replace(record, run=unknown))
    with pytest.raises(PeerError, match="run 7 of experiment e1"):
        await store.save_run_configs(unknown, [RunConfig("CoBo0", ConfigChoice("a", "b", "c"))])
    assert store.health().error == ""
    with pytest.raises(PeerError, match="run 7 of experiment e1"):
        await store.add_files(unknown, FiledFile("data0", "h", "/p", 1, 0.0))


async def test_configs_are_replaced_and_files_are_recorded_once(store: SqliteRunStore, database: Path) -> None:
    """Recording is idempotent: the same server or file again changes the row that is there."""
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    for digest in ("", "x=1"):
        await store.save_run_configs(run, [RunConfig("CoBo0", ConfigChoice("a", "b", "c"), digest)])
    for size in (10, 12):
        await store.add_files(run, FiledFile("data0", "192.168.41.60", "/d/e1/run_0000/f.graw", size, 5.0))
    assert rows(database, "SELECT ecc_server, describe, prepare, configure, config_digest FROM run_configs") == [
        ("CoBo0", "a", "b", "c", "x=1")
    ]
    assert rows(database, "SELECT router, host, bytes, moved_at FROM files") == [
        ("data0", "192.168.41.60", 12, "1970-01-01T00:00:05.000000Z")
    ]


async def test_settings_are_remembered(database: Path) -> None:
    """The last value of a setting is there after a restart."""
    store = await SqliteRunStore.open(database)
    await store.save_settings({"title": "one"})
    await store.save_settings({"title": "two"})
    await store.close()
    store = await SqliteRunStore.open(database)
    assert await store.load_settings() == {"title": "two"}
    await store.close()


async def test_events_and_puts_reach_the_disk_within_a_second(store: SqliteRunStore, database: Path) -> None:
    """Queued rows are visible to another program within a second, with their run and who asked."""
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    begun = time.monotonic()
    store.add_event(event("began", run))
    store.add_put(PutRecord(5.0, "P:Run:Title", "a", "b", Client("ann", "10.0.0.1"), "refused", "because", run, 7))
    await eventually(lambda: rows(database, "SELECT 1 FROM puts"), timeout=3)
    assert time.monotonic() - begun < 1.0
    assert rows(database, "SELECT source, message, run_id FROM events") == [("Test", "began", 1)]
    assert rows(
        database, "SELECT occurred_at, pv, old_value, new_value, user, host, result, message, run_id, count FROM puts"
    ) == [("1970-01-01T00:00:05.000000Z", "P:Run:Title", "a", "b", "ann", "10.0.0.1", "refused", "because", 1, 7)]


async def test_samples_keep_type_time_alarm_and_gaps(store: SqliteRunStore, database: Path) -> None:
    """REAL, INTEGER and TEXT stay what they are; NaN is null; an enum is its text; a gap says so; ties are kept."""
    await store.define_observables("e1", [PRESSURE, GAS])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    at = 1795350000.123456
    store.add_samples("e1", None, [reading(1.5, at), reading(2.5, at)])
    store.add_samples("e1", run, [reading(3, at), reading(math.nan, at + 1), reading(math.inf, at + 2)])
    store.add_samples(
        "e1", run, [reading(None, at + 3), reading("P10", at, "target_gas"), reading(1, at + 4, label="On")]
    )
    await store.flush()
    assert rows(
        database,
        "SELECT name, run_id, sampled_at, value, typeof(value), severity, status FROM samples "
        "JOIN observables ON observables.id = observable_id ORDER BY name, run_id, sampled_at, value",
    ) == [
        ("pressure", None, "2026-11-22T12:20:00.123456Z", 1.5, "real", 0, "NO_ALARM"),
        ("pressure", None, "2026-11-22T12:20:00.123456Z", 2.5, "real", 0, "NO_ALARM"),
        ("pressure", 1, "2026-11-22T12:20:00.123456Z", 3, "integer", 0, "NO_ALARM"),
        ("pressure", 1, "2026-11-22T12:20:01.123456Z", None, "null", 0, "NO_ALARM"),
        ("pressure", 1, "2026-11-22T12:20:02.123456Z", math.inf, "real", 0, "NO_ALARM"),
        ("pressure", 1, "2026-11-22T12:20:03.123456Z", None, "null", 3, "disconnected"),
        ("pressure", 1, "2026-11-22T12:20:04.123456Z", "On", "text", 0, "NO_ALARM"),
        ("target_gas", 1, "2026-11-22T12:20:00.123456Z", "P10", "text", 0, "NO_ALARM"),
    ]
    survey = await store.survey_samples(run, at + 3.5, None)
    last = round((at + 4) * 1e6)
    assert survey == (((1, "pressure", False, last), (2, "target_gas", True, round(at * 1e6))), pytest.approx(at + 3))
    older = await store.survey_samples(run, at + 3.5, at + 2)
    assert older == (((1, "pressure", False, last - 3_000_000), older.observables[1]), pytest.approx(at + 1))
    loaded = await store.load_samples(run, 1, BEGINNING, last)
    assert [sample.connected for sample in loaded.samples] == [True, True, True, False, True]
    assert loaded.following is None
    later = await store.load_samples(run, 1, (round((at + 2) * 1e6), 0), last - 1)
    assert later.samples == loaded.samples[2:4]


async def test_samples_are_read_back_page_by_page(store: SqliteRunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many samples there are, also with one time stamp, each is on one page, and no page is long."""
    monkeypatch.setattr("ioc.rundb.store._PAGE", 7)
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(float(n), 1000.0 + n // 10) for n in range(50)])
    await store.flush()
    pages: list[int] = []
    values: list[object] = []
    begin: tuple[int, int] | None = BEGINNING
    while begin is not None:
        samples, begin = await store.load_samples(run, 1, begin, 2_000_000_000)
        pages.append(len(samples))
        values += [sample.value for sample in samples]
    assert values == list(range(50))
    assert max(pages) == 7


async def test_a_row_that_cannot_be_stored_does_not_stop_the_others(store: SqliteRunStore, database: Path) -> None:
    """A sample of an unknown observable and a number beyond all bounds are counted as dropped; the rest is stored."""
    await store.define_observables("e1", [PRESSURE])
    bad = [reading(1.0, name="nobody"), reading(10**400)]
    store.add_samples("e1", None, [reading(1.0), *bad, reading("bad \udcff text"), reading(2.0)])
    await store.flush()
    assert rows(database, "SELECT value FROM samples ORDER BY sampled_at") == [(1.0,), ("bad \\udcff text",), (2.0,)]
    assert store.health().dropped == 2
    assert store.health().queued == 0


async def test_the_queue_is_bounded_and_says_what_it_dropped(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the file is locked rows are kept up to the limit; the log says when dropping begins and how it ended."""
    store = SqliteRunStore(database, sample_limit=100)
    await store.start()
    await store.define_observables("e1", [PRESSURE])
    with locked(database):
        await eventually(lambda: store.health().queued == 0)
        for number in range(300):
            store.add_samples("e1", None, [reading(float(number), 1e9 + number)])
        await eventually(lambda: store.health().error)
        assert store.health().queued >= 100
    await eventually(lambda: store.health().queued == 0 and not store.health().error)
    await store.flush()
    assert store.health().dropped == 200
    assert rows(database, "SELECT count(*), max(value) FROM samples") == [(100, 99.0)]
    assert [record.message for record in caplog.records if "dropped" in record.message] == [
        "run database: 100 samples wait to be written, new ones are dropped",
        "run database: writing continues; 200 samples were dropped",
    ]
    messages = [message for (message,) in rows(database, "SELECT message FROM events")]
    assert any("200 rows were dropped" in message for message in messages)
    await store.close()


async def test_measurements_come_back(store: SqliteRunStore) -> None:
    """Statistics are stored, replaced and loaded in display order."""
    await store.define_observables("e1", [PRESSURE, GAS])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    first = Measurement("pressure", 1.0, None, Statistics(1.0, 1.0, 1.0, 1, Severity.NO_ALARM, 0.0))
    last = (
        replace(first, end_value=2.0, statistics=replace(first.statistics, samples=5)),
        Measurement("target_gas", "P10", "P10", Statistics(None, None, None, 1, Severity.NO_ALARM, 0.5)),
    )
    await store.save_measurements(run, [first])
    await store.save_measurements(run, last)
    assert await store.load_measurements(run) == tuple(
        replace(each, observable_id=number) for number, each in enumerate(last, start=1)
    )


async def test_a_whole_number_beyond_64_bits_is_stored_as_a_float(store: SqliteRunStore, database: Path) -> None:
    """What SQLite has no integer for is kept as a float, as sample and as value of a run."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(2**70)])
    figures = Measurement("pressure", 2**70, -(2**70), Statistics(1.0, 1.0, 1.0, 1, Severity.NO_ALARM, 0.0))
    await store.save_measurements(run, [figures])
    assert rows(database, "SELECT value, typeof(value) FROM samples") == [(2.0**70, "real")]
    assert rows(database, "SELECT begin_value, end_value FROM measurements") == [(2.0**70, -(2.0**70))]


async def test_an_observable_that_changes_is_another_one(store: SqliteRunStore, database: Path) -> None:
    """Another unit, type or source makes a new row of observables: what runs have of the old one stays as it was."""
    changes = ({"units": "mbar"}, {"pv": "GAS:NEW"}, {"type": ValueType.Integer}, {"label": "P", "comment": "new"}, {})
    ids = [
        (await store.define_observables("e1", [PRESSURE.model_copy(update=change)]))["pressure"] for change in changes
    ]
    assert ids == [1, 2, 3, 4, 4]
    described = rows(database, "SELECT id, units, value_type, source_pv, label, retired_at IS NULL FROM observables")
    assert described == [
        (1, "mbar", "float", "GAS:P", "Gas pressure", 0),
        (2, "Torr", "float", "GAS:NEW", "Gas pressure", 0),
        (3, "Torr", "integer", "GAS:P", "Gas pressure", 0),
        (4, "Torr", "float", "GAS:P", "Gas pressure", 1),
    ]


async def test_samples_that_were_queued_belong_to_the_observable_before(store: SqliteRunStore, database: Path) -> None:
    """When an observable becomes another one, what had come before is not taken for that one's."""
    await store.define_observables("e1", [PRESSURE])
    store.add_samples("e1", None, [reading(760.0)])
    await store.define_observables("e1", [PRESSURE.model_copy(update={"units": "mbar"})])
    store.add_samples("e1", None, [reading(1013.0)])
    await store.flush()
    sql = "SELECT units, value FROM samples JOIN observables ON observables.id = observable_id ORDER BY value"
    assert rows(database, sql) == [("Torr", 760.0), ("mbar", 1013.0)]


async def test_two_stores_never_share_a_file(store: SqliteRunStore, database: Path) -> None:
    """A second IOC on the same database is refused with the first one's process id."""
    with pytest.raises(PeerError, match=r"runs\.db is in use by another IOC \(process \d+\)"):
        await SqliteRunStore.open(database)


async def test_a_closed_store_refuses(database: Path) -> None:
    """After close an awaited call fails at once and what is queued is ignored."""
    store = await SqliteRunStore.open(database)
    await store.close()
    store.add_event(event("late"))
    with pytest.raises(PeerError, match="is closed"):
        await store.load_settings()


async def test_close_writes_what_is_queued(database: Path) -> None:
    """Rows that were queued just before close are in the one file that is left; its thread has ended."""
    store = await SqliteRunStore.open(database)
    store.add_event(event("last words"))
    await store.close()
    assert sorted(file.name for file in database.parent.iterdir()) == ["runs.db", "runs.db.lock"]
    assert [thread.name for thread in threading.enumerate() if thread.name == "run database"] == []
    assert rows(database, "SELECT message FROM events") == [("last words",)]


@given(st.floats(min_value=0, max_value=4e9))
def test_times_survive_as_text(moment: float) -> None:
    """A time keeps its microseconds as text, and the text has one form."""
    text = to_text(moment)
    assert TIME.fullmatch(text)
    assert from_text(text) == pytest.approx(moment, abs=1e-6)


async def test_a_job_between_rows_that_are_being_taken(store: SqliteRunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that comes just when rows are taken from the queue is done, and so are those that follow."""
    loop, taken, taking = asyncio.get_running_loop(), RowQueue[LogRow].oldest, threading.Event()

    async def flush_between() -> None:
        store.add_event(event("before"))
        flushed = asyncio.create_task(store.flush())
        await asyncio.sleep(0)
        store.add_event(event("after"))
        await flushed

    def oldest(queue: RowQueue[LogRow], count: int) -> list[LogRow]:
        if not taking.is_set():
            taking.set()
            asyncio.run_coroutine_threadsafe(flush_between(), loop)
            time.sleep(0.2)
        return taken(queue, count)

    monkeypatch.setattr(RowQueue, "oldest", oldest)
    await asyncio.to_thread(taking.wait, 5)
    await store.flush()
    store.add_event(event("later"))
    await store.flush()
    assert store.problem() == ""


async def test_a_job_does_not_wait_for_all_rows(store: SqliteRunStore) -> None:
    """While many samples are written, another transaction has its turn between those of the samples."""
    await store.define_observables("e1", [PRESSURE])
    store.add_samples("e1", None, [reading(float(n), 1e9 + n) for n in range(60_000)])
    queued: set[int] = set()
    while store.health().queued:
        await store.load_settings()
        queued.add(store.health().queued)
    assert len(queued) >= 4


async def test_what_is_written_is_on_disk(store: SqliteRunStore) -> None:
    """Each transaction waits until the disk has it (2 is FULL)."""
    assert await store.transaction(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (2,)
