"""What a partner costs at Start and Stop.

    python -m benchmarks.partners [runs]

Two plants of four ECC servers, one with a simulated ReadoutGUI that begins and ends at once, take runs in turn, so that
both see the same load. Measured is the time that the run database has, from the reservation of the number to the start,
and from put to answer with ``caput -c``, which has its own noise. The median of the differences must be at most 50 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.e2e.plant import Plant
from tests.epics import Epics

MOST_MS = 50


async def compare(runs: int) -> None:
    """Take runs; print a row of a table for each time."""
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        Epics() as epics,
        Epics() as others,
    ):
        without = Plant(Path(one), epics, speed=100)
        beside = Plant(Path(other), others, speed=100, partners=[{"name": "aux"}])
        async with without, beside:
            for operation in ("begin", "end"):
                await beside.control(partner="aux", do="delay", operation=operation, seconds=0)
            puts: dict[str, list[float]] = {}
            for plant in (without, beside):
                await plant.to_ready()
            for _ in range(runs):
                for name, plant in (("without", without), ("with", beside)):
                    await plant.until("Run:CanStart", "Yes")
                    for command in ("Start", "Stop"):
                        began = time.perf_counter()
                        assert await plant.put(f"Run:{command}"), await plant.text("Run:Message")
                        puts.setdefault(f"{command} {name}", []).append(time.perf_counter() - began)
            times = {"without": _starts(without), "with": _starts(beside)}
    print("| ms, medians | without | with | costs | must reach |")
    print("|---|---:|---:|---:|---|")
    _row("reservation of the number to the start", times["without"], times["with"], f"≤ {MOST_MS}")
    for command in ("Start", "Stop"):
        _row(f"`caput -c Run:{command}`", puts[f"{command} without"], puts[f"{command} with"], "")


def _starts(plant: Plant) -> list[float]:
    rows = plant.query("SELECT reserved_at, started_at FROM runs ORDER BY run_number")
    return [_seconds(started) - _seconds(reserved) for reserved, started in rows]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _row(what: str, without: list[float], beside: list[float], must: str) -> None:
    costs = statistics.median(b - a for a, b in zip(without, beside, strict=True))
    middle = [statistics.median(each) * 1000 for each in (without, beside)]
    print(f"| {what}, {len(without)} times | {middle[0]:.0f} | {middle[1]:.0f} | {costs * 1000:.0f} | {must} |")


if __name__ == "__main__":
    asyncio.run(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
