"""How soon an interlock stops a run: a table for docs/performance.md.

    python -m benchmarks.interlocks [runs]

The installed IOC runs in front of a simulated ECC server; the pressure comes from a simulated slow control in a
process of its own (caproto). In each run the pressure leaves its limits at a random moment. Measured is the time from
the time stamp of that value to the arrival of the first Stop at an ECC server, beyond `for_seconds`. A proxy before
the server sees the Stop arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tests.e2e.plant import PREFIX, Plant
from tests.epics import Epics

LIMIT_MS = 200
TIMES = (0.0, 2.0)
"""Values of `for_seconds`."""


class Proxy:
    """Passes everything on to an ECC server, and remembers when a Stop came."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.stopped_at: float | None = None
        self._to = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, to_server, look=True), self._pass(from_server, writer, look=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, look: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if look and self.stopped_at is None and b":Stop" in data:
                    self.stopped_at = time.time()
                writer.write(data)
                await writer.drain()
        writer.close()


class ProxiedPlant(Plant):
    """A plant whose ECC servers are reached through proxies."""

    proxies: dict[str, Proxy]

    def topology(self, **changes: Any) -> dict[str, Any]:
        found = super().topology(**changes)
        for server in found["ecc_servers"]:
            server["port"] = self.proxies[server["name"]].port
        return found

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.site)
        self._stack.callback(self.stop)
        ports = {name: address.port for name, address in self.site.addresses.servers.items()}
        self.proxies = {name: await self._stack.enter_async_context(Proxy(port)) for name, port in ports.items()}
        self.write_topology()
        await self.start()
        return self


async def one_run(plant: ProxiedPlant, epics: Epics, for_seconds: float) -> float:
    """Milliseconds from the time stamp of the source to the first Stop, beyond `for_seconds`."""
    await plant.until("Interlock:p:State", "Ok", 60)
    await plant.until("Run:CanStart", "Yes", 120)
    assert await plant.put("Run:Start"), await plant.text("Run:Message")
    for proxy in plant.proxies.values():
        proxy.stopped_at = None
    await asyncio.sleep(random.uniform(0.5, 1.5))
    await plant.control(slow_controls="SIM:gas:pressure", do="set", value=150)
    await plant.until("Run:State", lambda state: state != "Running", 60)
    done = await epics.acaget("-a", f"{PREFIX}Obs:pressure:Value")
    _, day, hour, *_ = done.stdout.split()
    stamped = datetime.fromisoformat(f"{day}T{hour}").timestamp()
    await plant.control(slow_controls="*", do="thaw")
    first = min(proxy.stopped_at for proxy in plant.proxies.values() if proxy.stopped_at is not None)
    await plant.until("Run:State", "Stopped", 120)
    return 1000 * (first - stamped - for_seconds)


async def measure(runs: int) -> None:
    print("| `for_seconds` | runs | p50, ms | p90, ms | highest, ms | must be | reached |")
    print("|---:|---:|---:|---:|---:|---|---|")
    for for_seconds in TIMES:
        interlock = {"name": "p", "observable": "pressure", "low": 200, "action": "stop", "clear_seconds": 0.2}
        with Epics() as epics, tempfile.TemporaryDirectory() as directory:
            plant = ProxiedPlant(
                Path(directory),
                epics,
                boards=1,
                interlocks=[{**interlock, "for_seconds": for_seconds}],
                timeouts={"state": 5, "transition": 180, "ssh": 60, "filing": 120},
            )
            async with plant:
                for step in ("Describe", "Prepare", "Configure"):
                    assert await plant.put(step), await plant.text("Message")
                taken = sorted([await one_run(plant, epics, for_seconds) for _ in range(runs)])
        p90 = taken[min(len(taken) - 1, round(0.9 * len(taken)))]
        verdict = "yes" if taken[-1] <= LIMIT_MS else "no"
        figures = f"{statistics.median(taken):.0f} | {p90:.0f} | {taken[-1]:.0f}"
        print(f"| {for_seconds:g} | {runs} | {figures} | ≤ {LIMIT_MS} | {verdict} |", flush=True)
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
