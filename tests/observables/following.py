"""A process that follows observables and prints what it gets; libca's threads end with it.

The arguments are the observables as JSON; each line of standard input replaces them; end of file ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Sequence

from ioc.model import Reading
from ioc.observables import ObservableFeed, Properties
from ioc.topology.schema import Observable

_lock = threading.Lock()


def tell(**fact: object) -> None:
    """Print one line; the thread of the feed and the event loop both do."""
    with _lock:
        print(json.dumps(fact), flush=True)


def deliver(readings: Sequence[Reading]) -> None:
    for reading in readings:
        tell(
            name=reading.observable,
            value=reading.value,
            severity=reading.severity.name,
            status=reading.status,
            at=reading.sampled_at,
            label=reading.label,
        )


def properties(name: str, its: Properties) -> None:
    tell(properties=name, units=its.units, precision=its.precision, labels=its.labels)


def observables(text: str) -> list[Observable]:
    return [Observable.model_validate(each) for each in json.loads(text)]


async def lag(counts: dict[str, int]) -> None:
    """Tell every second the longest time the event loop was busy, and how many readings came."""
    while True:
        until = time.monotonic() + 1
        longest = 0.0
        while (begun := time.monotonic()) < until:
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - begun - 0.01)
        tell(lag=longest, count=counts["readings"])


async def main(quiet: bool, impatient: bool) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    counts = {"readings": 0}

    def count(readings: Sequence[Reading]) -> None:
        counts["readings"] += len(readings)

    followed = ObservableFeed(silent_checks=2) if impatient else ObservableFeed()
    await followed.start(observables(await lines.get()), count if quiet else deliver, properties)
    lagging = asyncio.create_task(lag(counts)) if quiet else None
    while line := await lines.get():
        await followed.update(observables(line))
    if lagging is not None:
        lagging.cancel()
    await followed.close()
    tell(tasks=[task.get_name() for task in asyncio.all_tasks() if task not in (asyncio.current_task(), lagging)])


if __name__ == "__main__":
    asyncio.run(main("--quiet" in sys.argv, "--impatient" in sys.argv))
