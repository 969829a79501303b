"""What a large run database costs the IOC: a table for docs/performance.md.

    python -m benchmarks.rundb_ioc DATABASE EXPERIMENT [STARTS]

The installed IOC is started so many times (7) with an empty database and with a copy of this one (made by
``benchmarks.rundb_scale``, for example), in turn, so that a change in the machine's load affects both. At each start it
takes a run of a simulated detector with one server. The first start with a database, which defines the observables, is
not counted. CPU and memory are those of the IOC and its receiving process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.plant import Plant
from tests.epics import Epics


class PatientPlant(Plant):
    """Waits longer, on a machine that is busy."""

    async def until(self, pv: str, condition: Any, timeout: float = 120) -> str:
        return await super().until(pv, condition, max(120.0, timeout))


def used(plant: Plant) -> tuple[float, float]:
    """CPU seconds since the start, and memory in MB."""
    ioc = psutil.Process(plant.pid)
    cpu, memory = 0.0, 0.0
    for each in (ioc, *ioc.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a look at the host that has ended
            times = each.cpu_times()
            cpu += times.user + times.system
            memory += each.memory_info().rss / 1e6
    return cpu, memory


async def one_start(plant: Plant) -> dict[str, float]:
    """Start the IOC, take a run and end the IOC."""
    found: dict[str, float] = {}
    began = time.monotonic()
    await plant.start()
    found["first PVs, s"] = time.monotonic() - began
    found["first PVs, CPU s"] = used(plant)[0]
    for step in ("Reset", "Describe", "Prepare", "Configure"):
        await plant.put(step)
    await plant.until("Run:CanStart", "Yes")
    for operation in ("Start", "Stop"):
        before, began = used(plant)[0], time.monotonic()
        assert await plant.put(f"Run:{operation}"), await plant.text("Run:Message")
        found[f"Run:{operation}, s"] = time.monotonic() - began
        found[f"Run:{operation}, CPU s"] = used(plant)[0] - before
    found["memory after the run, MB"] = used(plant)[1]
    plant.stop()
    return found


async def measure(database: Path, experiment: str, starts: int) -> dict[str, list[dict[str, float]]]:
    taken: dict[str, list[dict[str, float]]] = {"empty": [], "large": []}
    async with AsyncExitStack() as stack:
        plants: dict[str, Plant] = {}
        for name in taken:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=database.parent)))
            if name == "large":
                shutil.copy(database, directory / "runs.db")
                os.sync()  # writing the copy would slow down the first starts
            epics = stack.enter_context(Epics())
            settled = {"settle_seconds": 0.1, "min_disk_free_gb": 0.01}
            plant = PatientPlant(directory, epics, boards=1, experiment=experiment, runs=settled)
            plants[name] = await stack.enter_async_context(plant)
            plant.stop()
        for number in range(starts + 1):
            for name, plant in plants.items():
                found = await one_start(plant)
                if number:
                    taken[name].append(found)
    return taken


def main() -> None:
    database, experiment, *rest = sys.argv[1:]
    starts = int(rest[0]) if rest else 7
    taken = asyncio.run(measure(Path(database), experiment, starts))
    print(f"| median of {starts} | empty | {Path(database).stat().st_size / 1e6:,.0f} MB |\n|---|---:|---:|")
    for what in taken["empty"][0]:
        figures = (statistics.median(each[what] for each in taken[name]) for name in taken)
        print(f"| {what} | {' | '.join(f'{each:.3g}' for each in figures)} |")
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
