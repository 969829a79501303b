"""The recorder on a real run database, fed by hand."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from ioc.errors import PeerError, Refused
from ioc.model import RunClass, RunId, Scalar, Severity, Statistics
from ioc.observables import Properties
from ioc.rundb import Measurement, SqliteRunStore
from tests.epics import eventually
from tests.recorder.rig import ALL, Rig, rig
from tests.rundb.rows import locked, rows

SAMPLES = "SELECT value, status, run_id FROM samples JOIN observables o ON o.id = observable_id WHERE name = ?"


async def test_a_run_has_begin_end_and_statistics(database: Path) -> None:
    """Values at begin and end, the statistics between, and all samples of the run are stored."""
    async with rig(database) as it:
        it.feed.send(5.0)
        it.feed.send(1, name="valve", label="Open")
        await it.recorder.set_manual("target_gas", "P10")
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(7.0)
        it.feed.send(6.0)
        it.feed.send(None, name="valve")
        await it.recorder.end_run(run)
        it.feed.send(99.0)
        await it.store.flush()
        measured = {each.observable: each for each in await it.store.load_measurements(run)}
        pressure = measured["pressure"]
        assert (pressure.begin_value, pressure.end_value) == (5.0, 6.0)
        assert (pressure.statistics.minimum, pressure.statistics.maximum, pressure.statistics.samples) == (5.0, 7.0, 3)
        assert pressure.statistics.mean is not None
        assert 5.0 <= pressure.statistics.mean <= 7.0
        assert (measured["target_gas"].begin_value, measured["target_gas"].end_value) == ("P10", "P10")
        assert (measured["valve"].begin_value, measured["valve"].end_value) == ("Open", None)
        assert measured["valve"].statistics.worst_severity == Severity.INVALID
        assert (measured["energy"].begin_value, measured["energy"].statistics.disconnected_seconds) == (None, 0.0)
        in_run = f"{SAMPLES} AND run_id = 1 ORDER BY sampled_us"
        assert rows(database, in_run, "pressure") == [(5.0, "NO_ALARM", 1), (7.0, "NO_ALARM", 1), (6.0, "NO_ALARM", 1)]
        assert rows(database, in_run, "valve") == [("Open", "NO_ALARM", 1), (None, "disconnected", 1)]


@pytest.mark.parametrize(("record", "expected"), [("always", [1.0, 3.0]), ("runs", [])])
async def test_samples_between_runs_are_kept_if_asked_for(
    database: Path, record: Literal["always", "runs"], expected: list[float]
) -> None:
    """`record: runs` leaves out what comes while no run is open."""
    async with rig(database, record) as it:
        it.feed.send(1.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(2.0)
        await it.recorder.end_run(run)
        it.feed.send(3.0)
        await it.store.flush()
        between = f"{SAMPLES} AND run_id IS NULL AND value NOT NULL ORDER BY sampled_us"
        assert [value for value, _, _ in rows(database, between, "pressure")] == expected


async def test_a_disconnected_observable_begins_with_null(database: Path) -> None:
    """The begin of a run without a value is null, and recorded as a gap that ends when the source comes back."""
    async with rig(database) as it:
        it.feed.send(5.0)
        it.feed.send(None)
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(6.0, at=time.time() - 3600)  # its value has not changed since before the gap
        await it.recorder.end_run(run)
        await it.store.flush()
        (measured,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
        assert (measured.begin_value, measured.end_value) == (None, 6.0)
        stored = rows(database, f"{SAMPLES} AND run_id = 1 ORDER BY sampled_us", "pressure")
        assert stored == [(None, "disconnected", 1), (6.0, "NO_ALARM", 1)]


async def test_a_manual_value_keeps_the_time_when_it_was_set(database: Path) -> None:
    """After a reload and after a restart a manual value still has the time of its put."""
    async with rig(database) as it:
        before = time.time()
        await it.recorder.set_manual("target_gas", "P10")
        after = time.time()
        await it.recorder.reload(ALL)
        reloaded = it.view("target_gas").reading
    async with rig(database) as it:
        restarted = it.view("target_gas").reading
    for reading in (reloaded, restarted):
        assert reading is not None
        assert (reading.value, before - 1e-6 <= reading.sampled_at <= after) == ("P10", True)


async def test_views_show_reading_statistics_and_units(database: Path) -> None:
    """A view has the last reading, the open run's figures, the topology's units, else the source's."""
    async with rig(database) as it:
        view = it.view("pressure")
        assert (view.reading, view.connected) == (None, False)
        assert it.statistics("pressure") == Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)
        assert it.view("target_gas").connected
        it.feed.tell("pressure", Properties("mbar", 3, ()))
        it.feed.tell("valve", Properties("turns", 0, ("Shut", "Open")))
        it.feed.send(math.nan)
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(4.0)
        view, statistics = it.view("pressure"), it.statistics("pressure")
        assert view.reading is not None
        assert (view.reading.value, view.connected, statistics.samples) == (4.0, True, 2)
        assert (statistics.minimum, statistics.maximum, statistics.mean) == (4.0, 4.0, 4.0)
        assert (view.units, view.precision) == ("Torr", 3)
        assert it.view("valve").units == "turns"
        await it.recorder.end_run(run)
        assert it.statistics("pressure").samples == 2
        assert it.recorder.names == tuple(each.name for each in ALL)


