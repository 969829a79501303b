"""A run database as an IOC leaves it, with everything that a data set can have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ioc.model import DocumentState, Event, FiledFile, Reading, RunClass, RunId, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE, reading

BEGAN = 1_795_350_000.0
"""2026-11-22T12:20:00Z; each run begins 100 s after the one before."""
COUNT = Observable.model_validate({"name": "count", "type": "integer", "units": "1"})
SAMPLES = 20
STATISTICS = Statistics(300.0, 319.0, 309.5, SAMPLES, Severity.MINOR, 1.5)


async def record(path: Path, experiment: str, runs: int, *, last_is_open: bool = False) -> None:
    """Record so many runs of an experiment, and samples on the day before and the day of the first."""
    store = await SqliteRunStore.open(path)
    await store.define_observables(experiment, [PRESSURE, GAS, COUNT])
    store.add_samples(experiment, None, [reading(1.0, BEGAN - 86_400), reading(2.0, BEGAN - 1)])
    store.add_event(Event(BEGAN - 86_400, Severity.MAJOR, "IOC", "started"))
    for number in range(runs):
        await record_run(store, experiment, number, is_open=last_is_open and number == runs - 1)
    await store.close()


async def record_run(store: SqliteRunStore, experiment: str, number: int, *, is_open: bool = False) -> RunId:
    """A run with numbers, a text, a gap, a value that was not a number, an infinity and a large whole number."""
    reserved = await store.reserve_run(experiment, f"run {number}", RunClass.Beam, "a/b/c")
    run, began = reserved.run, BEGAN + 100 * number
    store.add_samples(experiment, run, [reading(300.0 + n, began + n) for n in range(SAMPLES)])
    store.add_samples(
        experiment,
        run,
        [
            reading(None, began + 50),
            reading(float("inf"), began + 51),
            Reading("pressure", float("nan"), Severity.MINOR, "HIGH", began + 52),
            reading("P10", began, "target_gas"),
            reading(2**62 + 1, began, "count"),
        ],
    )
    store.add_event(Event(began, Severity.NO_ALARM, "Run", f"run {number} started", run))
    await store.flush()
    await store.save_measurements(
        run,
        [
            Measurement("pressure", 300.0, 319.0, STATISTICS),
            Measurement("target_gas", "P10", "P10", Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)),
        ],
    )
    await store.add_files(run, FiledFile("data0", "host0", f"/data/run_{number:04}.graw", 1000 + number, began + 99))
    if not is_open:
        await store.save_run(
            replace(reserved, state=DocumentState.Complete, started_at=began, stopped_at=began + 99, duration=99.0)
        )
    return run
