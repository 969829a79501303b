# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Monitors one PV of another IOC by PVAccess, or one field of its structure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ioc.model import PVA_SCHEME, Reading, Severity
from ioc.observables.monitor import EPICS_EPOCH, STATUSES, Monitor, Properties, PropertiesListener, Source, convert

_QUEUE = 1000
"""Updates that pvxs keeps for us; beyond that it merges them, as Channel Access does."""
_AGAIN_SECONDS = 5.0
"""Between two subscriptions to a PV whose server ended the first."""
_ENDED = ("RemoteError", "Finished")
"""p4p's names of what ends a subscription for good; after a disconnection it subscribes again by itself."""
_STATUSES: Mapping[int, str] = {0: "STATE", 1: "STATE", 2: "UDF"}
"""Numbers of `alarm.status` without a name in `alarm.message`."""


class NoReading(Exception):
    """The structure has no value that an observable can have; the text says why."""


class PvaMonitor(Monitor):
    """p4p connects again by itself; a new connection may bring another structure.

    But p4p does not subscribe again after its server refused or ended the subscription: `check` does.
    """

    def __init__(self, source: Source, deliver: Callable[[Reading], None], tell_properties: PropertiesListener) -> None:
        super().__init__(source, deliver, tell_properties)
        self._pv, _, field = source.pv.removeprefix(PVA_SCHEME).partition("/")
        self._field = field.replace("/", ".")
        self._ended = False
        """Whether the server has refused or ended the subscription."""
        self._subscribed_at = 0.0
        self._subscription = self._subscribe()

    def check(self) -> None:
        if self._ended and self._loop.time() - self._subscribed_at >= _AGAIN_SECONDS:
            self._subscription.close()
            self._subscription = self._subscribe()

    def _subscribe(self) -> Any:
        self._ended, self._subscribed_at = False, self._loop.time()
        request = f"record[queueSize={_QUEUE}]"
        return _context().monitor(self._pv, self._on_update, request=request, notify_disconnect=True)

    async def _unsubscribe(self) -> None:
        self._subscription.close()
        await self._subscription.wait_closed()

    async def _on_update(self, update: Any) -> None:
        if isinstance(update, Exception):
            kind = type(update).__name__
            self._ended = self._ended or kind in _ENDED
            if kind == "RemoteError":
                self.complain(str(update))
            self.report_disconnected()
            return
        try:
            part = self._part(update)
            properties = properties_of(part)
            reading = reading_of(self.source, update, part, properties.labels)
        except Exception as error:  # p4p would end the subscription
            self.complain(str(error) if isinstance(error, NoReading) else f"{type(error).__name__}: {error}")
            self.report_disconnected()
            return
        self.take_properties(properties)
        self.take(reading)

    def _part(self, update: Any) -> Any:
        """Return the field that is followed."""
        if not self._field:
            return update
        try:
            return update[self._field]
        except KeyError:
            raise NoReading(f"its structure has no field {self._field}") from None


@cache
def _context() -> Any:
    """The PVAccess client of this process; p4p is loaded when the first observable needs it."""
    from p4p.client.asyncio import Context  # noqa: PLC0415

    return Context("pva", nt=False)


def properties_of(part: Any) -> Properties:
    """Return units, precision and choices; those of a plain number are empty."""
    units, precision, labels = "", 0, ()
    if _is_structure(part):
        if "display" in part:
            display = part["display"]
            units = str(display.get("units", ""))
            precision = max(0, int(display.get("precision", 0)))
        if "value" in part and _is_structure(part["value"]) and "choices" in part["value"]:
            labels = tuple(map(str, part["value"]["choices"]))
    return Properties(units, precision, labels)


def reading_of(source: Source, whole: Any, part: Any, labels: tuple[str, ...]) -> Reading:
    """Return the reading of a structure, or of one of its fields, which has the alarm and time of the whole.

    Raises:
        NoReading: it is not a number, a text, an enum or an array of these.
    """
    raw, label = _value(part), ""
    if labels:
        index = int(raw)
        raw, label = index, labels[index] if 0 <= index < len(labels) else ""
    of = part if _is_structure(part) and "alarm" in part else whole
    severity, status = _alarm(of)
    value = convert(raw, label, source.type)
    shown = label if source.type == "enum" else ""
    return Reading(source.name, value, severity, status, _time(of), shown)


def _is_structure(part: Any) -> bool:
    return hasattr(part, "getID")


def _value(part: Any) -> Any:
    value = part
    if _is_structure(part):
        kind = part.getID()
        if kind.startswith("epics:nt/NTNDArray:"):
            raise NoReading("it is an image (NTNDArray), but must be a number, a text or an enum")
        if "value" not in part:
            raise NoReading(f"it is a structure {kind} without a value: name one of its fields ({', '.join(part)})")
        value = part["value"]
        if _is_structure(value) and "index" in value:
            value = value["index"]
    if _is_structure(value):
        raise NoReading(f"its value is a structure {value.getID()}, but must be a number, a text or an enum")
    if isinstance(value, (str, int, float)):
        return value
    if value is None or isinstance(value, (dict, bytes)) or not hasattr(value, "__len__"):
        raise NoReading(f"its value is of type {type(value).__name__}, but must be a number, a text or an enum")
    return value[0] if len(value) else math.nan


def _alarm(part: Any) -> tuple[Severity, str]:
    if "alarm" not in part:
        return Severity.NO_ALARM, "NO_ALARM"
    alarm = part["alarm"]
    severity = tuple(Severity)[min(max(int(alarm["severity"]), 0), 3)]
    if severity is Severity.NO_ALARM:
        return severity, "NO_ALARM"
    message = str(alarm["message"]).strip()
    return severity, message if message in STATUSES.values() else _STATUSES.get(int(alarm["status"]), "SOFT")


def _time(part: Any) -> float:
    """Return the time stamp; that of arrival if there is none, or none that Channel Access can carry (1990 to 2126)."""
    if "timeStamp" not in part:
        return time.time()
    stamp = part["timeStamp"]
    seconds = float(stamp["secondsPastEpoch"]) + float(stamp["nanoseconds"]) * 1e-9
    return seconds if EPICS_EPOCH < seconds < EPICS_EPOCH + 2**32 else time.time()
