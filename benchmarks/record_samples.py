"""How much recording costs: 1000 PVs of a softIoc at 10 Hz into the run database.

Run with  python -m benchmarks.record_samples [seconds].  Prints samples per second, what was lost, CPU of the process
in percent of one core, and bytes per sample on disk.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from ioc.model import RunClass
from ioc.observables import ObservableFeed
from ioc.recorder import ObservableRecorder
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable
from tests.epics import Epics, eventually

PVS = 1000
RATE = 10


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def record(path: Path, seconds: float) -> None:
    store = await SqliteRunStore.open(path)
    observables = [Observable(name=f"v{number}", pv=f"B:{number}") for number in range(PVS)]
    recorder = ObservableRecorder(store, ObservableFeed(), experiment="e1", observables=observables, record="runs")
    await recorder.start(lambda _: None)
    names = [each.name for each in observables]
    await eventually(lambda: not recorder.disconnected(names), timeout=30)
    run = (await store.reserve_run("e1", "", RunClass.Testing, "")).run
    await recorder.begin_run(run)
    begun, before = time.monotonic(), cpu()
    longest = 0.0
    while (now := time.monotonic()) < begun + seconds:
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - now - 0.01)
    used = (cpu() - before) / (time.monotonic() - begun)
    await recorder.end_run(run)
    await store.flush()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    health = store.health()
    await recorder.close()
    await store.close()
    count, expected, stored, size = stored_samples(path)
    print(f"samples/s          {count / seconds:10.0f}")
    print(f"lost               {expected - count:10.0f}  (dropped by the store: {health.dropped})")
    print(f"CPU                {used:10.0%}  of one core")
    print(f"bytes per sample   {size / stored:10.1f}")
    print(f"longest loop block {longest * 1000:10.0f}  ms")
    print(f"memory             {memory:10.0f}  MB at most")


def stored_samples(path: Path) -> tuple[int, int, int, int]:
    """Samples of the run, what they should be, all rows, and the size of the file."""
    with sqlite3.connect(path) as db:
        # Each record counts by one, so a value that is missing between the first and the last was lost.
        count, expected = db.execute(
            "SELECT sum(n), sum(last - first + 1) FROM (SELECT count(DISTINCT value) AS n, min(value) AS first, "
            "max(value) AS last FROM samples WHERE run_id = 1 AND value NOT NULL GROUP BY observable_id)"
        ).fetchone()
        stored = db.execute("SELECT count(*) FROM sample_rows").fetchone()[0]
    return count, expected, stored, path.stat().st_size


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    records = [
        f'record(calc, "B:{number}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for number in range(PVS)
    ]
    with Epics() as epics, epics.soft_ioc("\n".join(records)), tempfile.TemporaryDirectory() as directory:
        os.environ.update(epics.env)
        asyncio.run(record(Path(directory) / "runs.db", seconds))


if __name__ == "__main__":
    main()