async def test_changes_are_told_together_and_not_per_sample(database: Path) -> None:
    """A thousand samples lead to a few calls of the listener, which name what has changed."""
    async with rig(database) as it:
        await eventually(lambda: it.changes)
        it.changes.clear()
        for number in range(1000):
            it.feed.send(float(number))
        it.feed.send(1, name="valve")
        await eventually(lambda: it.changes)
        assert it.changes == [frozenset({"pressure", "valve"})]


async def test_required_observables_without_value_are_named(database: Path) -> None:
    """A source that is gone, a manual value never set and an unknown name are all missing."""
    async with rig(database) as it:
        names = ("pressure", "valve", "target_gas", "nobody")
        assert it.recorder.disconnected(names) == names
        it.feed.send(1.0)
        it.feed.send(0, name="valve")
        it.feed.send(None, name="valve")
        await it.recorder.set_manual("target_gas", "")
        assert it.recorder.disconnected(names) == ("valve", "nobody")


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("energy", "3.5", 3.5),
        ("energy", 4, 4.0),
        ("count", " 12 ", 12),
        ("count", 3.0, 3),
        ("count", -(2**31), -(2**31)),
        ("count", 2**31 - 1, 2**31 - 1),
        ("target_gas", "He:CO₂ 90/10", "He:CO₂ 90/10"),
    ],
)
async def test_manual_values_are_typed_and_outlive_the_process(
    database: Path, name: str, value: Scalar, stored: Scalar
) -> None:
    """A manual value is taken as its type, recorded as a sample, and there again after a restart."""
    async with rig(database) as it:
        await it.recorder.set_manual(name, value)
        await it.store.flush()
        assert rows(database, SAMPLES, name) == [(stored, "NO_ALARM", None)]
    async with rig(database) as it:
        reading = it.view(name).reading
        assert reading is not None
        assert (reading.value, type(reading.value)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pressure", 1.0, "observable pressure follows the PV GAS:P"),
        ("nobody", 1.0, "observable nobody does not exist: it must be one of pressure, target_gas"),
        ("energy", "ten", "observable energy got 'ten', but must be a finite number"),
        ("energy", math.nan, "must be a finite number"),
        ("energy", 10**400, "must be a finite number"),
        ("count", 2.5, "observable count got '2.5', but must be a whole number"),
        ("count", 2**31, "must be a whole number from -2147483648 to 2147483647"),
        ("count", -(2**31) - 1, "must be a whole number from -2147483648 to 2147483647"),
        ("target_gas", "x" * 40, "got a text of 40 bytes, but at most 39 are allowed"),
        ("target_gas", "ü" * 20, "got a text of 40 bytes, but at most 39 are allowed"),
        ("target_gas", "two\nlines", "must be one line of printable text"),
    ],
)
async def test_wrong_manual_values_are_refused(database: Path, name: str, value: Scalar, message: str) -> None:
    """A value that does not fit is refused with a sentence, and nothing changes."""
    async with rig(database) as it:
        with pytest.raises(Refused, match=message):
            await it.recorder.set_manual(name, value)
        assert it.recorder.disconnected([name]) == (name,)
        assert await it.store.load_settings() == {}


