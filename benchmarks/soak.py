"""The whole IOC for a long time, while everything goes wrong that the simulator can do: are the books right at the end?

    python -m benchmarks.soak MINUTES [SEED]

The IOC runs with a simulated detector of four ECC servers and four routers. In each round the operator takes a run
while a fault happens (every kind of docs/simulator.md in turn, at a random part and moment), clients come and go, and
random commands are sent; then the operator recovers. Now and then the topology is reloaded, observables change, and the
experiment. After every third round, when all is at rest, memory, descriptors, threads, tasks and objects of the IOC are
counted. At the end the IOC stops, and the run database is compared with the files on disk and with the puts that were
sent. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.soak_books import complaints
from benchmarks.soak_clients import Visitors
from benchmarks.soak_faults import FAULTS, Fate, Fault, Happening
from benchmarks.soak_operator import Operator, Stuck
from ioc.sim.ports import free_port
from tests.e2e.plant import COBOS, PREFIX, ROUTERS, SERVERS, Plant, listing
from tests.epics import Epics

PARTS = {
    "ecc": SERVERS,
    "router": ROUTERS,
    "source": (*(f"CoBo[{number}]" for number in range(len(COBOS))), "Mutant[master]"),
    "slow_controls": ("SIM:gas:pressure", "SIM:hv:cathode"),
}
POLLS = (1.0, 1.1)
POLLING = {"ecc": 0.5, "ecc_busy": 0.1, "routers": POLLS[0]}
TIMEOUTS = {"state": 3, "transition": 30, "ssh": 60, "filing": 60}
"""Seconds; only a machine with much other work needs so many for a look at itself."""
RUN_SECONDS = (0.3, 4.0)
AUTOMATIC_SECONDS = 30.0
CHANGE_EVERY, RESTART_EVERY, COUNT_EVERY = 5, 9, 3
"""Rounds from one change of observables, internal restart, count to the next."""
LOOKS = 5
ITS_OWN_ROUND = {"Run:NextNumber", "IOC:Reload", "Experiment"}
"""Not among the random puts: these have a round, or change what the books must contain."""
VALUES: tuple[Any, ...] = (1, 0, 2, -1, 1e9, float("nan"), "", "x", "ü" * 30, "1")
MARGINS = {
    "memory, MB": 3.0,
    "memory of the receiving process, MB": 3.0,
    "descriptors": 3,
    "threads": 2,
    "tasks": 3,
    "objects": 2000,
}
"""Greatest growth between the begin and the end."""
WARM_SECONDS = 600.0
"""The begin for memory; the memory of a soak that is shorter than twice that is only shown."""


class Soak:
    """One soak in front of a plant."""

    def __init__(self, plant: Plant, ca_port: int, port: int, chance: random.Random) -> None:
        """`port` is that of `benchmarks.soak_ioc`."""
        self._port = port
        self.operator = Operator(plant)
        self.visitors = Visitors(ca_port, chance)
        self.counts: list[tuple[float, dict[str, float]]] = []
        """Seconds since the begin, and what was counted then."""
        self.done: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self._lately: list[Fault] = []
        """Since the last count."""
        self._plant = plant
        self._chance = chance
        self._fate = Fate(chance, PARTS)
        self._served = listing(topology=plant.file)
        self.operator.automatic = any(pv["name"] == f"{PREFIX}Auto:Enable" for pv in self._served)
        self._more = False
        """There is one observable more, and another has other units."""
        self._poll = POLLS[0]

    async def run(self, seconds: float) -> None:
        """Round after round.

        Raises:
            Stuck: the IOC or its system did not recover.
        """
        self._began = time.monotonic()
        await self.operator.recover()
        while time.monotonic() < self._began + seconds:
            await self._round()
        await self._count()

    async def _round(self) -> None:
        number = self.done["rounds"] = self.done["rounds"] + 1
        if number % CHANGE_EVERY == 0:
            await self._change_observables()
        if number % RESTART_EVERY == 0:
            await self._restart_internally()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_run())
            tasks.create_task(self.visitors.come_and_go([pv["name"] for pv in self._served]))
            tasks.create_task(self._put_anything())
            tasks.create_task(self._happens(self._fate.next()))
        await self.operator.recover()
        if number % COUNT_EVERY == 0:
            await self._count()

    async def _take_run(self) -> None:
        if self.operator.automatic and self._chance.random() < 0.5:
            await self._take_runs_automatically()
            return
        await self.operator.put("Run:Start")
        await asyncio.sleep(self._chance.uniform(*RUN_SECONDS))
        if self._chance.random() < 0.2:
            await self.operator.put("Run:Pause")
        await self.operator.end_run()

    async def _take_runs_automatically(self) -> None:
        """Two short runs; a fault may end the sequence earlier, or block it until the time is over."""
        settings = (("RunMinutes", self._chance.uniform(*RUN_SECONDS) / 60), ("Runs", 2), ("PauseSeconds", 0.5))
        for name, value in settings:
            await self.operator.put(f"Auto:{name}", value)
        if await self.operator.put("Auto:Enable"):
            self.done["automatic sequences"] += 1
        with contextlib.suppress(Stuck):
            await self.operator.until("Auto:Enable", lambda value: value == "Off", AUTOMATIC_SECONDS)
        await self.operator.end_run()

    async def _happens(self, happening: Happening) -> None:
        self.faults[happening.fault.name] += 1
        self._lately.append(happening.fault)
        await asyncio.sleep(self._chance.uniform(0, 3))
        await self.operator.control(happening.begin)
        await asyncio.sleep(self._chance.uniform(0.2, 5))
        for command in happening.end:
            await self.operator.control(command)

    async def _put_anything(self) -> None:
        for _ in range(self._chance.randrange(6)):
            pv = self._chance.choice(self._served)
            name = pv["name"].removeprefix(PREFIX)
            if pv["writable"] and name not in ITS_OWN_ROUND:
                value = 1 if pv["type"] == "command" else self._chance.choice(VALUES)
                await self.operator.put(name, value, timeout=30)
            await asyncio.sleep(self._chance.uniform(0, 0.5))

    async def _change_observables(self) -> None:
        self._write_topology(more=not self._more, poll=self._poll)
        if await self.operator.put("IOC:Reload"):
            self._more = not self._more
            self.done["changes of observables"] += 1

    async def _restart_internally(self) -> None:
        """Change more than observables, which needs a system at rest, and with it the experiment."""
        for _ in range(3):
            await self.operator.put("Reset")
        began = await self.operator.get("IOC:StartTime")
        poll = next(each for each in POLLS if each != self._poll)
        self._write_topology(more=self._more, poll=poll)
        if await self.operator.put("IOC:Reload"):  # refused if a server is not Idle, for example dead
            self._poll = poll
            self.done["internal restarts"] += 1
            await self.operator.until("IOC:StartTime", lambda time: time != began)
            await self.operator.until("State", lambda state: state == "Idle")
            await self.operator.put("Experiment", self._chance.choice(("e98", "e99")))

    def _write_topology(self, *, more: bool, poll: float) -> None:
        observables = self._plant.topology()["observables"]
        if more:
            observables[1]["units"] = "V"
            observables.append({"name": "again", "pv": PARTS["slow_controls"][1], "units": "kV"})
        self._plant.write_topology(observables=observables, polling={**POLLING, "routers": poll})

    async def _count(self) -> None:
        """Look a few times: what is under way at the moment of a look, such as a poll, does not count."""
        await self.operator.until("IOC:Clients", lambda clients: clients == "1")
        looks: list[dict[str, float]] = []
        for _ in range(LOOKS):
            await asyncio.sleep(0.2)
            looks.append(await self._look())
        found = {name: min(look[name] for look in looks) for name in looks[0]}
        at = time.monotonic() - self._began
        self.counts.append((at, found))
        now = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
        faults = ", ".join(each.name for each in self._lately)
        self._lately.clear()
        print(f"{at / 60:.1f} min, {self.done['rounds']} rounds: {now}; since: {faults}", flush=True)

    async def _look(self) -> dict[str, float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        inside: dict[str, float] = json.loads(await reader.readline())
        writer.close()
        ioc = psutil.Process(self._plant.pid)
        receivers = 0.0
        for child in ioc.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a hook or a checksum program that has just ended
                if "receiver" in " ".join(child.cmdline()):
                    receivers += child.memory_info().rss / 2**20
        return {
            "memory, MB": ioc.memory_info().rss / 2**20,
            "memory of the receiving process, MB": receivers,
            "descriptors": ioc.num_fds(),
            "threads": ioc.num_threads(),
            **inside,
        }

    def growth(self) -> list[tuple[str, float, float, float | None]]:
        """Of each number: at the begin, at the end, and the limit of its growth, None if it does not count."""
        if not self.counts:
            return []
        length = self.counts[-1][0]
        long = length > 2 * WARM_SECONDS
        warm = [found for at, found in self.counts if at >= (WARM_SECONDS if long else length / 3)]
        few = max(1, min(5, len(warm) // 2))
        rows: list[tuple[str, float, float, float | None]] = []
        for name in warm[0]:
            first, last = (statistics.median(found[name] for found in some) for some in (warm[:few], warm[-few:]))
            counts = long or not name.endswith("MB")
            rows.append((name, first, last, MARGINS.get(name) if counts else None))
        return rows


def table(soak: Soak) -> str:
    """What was done, and what has grown."""
    kinds, operator = len({fault.name for fault in FAULTS}), soak.operator
    rows = [
        ", ".join(f"{count} {what}" for what, count in soak.done.items()),
        f"{soak.faults.total()} faults of {len(soak.faults)} kinds (there are {kinds})",
        f"{operator.last_resorts} restarts of the whole detector",
        f"{soak.visitors.came} clients that came and went",
        f"{operator.puts + operator.uncertain} puts by the operator, {operator.uncertain} of them without an answer",
        "",
        "| | begin | end | growth | allowed |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, first, last, limit in soak.growth():
        rows.append(f"| {name} | {first:.5g} | {last:.5g} | {last - first:+.3g} | {'' if limit is None else limit} |")
    return "\n".join(rows)


async def soak(minutes: float, seed: int, directory: Path) -> list[str]:
    """Run it, print the table, and return what was wrong."""
    wrong: list[str] = []
    with Epics() as epics:
        os.environ.update(epics.env)
        plant = Plant(directory, epics, polling=POLLING, timeouts=TIMEOUTS)
        port = free_port()
        plant.command = (sys.executable, "-m", "benchmarks.soak_ioc", str(port))
        async with plant:
            work = Soak(plant, epics.server_port, port, random.Random(seed))
            try:
                await work.run(60 * minutes)
            except Stuck as stuck:
                wrong.append(f"{stuck}, after the faults {', '.join(work.faults)}")
            finally:
                work.operator.close()
    for state, count in plant.query("SELECT state, count(*) FROM runs GROUP BY state"):
        work.done[f"{state} runs"] = count
    print(table(work))
    wrong += [
        f"{name} grew by {last - first:.4g}, from {first:.5g}"
        for name, first, last, limit in work.growth()
        if limit is not None and last - first > limit
    ]
    routers = plant.directory / "site" / "routers"
    operator = work.operator
    return wrong + complaints(
        plant.database, routers, plant.log_text(), puts=operator.puts, uncertain=operator.uncertain
    )


def main() -> int:
    minutes = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"soak of {minutes:g} minutes, seed {seed}, in {directory}", flush=True)
    wrong = asyncio.run(soak(minutes, seed, directory))
    for each in wrong:
        print(f"WRONG: {each}")
    if wrong:
        return 1
    print("The books are right.")
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
