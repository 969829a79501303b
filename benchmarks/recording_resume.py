"""How long it takes until the statistics of a long run are whole again after a restart.

    python -m benchmarks.recording_resume [samples]

The run is recorded from the first moment on; until they are whole, its statistics are those since the restart.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recording_export import OBSERVABLES, fill, make_run
from ioc.observables import ObservableFeed
from ioc.recorder import ObservableRecorder
from ioc.rundb import SqliteRunStore


async def longest_pause(done: asyncio.Event) -> float:
    """Seconds that the event loop was busy at a time until `done`."""
    longest = 0.0
    while not done.is_set():
        begun = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - begun)
    return longest


async def resume(path: Path, samples: int) -> None:
    run = await make_run(path)
    fill(path, samples)
    store = await SqliteRunStore.open(path)
    recorder = ObservableRecorder(store, ObservableFeed(), experiment="e1", observables=OBSERVABLES, record="runs")
    await recorder.start(lambda _: None)
    done = asyncio.Event()
    watching = asyncio.create_task(longest_pause(done))
    begun = time.monotonic()
    await recorder.resume_run(run, 0.0)
    seconds = time.monotonic() - begun
    done.set()
    (view,) = recorder.views([OBSERVABLES[0].name])
    assert view.statistics is not None
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{samples} samples: {seconds:.1f} s, {view.statistics.samples} of one observable; "
        f"event loop busy for {1000 * await watching:.0f} ms at most, memory {megabytes:.0f} MB"
    )
    await recorder.close()
    await store.close()


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 6_000_000
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(resume(Path(directory) / "runs.db", samples))


if __name__ == "__main__":
    main()
