"""What receives the counters of `benchmarks.recording`, each kind in a process of its own.

    python -m benchmarks.recording_clients KIND COUNTERS DATABASE

KIND is ``attpc-ioc`` (feed, recorder and run database as in the IOC), ``aioca`` (receives and discards), ``pyepics``
(a plain logger: callbacks into a queue, a batch into sqlite3 every 0.4 s) or ``export`` (runs export). Lines on
standard input say when to begin, when to measure and when the counters stand still; facts go out as lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import uvloop

from tests.epics import eventually


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def usage() -> dict[str, float]:
    """Of this process and those that it has started."""
    processes = [psutil.Process(), *psutil.Process().children()]
    times = [each.cpu_times() for each in processes]
    return {
        "at": time.monotonic(),
        "cpu": sum(each.user + each.system for each in times),
        "memory": sum(each.memory_info().rss for each in processes) / 1e6,
    }


async def converse(count: Callable[[], int], begin: Callable[[], Awaitable[None]], ended: Callable[[], Any]) -> None:
    """Follow the orders on standard input: ``begin``, any number of ``measure``, ``end`` once the counters stand."""
    loop = asyncio.get_running_loop()
    tell(ready=True)
    while order := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if order == "begin":
            await begin()
        if order == "end":
            before = -1
            while count() != before:  # what is on its way arrives
                before = count()
                await asyncio.sleep(1)
            tell(**await ended())
            return
        tell(count=count(), **usage())


async def record(counters: int, path: Path) -> None:
    """The IOC's own way of recording, with the samples between runs, so that every row can be accounted for."""
    from ioc.model import RunClass  # noqa: PLC0415 - each kind imports what it measures
    from ioc.observables import ObservableFeed  # noqa: PLC0415
    from ioc.ports import ReadingsListener  # noqa: PLC0415
    from ioc.recorder import ObservableRecorder  # noqa: PLC0415
    from ioc.rundb import SqliteRunStore  # noqa: PLC0415
    from ioc.topology.schema import Observable  # noqa: PLC0415

    class CountingFeed(ObservableFeed):
        received = 0

        async def start(
            self, observables: Sequence[Observable], deliver: ReadingsListener, tell_properties: Any
        ) -> None:
            def count(readings: Sequence[Any]) -> None:
                self.received += len(readings)
                deliver(readings)

            await super().start(observables, count, tell_properties)

    store = await SqliteRunStore.open(path)
    feed = CountingFeed()
    observables = [Observable(name=f"v{number}", pv=f"B:{number}") for number in range(counters)]
    names = [each.name for each in observables]
    recorder = ObservableRecorder(store, feed, experiment="e1", observables=observables, record="always")
    await recorder.follow(lambda _: None)
    await recorder.start()
    await eventually(lambda: not recorder.disconnected(names), timeout=60)

    async def begin() -> None:
        await recorder.begin_run((await store.reserve_run("e1", "", RunClass.Testing, "")).run)

    async def ended() -> dict[str, Any]:
        run = await store.last_run("e1")
        assert run is not None
        await recorder.end_run(run.run)
        await store.flush()
        received, dropped = feed.received, store.health().dropped
        await recorder.close()
        await store.close()
        facts = account(path, "observable_id", "WHERE value NOT NULL")
        # The values that the run began with are stored a second time.
        return {"lost": received + counters - facts["rows"], "dropped": dropped, **facts}

    await converse(lambda: feed.received - store.health().dropped, begin, ended)


def account(path: Path, pv: str, where: str) -> dict[str, Any]:
    """What is in the database; a counter counts by one, so what is missing between two values never got there."""
    with sqlite3.connect(path) as db:
        rows, missing = db.execute(
            "SELECT sum(n), sum(most - least + 1 - different) FROM (SELECT count(*) AS n, min(value) AS least, "
            f"max(value) AS most, count(DISTINCT value) AS different FROM samples {where} GROUP BY {pv})"
        ).fetchone()
    return {"rows": rows, "missing": round(missing), "bytes_per_row": path.stat().st_size / rows}


async def discard(counters: int, _: Path) -> None:
    """Receive and discard; the last value of each counter tells how many there were."""
    import aioca  # noqa: PLC0415

    last: list[float | None] = [None] * counters
    first: list[float] = []
    received = repeated = 0

    def take(value: Any, index: int) -> None:
        nonlocal received, repeated
        received += 1
        repeated += value == last[index]
        last[index] = value

    pvs = [f"B:{number}" for number in range(counters)]
    aioca.camonitor(pvs, take, format=aioca.FORMAT_TIME, all_updates=True)
    await eventually(lambda: None not in last, timeout=60)
    before = 0

    async def begin() -> None:
        nonlocal before
        before = received - repeated
        first.extend(value for value in last if value is not None)

    async def ended() -> dict[str, Any]:
        expected = sum(value for value in last if value is not None) - sum(first)
        return {"missing": round(expected) - (received - repeated - before)}

    await converse(lambda: received, begin, ended)
    aioca.purge_channel_caches()


async def log_plainly(counters: int, path: Path) -> None:
    """What one writes in an afternoon: pyepics callbacks, a queue, and sqlite3."""
    import epics  # noqa: PLC0415

    waiting: queue.SimpleQueue[tuple[str, float, float, int]] = queue.SimpleQueue()
    seen: set[str] = set()
    stored = 0

    def take(pvname: str, value: float, timestamp: float, severity: int, **_: Any) -> None:
        seen.add(pvname)
        waiting.put((pvname, timestamp, value, severity))

    pvs = [epics.PV(f"B:{number}", callback=take, form="time") for number in range(counters)]
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE samples (pv TEXT, sampled_at REAL, value REAL, severity INTEGER)")
    db.execute("CREATE INDEX samples_pv ON samples (pv, sampled_at)")

    def write() -> None:
        nonlocal stored
        while True:
            time.sleep(0.4)
            rows = [waiting.get() for _ in range(waiting.qsize())]
            with db:
                db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?)", rows)
            stored += len(rows)

    writer = asyncio.get_running_loop().run_in_executor(None, write)
    await eventually(lambda: len(seen) == len(pvs), timeout=60)

    async def begin() -> None:
        pass

    async def ended() -> dict[str, Any]:
        return account(path, "pv", "")

    await converse(lambda: stored, begin, ended)
    del writer


KINDS: dict[str, Callable[[int, Path], Awaitable[None]]] = {
    "attpc-ioc": record,
    "aioca": discard,
    "pyepics": log_plainly,
}


async def main() -> None:
    kind, counters, path = sys.argv[1:]
    await KINDS[kind](int(counters), Path(path))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
        sys.stdout.flush()
        os._exit(0)  # pyepics' thread never ends
