"""The simulated slow controls: an IOC of its own (stock caproto), run as ``python -m ioc.sim.slowcontrol``.

The first line on stdin is JSON: ``observables`` (as in the plan) and ``period`` (seconds between updates). It prints
``ready`` when Channel Access answers; every further line on stdin is a command, answered by one line. The port and the
interface come from the EPICS environment variables. When stdin ends, so does the process.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import sys
import time
from typing import Any

from caproto import CaprotoValueError, ChannelData, ChannelDouble, ChannelEnum, ChannelInteger, ChannelString
from caproto.asyncio.server import Context

from ioc.sim.plan import HOST, ObservablePlan

USUAL_RANGE = {
    "Torr": (0.0, 800.0),
    "mbar": (0.0, 1000.0),
    "V": (0.0, 600.0),
    "kV": (0.0, 60.0),
    "T": (0.0, 4.0),
    "MHz": (0.0, 100.0),
    "MeV/u": (0.0, 20.0),
    "C": (5.0, 40.0),
    "degC": (5.0, 40.0),
    "%": (0.0, 100.0),
}
"""Alarm limits by units, for observables that the plan gives none."""
ENUM_STRINGS = ("Off", "On", "Fault")
_DRIFT_PERIOD = 600.0
_DRIFT = 0.05
_NOISE = 0.002
_MAX_UNITS = 8


class Observable:
    """One process variable: drifts slowly about the middle of its range, with noise, until it is held."""

    def __init__(self, plan: ObservablePlan) -> None:
        low, high = USUAL_RANGE.get(plan.units, (0.0, 100.0))
        self._low = low if plan.low is None else plan.low
        self._high = high if plan.high is None else plan.high
        self._type = plan.type
        self._random = random.Random(plan.pv)  # noqa: S311 - the same PV behaves the same in every simulation
        self._phase = self._random.uniform(0, 2 * math.pi)
        self.held = False
        """It keeps its value and sends no updates."""
        self.channel = self._channel(plan.units.encode()[:_MAX_UNITS].decode(errors="ignore"))

    def _channel(self, units: str) -> ChannelData:
        if self._type == "string":
            return ChannelString(value="nominal", string_encoding="utf-8", reported_record_type="stringin")
        if self._type == "enum":
            return ChannelEnum(value=1, enum_strings=ENUM_STRINGS, reported_record_type="mbbi")
        span = self._high - self._low
        limits = {
            "upper_alarm_limit": self._high,
            "lower_alarm_limit": self._low,
            "upper_warning_limit": self._high - 0.1 * span,
            "lower_warning_limit": self._low + 0.1 * span,
            "upper_disp_limit": self._high,
            "lower_disp_limit": self._low,
        }
        display: dict[str, Any] = {"units": units, "string_encoding": "utf-8"}
        if self._type == "integer":
            whole: dict[str, Any] = {name: round(limit) for name, limit in limits.items()}
            return ChannelInteger(value=self._drifted(), reported_record_type="longin", **whole, **display)
        return ChannelDouble(value=self._drifted(), precision=3, reported_record_type="ai", **limits, **display)

    def _drifted(self) -> float | int:
        middle, span = (self._low + self._high) / 2, self._high - self._low
        drift = _DRIFT * math.sin(self._phase + 2 * math.pi * time.time() / _DRIFT_PERIOD)
        value = middle + span * (drift + self._random.gauss(0, _NOISE))
        return round(value) if self._type == "integer" else value

    async def update(self) -> None:
        """Send the next value, unless held."""
        if not self.held:
            await self.channel.write(self._drifted() if self._type in {"float", "integer"} else self.channel.value)

    def _converted(self, value: Any) -> float | int | str:
        match self._type:
            case "float":
                return float(value)
            case "integer":
                return int(value)
            case "enum" if value not in ENUM_STRINGS:
                raise ValueError(f"{value!r} must be one of {', '.join(ENUM_STRINGS)}")
            case _:
                return str(value)

    async def obey(self, command: dict[str, Any]) -> None:
        """``set`` a value and hold it, ``freeze`` the present one, or ``thaw``."""
        match command["do"]:
            case "set":
                self.held = True
                await self.channel.write(self._converted(command["value"]))
            case "freeze":
                self.held = True
            case "thaw":
                self.held = False
            case other:
                raise ValueError(f"an observable cannot {other!r}: set, freeze and thaw are possible")


async def _update_all(observables: dict[str, Observable], period: float) -> None:
    while True:
        for observable in observables.values():
            await observable.update()
        await asyncio.sleep(period)


async def _obey(observables: dict[str, Observable], line: bytes) -> str:
    command: dict[str, Any] = json.loads(line)
    try:
        chosen = list(observables.values()) if command["pv"] == "*" else [observables[command["pv"]]]
        for observable in chosen:
            await observable.obey(command)
    except KeyError as error:
        return json.dumps({"ok": False, "error": f"the simulated slow controls have no {error}"})
    except (ValueError, TypeError, CaprotoValueError) as error:
        return json.dumps({"ok": False, "error": f"{command['pv']}: {error}"})
    return json.dumps({"ok": True})


async def serve() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    first_line = await stdin.readline()
    if not first_line:
        return
    plan = json.loads(first_line)
    observables = {item["pv"]: Observable(ObservablePlan(**item)) for item in plan["observables"]}
    context = Context({pv: observable.channel for pv, observable in observables.items()}, [HOST])
    started = asyncio.Event()

    async def on_start(_async_library: object) -> None:
        started.set()

    server = loop.create_task(context.run(startup_hook=on_start))
    await asyncio.wait([server, loop.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    updates = loop.create_task(_update_all(observables, plan["period"]))
    print("ready", flush=True)
    while line := await stdin.readline():
        print(await _obey(observables, line), flush=True)
    for task in (updates, server):
        task.cancel()
    await asyncio.gather(updates, server, return_exceptions=True)


if __name__ == "__main__":
    logging.getLogger("caproto").setLevel(logging.CRITICAL)  # else a traceback for every beacon that nobody hears
    asyncio.run(serve())
