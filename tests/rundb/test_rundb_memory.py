"""The memory of the program that records does not grow with the number of runs."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ioc.model import DocumentState, RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.condition import Condition
from ioc.topology.schema import Observable
from tests.rundb.rows import event, reading
from tests.stopped_clock import StoppedClock

OBSERVABLES = tuple(Observable(name=f"v{number}", pv=f"V:{number}") for number in range(50))


async def take_runs(store: SqliteRunStore, count: int, *, samples: int = 1) -> None:
    """Runs, each with samples of all observables and an event."""
    for _ in range(count):
        record = await store.reserve_run("e1", "", RunClass.Testing, "")
        for at in range(samples):
            store.add_samples("e1", record.run, [reading(1.5, 1e9 + at, name=each.name) for each in OBSERVABLES])
        store.add_event(event("begun", record.run))
        await store.flush()
        await store.save_run(replace(record, state=DocumentState.Complete))


async def test_nothing_is_kept_of_earlier_runs(store: SqliteRunStore) -> None:
    """After 40 more runs with 50 observables each, the program has as many objects as before."""
    await store.define_observables("e1", OBSERVABLES)
    counts: list[int] = []
    for runs in (10, 40):
        await take_runs(store, runs)
        gc.collect()
        counts.append(sys.getallocatedblocks())
    assert counts[1] - counts[0] < 40 * len(OBSERVABLES) / 2


def test_the_rate_remembers_only_the_last_seconds() -> None:
    """Rows written per second are a mean over five seconds, and an hour of writing leaves nothing behind."""
    clock = StoppedClock()
    condition = Condition(Path("runs.db"), clock)
    blocks: list[int] = []
    for writes in (100, 9000):
        for _ in range(writes):
            clock.now += 0.4
            condition.wrote_rows(1000)
        blocks.append(sys.getallocatedblocks())
    assert condition.health(0, 0).written_per_second == pytest.approx(2500, rel=0.1)
    clock.now += 60
    assert condition.health(0, 0).written_per_second == 0
    assert blocks[1] - blocks[0] < 1000


@pytest.fixture
def memory_used(store: SqliteRunStore) -> Callable[[], int]:
    """What SQLite has allocated in this process, in bytes."""
    library = ctypes.util.find_library("sqlite3")
    if library is None:
        pytest.skip("there is no SQLite library to ask")
    used: Callable[[], int] = ctypes.CDLL(library).sqlite3_memory_used
    used.restype = ctypes.c_int64  # type: ignore[attr-defined]
    if not used():
        pytest.skip("Python has an SQLite of its own, which cannot be asked")
    return used


async def test_sqlite_keeps_no_pages_of_earlier_runs(store: SqliteRunStore, memory_used: Callable[[], int]) -> None:
    """The page cache that a run has filled is free again at the next one."""
    await store.define_observables("e1", OBSERVABLES)
    await take_runs(store, 1)
    before = memory_used()
    await take_runs(store, 1, samples=1000)
    filled = memory_used()
    await take_runs(store, 1)
    assert filled - before > 1_000_000
    assert memory_used() - before < (filled - before) / 3


async def test_sqlite_keeps_few_compiled_statements(store: SqliteRunStore, memory_used: Callable[[], int]) -> None:
    """Batches of all sizes take no more memory than the largest one."""
    await store.define_observables("e1", OBSERVABLES)
    begun = 0

    async def write(sizes: Iterable[int]) -> int:
        nonlocal begun
        for size in sizes:
            store.add_samples("e1", None, [reading(1.5, 1e9 + begun + at, name="v0") for at in range(size)])
            begun += size
            await store.flush()
        return memory_used()

    largest = await write([127])
    assert await write(range(1, 127)) - largest < 1_000_000
