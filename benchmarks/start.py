"""What neighbours cost a Start: a table for docs/performance.md.

    python -m benchmarks.start [runs]

Several installed IOCs, each in front of a simulated detector of its own, take runs in turn, so that a change in the
machine's load affects all of them. One has no neighbours. The others have neighbours that answer at once, for which
Start and Stop wait: hooks that are programs (``true``) or a POST to a server in this process, and a simulated
ReadoutGUI as a partner. Measured is ``caput -c`` of ``Run:Start`` and ``Run:Stop``, which include the start of caput.
"""

from __future__ import annotations

import asyncio
import copy
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.e2e.plant import Plant
from tests.epics import Epics

LIMIT_MS = 100


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a POST with 204 at once."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await writer.drain()
    writer.close()


def _neighbours(port: int) -> dict[str, dict[str, Any]]:
    """What is compared, by the name of its row: the first has none."""
    program, other = {"name": "program", "run": ["true"]}, {"name": "other", "run": ["true"]}
    post = {"name": "post", "post": f"http://127.0.0.1:{port}/"}

    def hooks(*each: dict[str, Any]) -> dict[str, Any]:
        # YAML would have aliases for what is used twice.
        return {"hooks": {point: copy.deepcopy(list(each)) for point in ("before_start", "before_stop")}}

    partner = {"partners": [{"name": "aux"}]}
    return {
        "none": {},
        "two programs": hooks(program, other),
        "a program and a POST": hooks(program, post),
        "a partner": partner,
        "two programs and a partner": hooks(program, other) | partner,
    }


async def measure(runs: int) -> None:
    """Take the runs; print a table."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    sections = _neighbours(server.sockets[0].getsockname()[1])
    taken: dict[str, dict[str, list[float]]] = {name: {"Start": [], "Stop": []} for name in sections}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plants: dict[str, Plant] = {}
        for index, (name, section) in enumerate(sections.items()):
            (folder / str(index)).mkdir()
            epics = stack.enter_context(Epics())
            plant = Plant(folder / str(index), epics, boards=1, runs={"settle_seconds": 0.1}, **section)
            plants[name] = await stack.enter_async_context(plant)
            for action in ("begin", "end") if "partners" in section else ():
                await plant.control(partner="aux", do="delay", operation=action, seconds=0)
            await plant.to_ready()
        for _ in range(runs + 1):
            for operation in ("Start", "Stop"):
                for name, plant in plants.items():
                    await plant.until("Run:CanStart" if operation == "Start" else "Run:State", _ready(operation))
                    began = time.perf_counter()
                    assert await plant.put(f"Run:{operation}"), await plant.text("Run:Message")
                    taken[name][operation].append((time.perf_counter() - began) * 1000)
    server.close()
    _report(taken, runs)


def _ready(operation: str) -> str:
    return "Yes" if operation == "Start" else "Running"


def _report(taken: dict[str, dict[str, list[float]]], runs: int) -> None:
    # The first run of each also reads files and connects.
    medians = {name: {each: statistics.median(ms[1:]) for each, ms in of.items()} for name, of in taken.items()}
    without = medians["none"]
    print("| neighbours | runs | Start, ms | more | Stop, ms | more | must be | reached |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    for name, of in medians.items():
        more = {each: of[each] - without[each] for each in of}
        verdict = f"≤ {LIMIT_MS} more | {'yes' if more['Start'] <= LIMIT_MS else 'no'}" if name != "none" else "|"
        figures = " | ".join(f"{of[each]:.0f} | {more[each]:+.0f}" for each in of)
        print(f"| {name} | {runs} | {figures} | {verdict} |")
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
