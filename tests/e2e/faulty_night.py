"""A night of automatic runs with random faults, and an operator who mends what needs hands: nothing may get lost.

Faults come at random moments: an ECC server refuses an operation, answers nonsense for a moment or dies; a router dies;
a stray file appears; the IOC is killed. Then the operator restarts what is dead, brings the servers back to Ready,
organizes stray files, and turns automatic runs on again if they went off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.e2e.plant import PREFIX, ROUTERS, SERVERS, Plant

STEPS = {"Idle": "Describe", "Described": "Prepare", "Prepared": "Configure", "Running": "Stop", "Paused": "Stop"}
NONSENSE = ("drop", "reset", "html", "truncated")


@dataclass
class Night:
    """Takes runs in a plant until so many are complete."""

    plant: Plant
    chance: random.Random
    kills: bool = True
    """The IOC is killed now and then."""
    minutes: float = 0.005
    faults: dict[str, int] = field(default_factory=dict[str, int])
    memory: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """Process id and MB of the IOC, after each fault."""

    async def take(self, runs: int, *, seconds: float) -> None:
        """Take runs, with a fault about every third run, and at least one however fast the runs are.

        Raises:
            AssertionError: they do not follow each other, or two are open.
        """
        deadline = time.monotonic() + seconds
        begun = self._complete()
        assert await self.plant.put("Auto:RunMinutes", str(self.minutes))
        assert await self.plant.put("Run:Title", "night {n}, run {run}", "-S")
        while (done := self._complete() - begun) < runs:
            assert time.monotonic() < deadline, f"{done} of {runs} runs in {seconds:g} s: {await self._why()}"
            await self._mend()
            await self._wait_for_runs(self._complete() + self.chance.randint(1, 4), until=deadline)
            await asyncio.sleep(self.chance.uniform(0, 1.0))
            await self._do_harm()
            self._check_open()
        await self.finish()

    async def finish(self) -> None:
        """End the sequence, and file everything."""
        await self._mend()
        await self.plant.put("Run:Stop")
        await self._mend(enable=False)
        await self.plant.until("Run:State", lambda state: state in {"Stopped", "Failed"}, 60)

    async def _why(self) -> str:
        return f"{await self.plant.text('Auto:Message')} | {await self.plant.text('Run:Message')}"

    def _complete(self) -> int:
        [(count,)] = self.plant.query("SELECT count(*) FROM runs WHERE state = 'complete'")
        return int(count)

    def _check_open(self) -> None:
        unfinished = self.plant.query(
            "SELECT run_number, state FROM runs WHERE state IN ('starting', 'running', 'stopping', 'filing')"
        )
        assert len(unfinished) <= 1, f"more than one run is open: {unfinished}"

    async def _wait_for_runs(self, count: int, *, until: float) -> None:
        """Wait until so many are complete, or until hands are needed."""
        while self._complete() < count and time.monotonic() < until:
            await asyncio.sleep(0.3)
            if await self.plant.get("Auto:State") in {"Off", "Waiting"}:
                return

    async def _do_harm(self) -> None:
        name = self.chance.choice(["refuses", "talks nonsense", "server dies", "router dies", "stray", "killed"])
        if name == "killed" and not self.kills:
            return
        self.faults[name] = self.faults.get(name, 0) + 1
        server, router = self.chance.choice(SERVERS), self.chance.choice(ROUTERS)
        match name:
            case "refuses":
                operation = self.chance.choice(["Start", "Start", "Stop"])
                await self.plant.control(ecc=server, do="fail", operation=operation, message="no clock")
            case "talks nonsense":
                await self.plant.control(ecc=server, do="behave", **{"as": self.chance.choice(NONSENSE)})
                await asyncio.sleep(self.chance.uniform(0, 1.0))
                await self.plant.control(ecc=server, do="behave", **{"as": "normal"})
            case "server dies":
                await self.plant.control(ecc=server, do="kill", links="end")
                await asyncio.sleep(self.chance.uniform(0, 1.0))
                await self.plant.control(ecc=server, do="restart", links="end")
            case "router dies":
                await self.plant.control(router=router, do="kill")
                await asyncio.sleep(self.chance.uniform(0, 1.0))
                await self.plant.control(router=router, do="restart")
            case "stray":
                file = f"stray{sum(self.faults.values())}.graw"
                await self.plant.control(router=router, do="stray", file=file, size=100)
            case _:
                self.plant.stop(signal.SIGKILL)
                await self.plant.start()
        with contextlib.suppress(psutil.Error):
            self.memory.append((self.plant.pid, psutil.Process(self.plant.pid).memory_info().rss / 1e6))

    async def _mend(self, *, enable: bool = True) -> None:
        """What needs hands, until a run runs (or, with `enable` False, none is open)."""
        deadline = time.monotonic() + 240
        while True:
            assert time.monotonic() < deadline, await self._why()
            state, run = await self._states("Auto:State", "Run:State")
            if enable and state in {"Starting", "Running"}:
                return
            if enable and state == "Off":
                await self.plant.put("Auto:Enable", "On")
            if run in {"Stopped", "Failed"} and not await self._mended():
                continue
            if run == "Filing":
                await self._stop_what_runs()
            elif not enable and run in {"Stopped", "Failed"}:
                return
            await asyncio.sleep(0.3)

    async def _states(self, *pvs: str) -> list[str]:
        """The states of several enums, by one process."""
        done = await self.plant.epics.acaget("-t", *(PREFIX + pv for pv in pvs))
        return done.stdout.split("\n")[: len(pvs)] if done.returncode == 0 else [""] * len(pvs)

    async def _mended(self) -> bool:
        """Bring servers to Ready and organize files; whether nothing was left to do."""
        well, blocked = True, await self.plant.text("Run:BlockedBy")
        servers = await self._states(*(f"ECC:{server}:State" for server in SERVERS))
        staging = await self._states(*(f"Router:{router}:Staging" for router in ROUTERS))
        for server, router, state, files in zip(SERVERS, ROUTERS, servers, staging, strict=True):
            restarted = state == "Ready" and f"router {router} was restarted" in blocked
            if step := "Breakup" if restarted else STEPS.get(state):
                well = False
                await self.plant.put(f"ECC:{server}:{step}")
            if files == "Left behind":
                well = False
                await self.plant.put(f"Router:{router}:Organize")
        return well

    async def _stop_what_runs(self) -> None:
        if {"Running", "Paused"} & set(await self._states(*(f"ECC:{server}:State" for server in SERVERS))):
            await self.plant.put("Run:Stop")


TIMEOUTS = {"state": 2, "transition": 20, "ssh": 40, "filing": 60}
"""Of the plant: nothing may time out because the machine is busy."""


def check_nothing_is_lost(plant: Plant) -> None:
    """No number twice or missing, every run over, and every file on disk in the directory and the row of one run.

    Raises:
        AssertionError: otherwise.
    """
    numbers = [number for (number,) in plant.query("SELECT run_number FROM runs ORDER BY run_number")]
    assert numbers == list(range(len(numbers))), "a number is missing or used twice"
    states = {state for (state,) in plant.query("SELECT DISTINCT state FROM runs")}
    assert states <= {"complete", "failed", "orphaned"}, states
    root = plant.directory / "site" / "routers"
    on_disk = {os.fspath(root / path): size for path, size in plant.graw_files().items()}
    assert all(Path(path).parent.name.startswith("run_") for path in on_disk), "a file is still staged"
    stored = plant.query("SELECT path, files.bytes FROM files")
    assert len(stored) == len({path for path, _ in stored}), "a file belongs to two runs"
    assert dict(stored) == on_disk, "files on disk and in the database differ"