async def test_manual_values_are_copied_from_a_run(database: Path) -> None:
    """Only manual observables that had a value then are set."""
    async with rig(database) as it:
        it.feed.send(5.0)
        await it.recorder.set_manual("target_gas", "P10")
        run = await it.run()
        await it.recorder.begin_run(run)
        await it.recorder.end_run(run)
        await it.recorder.set_manual("target_gas", "He")
        await it.recorder.set_manual("energy", 1.5)
        await it.recorder.copy_manual_from(run)
        values = {
            view.name: view.reading.value for view in it.recorder.values(it.recorder.names) if view.reading is not None
        }
        assert values == {"pressure": 5.0, "target_gas": "P10", "energy": 1.5}


async def test_manual_values_belong_to_an_experiment(database: Path) -> None:
    """Another experiment begins without manual values; going back brings the old ones."""
    async with rig(database) as it:
        await it.recorder.set_manual("target_gas", "P10")
        await it.recorder.change_experiment("e2")
        assert it.view("target_gas").reading is None
        await it.recorder.change_experiment("e1")
        assert it.recorder.disconnected(["target_gas"]) == ()


async def test_statistics_wait_for_a_database_that_is_locked(database: Path) -> None:
    """If the end of a run cannot be stored it is an error at once; it is stored soon after, and that is told."""
    told: list[RunId] = []
    async with rig(database) as it:
        it.recorder.when_stored_late(told.append)
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        with locked(database):
            begun = time.monotonic()
            with pytest.raises(PeerError, match=r"runs\.db is locked"):
                await it.recorder.end_run(run)
            assert time.monotonic() - begun < 0.5
            assert it.statistics("pressure").samples == 1
            assert told == []
        end = "SELECT end_value FROM measurements JOIN observables o ON o.id = observable_id WHERE name = 'pressure'"
        await eventually(lambda: told == [run], timeout=3)
        assert rows(database, end) == [(5.0,)]


async def test_manual_values_wait_for_a_database_that_is_locked(database: Path) -> None:
    """A manual value is taken at once, is used, and is on disk soon after the lock is gone; the newest one wins."""
    async with rig(database) as it:
        with locked(database):
            begun = time.monotonic()
            assert await it.recorder.set_manual("target_gas", "P10") == (None, "P10")
            assert await it.recorder.set_manual("energy", 1.5) == (None, 1.5)
            assert await it.recorder.set_manual("target_gas", "He") == ("P10", "He")
            assert time.monotonic() - begun < 0.5
            assert it.recorder.disconnected(["target_gas", "energy"]) == ()
        kept = "SELECT name, value FROM settings WHERE name LIKE 'observable/%' ORDER BY name"
        expected = [("observable/e1/energy", "1.5"), ("observable/e1/target_gas", "He")]
        await eventually(lambda: rows(database, kept) == expected, timeout=3)
    async with rig(database) as it:
        assert it.recorder.disconnected(["target_gas", "energy"]) == ()


