"""The operator of the soak: a Channel Access client that recovers from everything with the means of operators."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.plant import PREFIX, ROUTERS, SERVERS, Plant

CONFIG = "plain/p1/c1"
TO_READY = {
    "Idle": "Describe",
    "Described": "Prepare",
    "Prepared": "Configure",
    "Running": "Stop",
    "Paused": "Stop",
}
"""The operation of one server that leads towards Ready."""
RECOVERY_SECONDS = 300.0
"""How long recovery may take before the soak fails: on a busy machine, with the 10 s until libca searches again."""
_ECA_PUTFAIL = 160


class Stuck(Exception):
    """The system did not get to where it must; the text says where it is."""


class Operator:
    """Puts, gets and recovery."""

    def __init__(self, plant: Plant) -> None:
        import aioca  # noqa: PLC0415 - reads its environment when it is imported

        self._ca = aioca
        self._plant = plant
        self.automatic = False
        """The IOC takes runs automatically if it is told to."""
        self.puts = 0
        """Answered ones."""
        self.uncertain = 0
        """Puts without an answer, and those that libca may not have sent."""
        self.last_resorts = 0
        """How often the whole detector was restarted."""

    def close(self) -> None:
        self._ca.purge_channel_caches()

    async def put(self, name: str, value: Any = 1, *, timeout: float = 60) -> bool:
        """Put with callback; whether it was granted."""
        text = {"datatype": self._ca.DBR_CHAR_STR} if isinstance(value, str) else {}
        try:
            result = await self._ca.caput(f"{PREFIX}{name}", value, wait=True, timeout=timeout, throw=False, **text)
        except (ValueError, TypeError, OverflowError):  # the client itself refuses to send it
            return False
        if result.ok or result.errorcode == _ECA_PUTFAIL:
            self.puts += 1
        else:
            self.uncertain += 1
        return bool(result.ok)

    async def get(self, name: str) -> str:
        """A value as text; empty if it cannot be read now."""
        value = await self._ca.caget(f"{PREFIX}{name}", datatype=str, timeout=5, throw=False)
        return str(value) if value.ok else ""

    async def text(self, name: str) -> str:
        """The value of a text PV."""
        value = await self._ca.caget(f"{PREFIX}{name}", datatype=self._ca.DBR_CHAR_STR, timeout=5, throw=False)
        return str(value) if value.ok else ""

    async def control(self, command: dict[str, Any]) -> None:
        """What the simulator cannot do now (a router that is dead cannot be silenced) does not matter."""
        with contextlib.suppress(Exception):
            await self._plant.site.control(command)

    async def until(self, name: str, condition: Callable[[str], bool], seconds: float = 60) -> None:
        """Wait until a PV can be read and its value fulfils a condition.

        Raises:
            Stuck: it did not.
        """
        end = time.monotonic() + seconds
        while not (value := await self.get(name)) or not condition(value):
            if time.monotonic() > end:
                raise Stuck(f"{name} is {value!r} after {seconds:g} s")
            await asyncio.sleep(0.2)

    async def end_run(self) -> None:
        """No more automatic runs, and the end of the present one."""
        if self.automatic:
            await self.put("Auto:Enable", 0)
        await self.put("Run:Stop")

    async def recover(self) -> None:
        """Bring the system to where a run can start, with commands and restarts of dead programs.

        Raises:
            Stuck: it cannot be done.
        """
        for server in SERVERS:
            await self.control({"ecc": server, "do": "behave", "as": "normal"})
            await self.control({"ecc": server, "do": "thaw"})
        await self.control({"slow_controls": "*", "do": "start"})
        await self.end_run()
        began = time.monotonic()
        tried_all = False
        while await self.get("Run:CanStart") != "Yes":
            late = time.monotonic() - began
            if late > RECOVERY_SECONDS:
                raise Stuck(await self._where())
            if late > RECOVERY_SECONDS / 2 and not tried_all:
                tried_all = True
                await self._restart_everything()
            await self._one_step()
            await asyncio.sleep(0.2)

    async def _where(self) -> str:
        names = ("Run:State", "State", *(f"ECC:{name}:State" for name in SERVERS))
        texts = ("Run:BlockedBy", "Run:Message", "Message", *(f"ECC:{name}:Message" for name in SERVERS))
        found = [(name, await self.get(name)) for name in names] + [(name, await self.text(name)) for name in texts]
        return "no run can start: " + ", ".join(f"{name} is {value!r}" for name, value in found)

    async def _one_step(self) -> None:
        if await self.get("Run:State") not in {"Stopped", "Failed"}:
            await self.put("Run:Stop")
            return
        for name in ROUTERS:
            deaf = f"router {name} takes no data" in await self.text("Run:BlockedBy")
            if deaf or await self.get(f"Router:{name}:Online") != "Online":
                await self.control({"router": name, "do": "restart"})
            elif await self.get(f"Router:{name}:Clean") != "Clean":
                granted = await self.put(f"Router:{name}:Organize")
                if not granted and await self.get("Run:Number") == "-1":
                    self._move_by_hand(name)
        await asyncio.gather(*(self._one_step_of(name) for name in SERVERS))
        states = {await self.get(f"ECC:{name}:State") for name in SERVERS}
        again = states == {"Ready"} and "restarted" in await self.text("Run:BlockedBy")
        if again or await self.get("Run:State") == "Failed":
            await self.put("Reset")

    def _move_by_hand(self, router: str) -> None:
        """Before the first run of an experiment there is no run to which left-behind files could belong."""
        for path in (self._plant.directory / "site" / "routers" / router).glob("*/*.graw"):
            path.rename(self._plant.directory / f"{time.time_ns()} {path.name}")

    async def _one_step_of(self, name: str) -> None:
        """Bring one server nearer to Ready."""
        if await self.text(f"ECC:{name}:Config") != CONFIG:
            await self.put(f"ECC:{name}:Config", CONFIG)
        state = await self.get(f"ECC:{name}:State")
        if state in {"Off", "Unknown"}:
            await self.control({"ecc": name, "do": "restart", "links": "end"})
            await asyncio.sleep(1)
        elif step := TO_READY.get(state):
            await self.put(f"ECC:{name}:{step}")

    async def _restart_everything(self) -> None:
        """The last resort: all programs of the detector are restarted."""
        self.last_resorts += 1
        for name in ROUTERS:
            await self.control({"router": name, "do": "restart"})
        for name in SERVERS:
            await self.control({"ecc": name, "do": "restart", "links": "end"})
        await asyncio.sleep(2)
