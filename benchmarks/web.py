"""The live page: ``python -m benchmarks.web [runs] [puts] [viewers]``, a table for docs/performance.md.

Pages: a run database with 100,000 runs of one experiment, 20 observables each, and one run with half a million samples.
Updates: an installed IOC, so many viewers of the stream, and a title put again and again; measured is the time from the
put's begin to the event with the new title, at the first, the middle and the last viewer. Gone: the IOC is stopped
(SIGSTOP) at random moments until a viewer is told.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.times import to_text
from ioc.topology.schema import Observable
from tests.e2e.plant import Plant
from tests.epics import Epics, eventually
from tests.web.serving import Viewer, Web

OBSERVABLES = [Observable(name=f"v{number}", pv=f"B:v{number}") for number in range(20)]
BEGAN = 1_500_000_000.0
EXPERIMENT = "e99"
SAMPLES = 500_000


async def define(path: Path) -> None:
    store = await SqliteRunStore.open(path)
    await store.define_observables(EXPERIMENT, OBSERVABLES)
    await store.reserve_run(EXPERIMENT, "", RunClass.Beam, "a/b/c")
    await store.close()


def fill(path: Path, runs: int) -> None:
    """All runs; the last has many samples."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        owner = db.execute("SELECT id FROM experiments").fetchone()[0]
        ids = [row[0] for row in db.execute("SELECT id FROM observables")]
        db.executescript("PRAGMA synchronous = OFF; BEGIN; DELETE FROM runs")
        for run in range(runs):
            began = BEGAN + 3600.0 * run
            db.execute(
                "INSERT INTO runs (id, experiment_id, run_number, run_class, title, state, reserved_at, started_at, "
                "stopped_at, duration, config_name, bytes) VALUES (?, ?, ?, 'Production', ?, 'complete', ?, ?, ?, ?, "
                "'front/e20/e20', 123456789)",
                (run, owner, run, f"run {run} on 46Ar", *map(to_text, (began, began, began + 3000)), 3000.0),
            )
            db.executemany(
                "INSERT INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, mean, "
                "samples) VALUES (?, ?, ?, ?, 1.0, 3.0, 2.0, 1000)",
                ((run, each, random.random(), 1.5) for each in ids),
            )
        db.execute("INSERT INTO sample_series (id, observable_id, run_id) VALUES (1, ?, ?)", (ids[0], runs - 1))
        began_us = int((BEGAN + 3600.0 * (runs - 1)) * 1e6)
        db.executemany(
            "INSERT INTO sample_rows (series_id, sampled_us, seq, value, alarm_id) VALUES (1, ?, 0, ?, 0)",
            ((began_us + number * 5000, random.random()) for number in range(SAMPLES)),
        )
        db.execute("COMMIT")


def pages(web: Web, runs: int) -> None:
    """Print how long each page takes."""
    last = runs - 1
    print(f"| page, {runs:,} runs | p50 ms | max ms | CPU ms | kB |\n|---|---:|---:|---:|---:|")
    process = psutil.Process(web.process.pid)
    for name, page in {
        "now": "/",
        "runs, first page": "/runs",
        "runs, in the middle": f"/runs?before={runs // 2}",
        "runs, the last page": "/runs?before=30",
        "search that finds the newest": f"/runs?search={last}+on",
        "search that finds the oldest only": "/runs?search=run+0+on",
        "search that finds nothing": "/runs?search=nothing+like+it",
        "one run": f"/runs/{last}",
        f"plot of {SAMPLES:,} samples": f"/runs/{last}/v0.svg",
        "trend of an observable": "/trends?observable=v7",
        "its picture": "/trends/v7.svg",
        "Datasette": "/database/",
    }.items():
        times: list[float] = []
        size = 0
        web.ask(page)  # what is read from the disk once
        before = sum(process.cpu_times()[:2])
        for _ in range(20):
            begun = time.perf_counter()
            answer = web.ask(page)
            times.append((time.perf_counter() - begun) * 1000)
            assert answer.status == 200, answer.text
            size = len(answer.body)
        cpu = (sum(process.cpu_times()[:2]) - before) / len(times) * 1000
        print(f"| {name} | {statistics.median(times):.0f} | {max(times):.0f} | {cpu:.0f} | {size / 1000:.0f} |")


async def updates(plant: Plant, web: Web, puts: int, count: int) -> None:
    """Print how long updates take from the put to the page."""
    viewers = [await web.viewer() for _ in range(count)]
    seen: list[dict[str, float]] = [{} for _ in viewers]

    async def read(viewer: Viewer, times: dict[str, float]) -> None:
        while True:
            await viewer.read()
            times.setdefault(viewer.text("Run:Title"), viewer.times[-1])

    readers = [asyncio.create_task(read(*each)) for each in zip(viewers, seen, strict=True)]
    await asyncio.sleep(3)
    begun: dict[str, float] = {}
    for number in range(puts):
        title = f"title {number}"
        begun[title] = time.monotonic()
        assert await plant.put("Run:Title", title, "-S")
        await asyncio.sleep(random.uniform(0.3, 1.0))
    await asyncio.sleep(2)
    print(f"\n| put to page, {count} viewers, {puts} puts | p50 ms | p99 ms | max ms |\n|---|---:|---:|---:|")
    for name, times in {"first": seen[0], "middle": seen[count // 2], "last": seen[-1]}.items():
        taken = sorted((times[title] - at) * 1000 for title, at in begun.items())
        late = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
        print(f"| {name} viewer | {statistics.median(taken):.0f} | {late:.0f} | {taken[-1]:.0f} |")
    gone: list[float] = []
    for _ in range(10):
        await asyncio.sleep(random.uniform(2.5, 3.5))
        at = time.monotonic()
        os.kill(plant.pid, signal.SIGSTOP)
        await told(viewers[0], live=False)
        gone.append(time.monotonic() - at)
        os.kill(plant.pid, signal.SIGCONT)
        await told(viewers[0], live=True)
    print(f"\nan IOC that hangs is said after {statistics.median(gone):.2f} s, at most {max(gone):.2f} s (10 times)")
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    code, _, said, taken_to_end = await asyncio.to_thread(web.end)
    print(f"Ctrl-C with {count} viewers: {taken_to_end:.2f} s, exit status {code}{said}")
    for viewer in viewers:
        await viewer.close()


async def told(viewer: Viewer, *, live: bool) -> None:
    """Wait until a viewer, whose events another task reads, is told that the IOC answers or not."""
    await eventually(lambda: (viewer.event["health"] == "live") == live, 30)


async def main(runs: int = 100_000, puts: int = 100, viewers: int = 200) -> None:
    with tempfile.TemporaryDirectory() as directory, Epics() as epics:
        os.environ.update(epics.env)
        path = Path(directory) / "many.db"
        await define(path)
        fill(path, runs)
        async with Plant(Path(directory), epics) as plant:
            with Web(plant.file, epics, "--database", str(path)) as web:
                pages(web, runs)
            with Web(plant.file, epics) as web:
                await updates(plant, web, puts, viewers)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
