"""The simulated slow controls: a separate IOC (plain caproto), run as ``python -m ioc.sim.slowcontrol``.

The first line on stdin is JSON: ``observables`` (as in the plan) and ``period`` (seconds between updates). It prints
``ready`` when Channel Access answers; every further line on stdin is a command, answered by one line. Port and
interface are set by the EPICS environment variables. The process ends when stdin closes.
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

from ioc.sim.plan import HOST, MAX_LINE, ObservablePlan

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
"""Alarm limits by units, for observables whose plan has none."""
ENUM_STRINGS = ("Off", "On", "Fault")
_DRIFT_PERIOD = 600.0
_DRIFT = 0.05
_NOISE = 0.002
_MAX_UNITS = 8


class Observable:
    """One process variable: drifts slowly around the middle of its range, with noise, until it is held."""

    def __init__(self, plan: ObservablePlan) -> None:
        low, high = USUAL_RANGE.get(plan.units, (0.0, 100.0))
        low, high = low if plan.low is None else plan.low, high if plan.high is None else plan.high
        self._middle, self._span = (low + high) / 2, high - low
        self._type = plan.type
        self._random = random.Random(plan.pv)  # noqa: S311 - the same PV behaves the same in every simulation
        self._phase = self._random.uniform(0, 2 * math.pi)
        self.held = False
        """It keeps its value and sends no updates."""
        self.channel = self._channel(plan.units.encode()[:_MAX_UNITS].decode(errors="ignore"), low, high)

    def _channel(self, units: str, low: float, high: float) -> ChannelData:
        if self._type == "string":
            return ChannelString(value="nominal", string_encoding="utf-8", reported_record_type="stringin")
        if self._type == "enum":
            return ChannelEnum(value=1, enum_strings=ENUM_STRINGS, reported_record_type="mbbi")
        margin = 0.1 * self._span
        limits = {"alarm": (low, high), "disp": (low, high), "warning": (low + margin, high - margin)}
        number = round if self._type == "integer" else float
        arguments: dict[str, Any] = {f"lower_{kind}_limit": number(pair[0]) for kind, pair in limits.items()}
        arguments |= {f"upper_{kind}_limit": number(pair[1]) for kind, pair in limits.items()}
        arguments |= {"value": self._drifted(), "units": units, "string_encoding": "utf-8"}
        if self._type == "integer":
            return ChannelInteger(reported_record_type="longin", **arguments)
        return ChannelDouble(precision=3, reported_record_type="ai", **arguments)

    def _drifted(self) -> float | int:
        drift = _DRIFT * math.sin(self._phase + 2 * math.pi * time.time() / _DRIFT_PERIOD)
        value = self._middle + self._span * (drift + self._random.gauss(0, _NOISE))
        return round(value) if self._type == "integer" else value

    async def update(self) -> None:
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
        if command["do"] not in {"set", "freeze", "thaw"}:
            raise ValueError(f"unknown command {command['do']!r}; an observable knows set, freeze, thaw")
        self.held = command["do"] != "thaw"
        if command["do"] == "set":
            await self.channel.write(self._converted(command["value"]))


async def _update_all(observables: dict[str, Observable], period: float) -> None:
    while True:
        for observable in observables.values():
            await observable.update()
        await asyncio.sleep(period)


async def _obey(observables: dict[str, Observable], line: bytes) -> dict[str, Any]:
    command: dict[str, Any] = json.loads(line)
    pv = command["pv"]
    if pv != "*" and pv not in observables:
        return {"ok": False, "error": f"the simulated slow controls have no {pv!r}"}
    try:
        for observable in observables.values() if pv == "*" else [observables[pv]]:
            await observable.obey(command)
    except KeyError as error:
        return {"ok": False, "error": f"{pv}: the command needs {error}"}
    except (ValueError, TypeError, CaprotoValueError) as error:
        return {"ok": False, "error": f"{pv}: {error}"}
    return {"ok": True}


async def serve() -> None:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    first_line = await stdin.readline()
    if not first_line:
        return
    plan = json.loads(first_line)
    observables = {item["pv"]: Observable(ObservablePlan(**item)) for item in plan["observables"]}
    context = Context({pv: observable.channel for pv, observable in observables.items()}, [HOST])

    async def on_start(_async_library: object) -> None:
        print("ready", flush=True)

    server = loop.create_task(context.run(startup_hook=on_start))
    updates = loop.create_task(_update_all(observables, plan["period"]))
    while line := await stdin.readline():
        print(json.dumps(await _obey(observables, line)), flush=True)
    for task in (updates, server):
        task.cancel()
    await asyncio.gather(updates, server, return_exceptions=True)


if __name__ == "__main__":
    # otherwise caproto logs a traceback for every beacon without a receiver
    logging.getLogger("caproto").setLevel(logging.CRITICAL)
    asyncio.run(serve())
