"""How long it takes until the statistics of a long run are complete again after a restart.

    python -m benchmarks.recording_resume [samples]

Twice: with the statistics that an IOC stores every ten seconds; and as an older program left them, so that they cannot
be continued and all samples are read. The run is recorded from the first moment on; until its statistics are complete,
those since the restart are shown.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recording_export import BEGAN_US, OBSERVABLES, fill, make_run
from ioc.model import RunId, Severity, Statistics
from ioc.observables import ObservableFeed
from ioc.recorder import ObservableRecorder
from ioc.rundb import Measurement, SqliteRunStore

STORED_SECONDS = 10


async def longest_pause(done: asyncio.Event) -> float:
    """Seconds that the event loop was busy at a time until `done`."""
    longest = 0.0
    while not done.is_set():
        begun = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - begun)
    return longest


async def store_statistics(store: SqliteRunStore, run: RunId, samples: int) -> None:
    """Those of all but the last seconds of the run, which has ten samples a second of each observable."""
    count = samples // len(OBSERVABLES) - 10 * STORED_SECONDS
    last_us = BEGAN_US + 100_000 * (count - 1)
    statistics = Statistics(0.0, (count - 1) * 0.1, (count - 1) * 0.05, count, Severity.NO_ALARM, 0.0)
    await store.save_measurements(
        run,
        [
            Measurement(each.name, 0.0, None, statistics, None, count * 0.1, last_us / 1e6, (last_us, 0))
            for each in OBSERVABLES
        ],
    )


async def resume(path: Path, samples: int, *, stored: bool) -> None:
    run = await make_run(path)
    fill(path, samples)
    store = await SqliteRunStore.open(path)
    if stored:
        await store_statistics(store, run, samples)
    feed = ObservableFeed()
    recorder = ObservableRecorder(store, feed, experiment="e1", observables=OBSERVABLES, record="runs")
    await recorder.follow(lambda _: None)
    await recorder.start()
    done = asyncio.Event()
    watching = asyncio.create_task(longest_pause(done))
    begun = time.monotonic()
    await recorder.resume_run(run, BEGAN_US / 1e6 + 0.1 * samples / len(OBSERVABLES))
    seconds = time.monotonic() - begun
    done.set()
    (view,) = recorder.views([OBSERVABLES[0].name])
    assert view.statistics is not None
    assert view.statistics.samples == samples // len(OBSERVABLES)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{samples} samples, {'statistics stored' if stored else 'no statistics'}: {seconds:.2f} s, "
        f"event loop busy for {1000 * await watching:.0f} ms at most, memory {megabytes:.0f} MB"
    )
    await recorder.close()
    await store.close()


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 6_000_000
    for stored in (True, False):
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(resume(Path(directory) / "runs.db", samples, stored=stored))


if __name__ == "__main__":
    main()
