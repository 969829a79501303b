"""Runs as odd as they come, for what exports them."""

from __future__ import annotations

import math
from dataclasses import replace

from ioc.model import ConfigChoice, DocumentState, FiledFile, RunClass, RunConfig, RunRecord, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE, reading

BEGAN = 1795350000.25
EXPERIMENT = "e18008"
COUNT = Observable.model_validate({"name": "count", "type": "integer", "pv": "pva://COUNT"})
TIME = Observable(name="time", pv="T", units="s")
STAMP = Observable(name="ts_pressure", pv="TS")
TITLE = 'say "odd", =1+1, tw\u2028o, 日本語 \U0001f600'
ENDED = (DocumentState.Complete, DocumentState.Failed, DocumentState.Orphaned)


async def odd_runs(store: SqliteRunStore) -> None:
    """Runs 0 to 4: complete with everything; without observables; failed; orphaned without samples; open."""
    await store.define_observables(EXPERIMENT, [])
    nothing = await _reserve(store, "with everything")
    bare = await _reserve(store, "")
    await _end(store, bare, DocumentState.Complete)
    await store.define_observables(EXPERIMENT, [PRESSURE, GAS, COUNT, TIME, STAMP])
    await _fill(store, nothing)
    failed = await _reserve(store, "failed")
    await store.save_run(replace(failed, state=DocumentState.Failed, message="CoBo0 did not start"))
    orphaned = await _reserve(store, "orphaned", RunClass.Junk)
    none = Statistics(None, None, None, 0, Severity.INVALID, 0.0)
    await store.save_measurements(orphaned.run, [Measurement("pressure", None, None, none)])
    await _end(store, orphaned, DocumentState.Orphaned)
    running = await _reserve(store, "open")
    await store.save_run(replace(running, state=DocumentState.Running, started_at=BEGAN))
    await store.flush()


async def _reserve(store: SqliteRunStore, title: str, run_class: RunClass = RunClass.Beam) -> RunRecord:
    return await store.reserve_run(EXPERIMENT, title, run_class, "a/b/c")


async def _end(store: SqliteRunStore, record: RunRecord, state: DocumentState) -> None:
    ended = replace(record, state=state, started_at=BEGAN, stopped_at=BEGAN + 60, duration=60.25)
    await store.save_run(ended)


async def _fill(store: SqliteRunStore, record: RunRecord) -> None:
    run = record.run
    samples = [(1.5, 0), (None, 1), (2.5, 2), (math.inf, 3), (math.nan, 4)]
    store.add_samples(EXPERIMENT, run, [reading(value, BEGAN + at) for value, at in samples])
    store.add_samples(EXPERIMENT, run, [reading(each, BEGAN, "target_gas") for each in ("P10", "=1\n+1")])
    store.add_samples(EXPERIMENT, run, [reading(5, BEGAN, "count"), reading(2**60, BEGAN + 1, "count")])
    store.add_samples(EXPERIMENT, run, [reading(-1.0, BEGAN, "time"), reading(None, BEGAN, "ts_pressure")])
    figures = Statistics(1.5, 2.5, 1.75, 3, Severity.MAJOR, 1.5)
    none = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
    await store.save_measurements(
        run,
        [
            Measurement("pressure", 1.5, math.inf, figures),
            Measurement("target_gas", "P10", "=1\n+1", none),
            Measurement("count", 5, None, none),
        ],
    )
    await store.save_run_configs(run, [RunConfig("CoBo0", ConfigChoice("d", "p q", "c"), "a" * 64)])
    for at, host in enumerate(("192.168.41.60", "192.168.41.61")):
        name = "/data dir/e18008/run_0000/CoBo0_AsAd0_2026-11-22T12:00:00.500_0000.graw"
        await store.add_files(run, FiledFile(f"data{at}", host, name, 5_000_000 + at, BEGAN))
    await _end(store, replace(record, title=TITLE), DocumentState.Complete)
