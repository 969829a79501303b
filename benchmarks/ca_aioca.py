"""A libca client, aioca, in a process of its own; prints what it measured in milliseconds.

python -m benchmarks.ca_aioca put           median time of a put with callback
python -m benchmarks.ca_aioca age SECONDS   median age of the updates of 1000 PVs, the first 2 s left out
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

import aioca

_PUTS = 300
_SETTLING = 2.0


async def put() -> float:
    await aioca.caput("B:Put", 0.0, wait=True)
    times: list[float] = []
    for number in range(_PUTS):
        begun = time.perf_counter()
        await aioca.caput("B:Put", float(number), wait=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


async def age(seconds: float) -> float:
    ages: list[float] = []
    begins = time.monotonic() + _SETTLING

    def take(value: Any, _: int) -> None:
        if time.monotonic() > begins:
            ages.append(time.time() - value.timestamp)

    names = [f"B:{number}" for number in range(1000)]
    subscriptions = aioca.camonitor(names, take, format=aioca.FORMAT_TIME, all_updates=True)
    await asyncio.sleep(_SETTLING + seconds)
    for subscription in subscriptions:
        subscription.close()
    return statistics.median(ages) * 1e3 if ages else float("nan")


if __name__ == "__main__":
    print(asyncio.run(put() if sys.argv[1] == "put" else age(float(sys.argv[2]))), flush=True)