async def test_manual_values_that_are_not_stored_yet_are_not_forgotten(database: Path) -> None:
    """Who reads the settings again before a value is stored, as another experiment does, has it all the same."""
    async with rig(database) as it:
        save, broken = it.store.save_settings, [True]

        async def fail(settings: Mapping[str, str]) -> None:
            if broken:
                raise PeerError("the run database is locked")
            await save(settings)

        it.store.save_settings = fail  # type: ignore[method-assign]
        await it.recorder.set_manual("target_gas", "P10")
        await it.recorder.change_experiment("e2")
        await it.recorder.change_experiment("e1")
        assert it.recorder.disconnected(["target_gas"]) == ()
        broken.clear()
        await eventually(lambda: rows(database, "SELECT value FROM settings WHERE name = 'observable/e1/target_gas'"))


async def test_a_run_that_ends_while_its_figures_are_stored_is_stored_again(database: Path) -> None:
    """What is stored at last are the figures of the end, also if those of a moment before were on their way then."""
    async with rig(database) as it:
        it.feed.send(1.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        save, ends = it.store.save_measurements, [True]

        async def save_slowly(which: RunId, measurements: Sequence[Measurement]) -> None:
            if ends:
                ends.clear()
                it.feed.send(2.0)
                ending.append(asyncio.create_task(it.recorder.end_run(run)))
                await asyncio.sleep(0)
            await save(which, measurements)

        ending: list[asyncio.Task[None]] = []
        it.store.save_measurements = save_slowly  # type: ignore[method-assign]
        await it.recorder.save()
        await asyncio.gather(*ending)
        (measured,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
    assert (measured.end_value, measured.statistics.samples) == (2.0, 2)


async def test_an_end_never_overtakes_its_begin(database: Path) -> None:
    """A run that ends before its begin was recorded is over, and what comes after it is not in it."""
    async with rig(database) as it:
        run = (await it.store.reserve_run("e2", "", RunClass.Beam, "")).run
        await asyncio.gather(it.recorder.begin_run(run), it.recorder.end_run(run))
        it.feed.send(5.0)
        await it.store.flush()
        assert rows(database, f"{SAMPLES} AND value NOT NULL", "pressure") == [(5.0, "NO_ALARM", None)]


async def test_closing_ends_what_was_connected_with_a_gap(database: Path) -> None:
    """When the IOC ends, each connected observable gets a gap, and the feed is closed."""
    async with rig(database) as it:
        it.feed.send(5.0)
    assert it.feed.closed
    assert [value for value, _, _ in rows(database, f"{SAMPLES} ORDER BY sampled_us", "pressure")] == [5.0, None]
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_followed_before_the_recording_is_recorded_from_its_present_value_on(database: Path) -> None:
    """Only the newest value from before belongs to the record; values are known at once, and stay."""
    store = SqliteRunStore(database)
    it = Rig(store)
    await it.recorder.follow(it.changes.append)
    assert it.view("pressure").reading is None
    for value in (1.0, 2.0):
        it.feed.send(value)
    reading = it.view("pressure").reading
    assert reading is not None
    assert reading.value == 2.0
    assert set(it.recorder.disconnected([each.name for each in ALL])) == {each.name for each in ALL} - {"pressure"}
    await eventually(lambda: any("pressure" in names for names in it.changes))
    await store.start()
    await it.recorder.start("e2")
    it.feed.send(3.0)
    run = (await store.reserve_run("e2", "", RunClass.Beam, "")).run
    await it.recorder.begin_run(run)
    assert it.statistics("pressure").minimum == 3.0
    await it.recorder.end_run(run)
    await it.recorder.close()
    await store.close()
    recorded = "SELECT DISTINCT value FROM samples JOIN observables o ON o.id = observable_id WHERE name = 'pressure'"
    assert rows(database, f"{recorded} AND value IS NOT NULL ORDER BY sampled_us") == [(2.0,), (3.0,)]


async def test_a_recorder_that_only_followed_records_nothing(database: Path) -> None:
    """The IOC may end before the database could be read: nothing is known that samples could belong to."""
    store = SqliteRunStore(database)
    it = Rig(store)
    await it.recorder.follow(it.changes.append)
    it.feed.send(1.0)
    await it.recorder.close()
    assert it.feed.closed
    assert store.health().queued == 0
