"""Bad times of runs and the fractions of good time, on a real run database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ioc.model import Action, DocumentState, RunClass, RunInterval, RunRecord, Scalar, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from tests.rundb.rows import GAS, PRESSURE, rows

BEGAN = 1_795_350_000.0
DURATION = 100.0


async def a_run(store: SqliteRunStore) -> RunRecord:
    """A run that runs."""
    await store.define_observables("e1", [PRESSURE, GAS])
    record = (await store.reserve_run("e1", "", RunClass.Beam, "")).changed(
        state=DocumentState.Running, started_at=BEGAN
    )
    await store.save_run(record)
    return record


def bad(
    record: RunRecord, began: float, ended: float | None, interlock: str = "p", name: str = "pressure"
) -> RunInterval:
    return RunInterval(
        record.run,
        interlock,
        BEGAN + began,
        Action.Alarm,
        f"{name} is 3 Torr, but must be at least 5 Torr",
        name,
        low=5.0,
        value=3.0,
        ended_at=None if ended is None else BEGAN + ended,
    )


async def end(store: SqliteRunStore, record: RunRecord, *, samples: int = 3, gas: str | None = None) -> None:
    """The run ends, then its statistics are stored."""
    ended = record.changed(state=DocumentState.Filing, stopped_at=BEGAN + DURATION, duration=DURATION)
    await store.save_run(ended)
    statistics = Statistics(None, None, None, samples, Severity.NO_ALARM, 0.0)
    await store.save_measurements(
        record.run,
        [Measurement("pressure", None, None, statistics), Measurement("target_gas", gas, None, statistics)],
    )


def fractions(database: Path) -> tuple[Scalar | None, dict[str, Scalar | None]]:
    [(whole,)] = rows(database, "SELECT good_fraction FROM runs")
    each = rows(
        database,
        "SELECT name, good_fraction FROM measurements JOIN observables ON observables.id = observable_id",
    )
    return whole, dict(each)


@pytest.mark.parametrize(
    ("intervals", "whole", "pressure"),
    [
        ([], 1.0, 1.0),
        ([(0, 100, "p", "pressure")], 0.0, 0.0),
        ([(10, 30, "p", "pressure")], 0.8, 0.8),
        ([(10, 30, "p", "pressure"), (20, 40, "p2", "pressure")], 0.7, 0.7),
        ([(10, 40, "p", "pressure"), (20, 30, "p2", "pressure")], 0.7, 0.7),
        ([(10, 30, "p", "pressure"), (20, 40, "beam", "")], 0.7, 0.8),
        ([(50, None, "p", "pressure")], 0.5, 0.5),
        ([(90, 120, "p", "pressure")], 0.9, 0.9),
        ([(-20, 10, "p", "pressure")], 0.9, 0.9),
    ],
)
async def test_the_fraction_of_good_time(
    store: SqliteRunStore,
    database: Path,
    intervals: list[tuple[float, float | None, str, str]],
    whole: float,
    pressure: float,
) -> None:
    """Time that several intervals cover counts once, and only time in the run; one that is open ends with the run."""
    record = await a_run(store)
    for began, ended, interlock, name in intervals:
        await store.save_interval(bad(record, began, ended, interlock, name))
    assert fractions(database) == (None, {})
    await end(store, record)
    good, each = fractions(database)
    assert good == pytest.approx(whole)
    assert each["pressure"] == pytest.approx(pressure)
    assert each["target_gas"] == 1.0
    assert rows(database, "SELECT id FROM run_intervals WHERE ended_at IS NULL") == []


@pytest.mark.parametrize(("gas", "of_gas"), [(None, None), ("He", 1.0)])
@pytest.mark.parametrize(("watched", "of_pressure"), [(False, None), (True, 0.8)])
async def test_what_was_not_measured_has_no_fraction(
    store: SqliteRunStore,
    database: Path,
    *,
    gas: str | None,
    of_gas: float | None,
    watched: bool,
    of_pressure: float | None,
) -> None:
    """Without a sample and a value nobody knows whether it was good, unless an interlock was tripped by it."""
    record = await a_run(store)
    if watched:
        await store.save_interval(bad(record, 10, 30))
    await end(store, record, samples=0, gas=gas)
    assert fractions(database)[1] == {"pressure": pytest.approx(of_pressure), "target_gas": of_gas}


async def test_an_interval_gets_its_end(store: SqliteRunStore, database: Path) -> None:
    """Run, interlock and begin identify an interval: storing it again stores its end."""
    record = await a_run(store)
    begun = bad(record, 10, None)
    await store.save_interval(begun)
    await store.save_interval(replace(begun, ended_at=BEGAN + 20))
    assert rows(
        database,
        "SELECT interlock, name, action, reason, low, high, value, ended_at FROM run_intervals "
        "JOIN observables ON observables.id = observable_id",
    ) == [("p", "pressure", "alarm", begun.reason, 5.0, None, 3.0, "2026-11-22T12:20:20.000000Z")]


async def test_an_interval_of_no_length_is_none(store: SqliteRunStore, database: Path) -> None:
    """One that ends where it began leaves no row, nor does an open one that began after the end of its run."""
    record = await a_run(store)
    begun = bad(record, 10, None)
    await store.save_interval(begun)
    for _ in range(2):
        await store.save_interval(replace(begun, ended_at=begun.began_at))
        assert rows(database, "SELECT * FROM run_intervals") == []
    await store.save_interval(bad(record, DURATION + 5, None))
    await end(store, record)
    assert rows(database, "SELECT * FROM run_intervals") == []
    assert fractions(database)[0] == 1.0


async def test_an_end_that_comes_after_that_of_the_run_counts(store: SqliteRunStore, database: Path) -> None:
    """The order in which run, statistics and intervals reach the database does not matter."""
    record = await a_run(store)
    begun = bad(record, 10, None)
    await store.save_interval(begun)
    await end(store, record)
    assert fractions(database)[0] == pytest.approx(0.1)
    await store.save_interval(replace(begun, ended_at=BEGAN + 20))
    assert fractions(database)[0] == pytest.approx(0.9)
    assert fractions(database)[1]["pressure"] == pytest.approx(0.9)


async def test_an_observable_that_is_gone_keeps_its_interval(store: SqliteRunStore, database: Path) -> None:
    """If the observable was taken out of the topology in the run, the interval can still end."""
    record = await a_run(store)
    begun = bad(record, 10, None)
    await store.save_interval(begun)
    await store.define_observables("e1", [GAS])
    await store.save_interval(replace(begun, ended_at=BEGAN + 20))
    [(observable, ended)] = rows(database, "SELECT observable_id, ended_at FROM run_intervals")
    assert observable is not None
    assert ended is not None


async def test_a_run_that_never_ran_has_no_fraction(store: SqliteRunStore, database: Path) -> None:
    """A start that failed has no duration, so no fraction of it."""
    record = await a_run(store)
    await store.save_run(record.changed(state=DocumentState.Failed, started_at=None, stopped_at=BEGAN))
    assert fractions(database) == (None, {})
