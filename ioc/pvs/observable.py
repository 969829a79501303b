"""The PVs of one observable, ``$(P)Obs:<name>:…``."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ioc.ca import STATUSES, EnumPv, FloatArrayPv, FloatPv, IntPv, Pv, StringPv, TextPv
from ioc.model import Client, ObservableView, Reading, Scalar, Severity, Statistics, ValueType
from ioc.pvs.boundary import handler
from ioc.pvs.group import Group, not_known
from ioc.topology.schema import Observable

SetManual = Callable[[str, Scalar, Client], Awaitable[None]]

HISTORY_SECONDS = 10
"""Between two points of a history."""
_POINTS = 361
"""An hour."""
_DESCRIPTION_BYTES = 39
_STATE_BYTES = 25
_ENTRY_BYTES = 100
"""More than a value may have, so that a longer one is refused by name."""
_INVALID = Severity.INVALID  # an enum lookup is slower than comparing the value
_LONG_MIN, _LONG_MAX = -(2**31), 2**31 - 1


class ObservablePvs(Group):
    """Value with units, time stamp and alarm of its source, and its statistics in the run."""

    def __init__(self, prefix: str, observable: Observable, set_manual: SetManual) -> None:
        super().__init__(f"{prefix}Obs:{observable.name}:")
        self.observable = observable
        self._set_manual = set_manual
        self._entry: TextPv | None = None
        self._refusal: TextPv | None = None
        self.value = self.add(self._value_pv, "Value")
        # a number that was never known is not 0
        self._unknown = math.nan if isinstance(self.value, FloatPv) else self.value.value
        self._show_nothing()
        self.add(TextPv, "Source", "Source PV, empty if manual", 128, value=observable.pv or "")
        self._connected = self.add(EnumPv, "Connected", "The source is connected", ["No", "Yes"])
        units = observable.units
        self._statistics = (
            self.add(FloatPv, "RunMin", "Minimum over the run", units=units, value=math.nan),
            self.add(FloatPv, "RunMax", "Maximum over the run", units=units, value=math.nan),
            self.add(FloatPv, "RunMean", "Time-weighted mean over the run", units=units, value=math.nan),
        )
        not_known("UDF", *self._statistics)
        self._samples = self.add(IntPv, "Samples", "Samples recorded in the run")
        if observable.pv is None:
            self._entry = self.add(
                TextPv, "Entry", "Value entered by the shift, as text", _ENTRY_BYTES, on_put=handler(self._put)
            )
            self._refusal = self.add(TextPv, "Message", "Why the last value was refused", 256)
        self._points: deque[float] = deque([math.nan] * _POINTS, _POINTS)
        self._history = self.add(FloatArrayPv, "History", "Values of the last hour", _POINTS, units=units)
        self._about: tuple[str, int | None, tuple[str, ...], bool] | None = None
        """Units, digits, states and connection as shown; None before the first update."""
        self._shown: tuple[Reading | None, Statistics | None] = None, None
        """What was shown last: most of it is the same at every tick."""

    @property
    def connected(self) -> bool:
        return bool(self._connected.value)

    @property
    def severity(self) -> int:
        """The alarm of the value; a manual value that nobody set is none."""
        manual = self.observable.pv is None
        return 0 if manual and self.value.severity == _INVALID else self.value.severity

    def remember(self) -> None:
        """Add the present value to the history; called every `HISTORY_SECONDS`."""
        pv = self.value
        if isinstance(pv, FloatPv | IntPv):
            self._points.append(math.nan if pv.severity == _INVALID else float(pv.value))
            self._history.post(tuple(self._points))

    def _value_pv(self, name: str) -> Pv[Any]:
        observable = self.observable
        manual = observable.pv is None
        description = _cut(observable.label, _DESCRIPTION_BYTES) or observable.name
        put = handler(self._put) if manual else None
        match observable.type:
            case ValueType.Float:
                return FloatPv(name, description, units=observable.units, on_put=put)
            case ValueType.Integer:
                return IntPv(name, description, units=observable.units, on_put=put)
            case ValueType.Enum if not manual:
                return EnumPv(name, description, ["?"])
            case _:
                return StringPv(name, description, on_put=put)

    async def _put(self, client: Client, value: Scalar) -> None:
        await self._set_manual(self.observable.name, value, client)
        self.show_refusal("")

    def show_refusal(self, text: str) -> None:
        """Show why the last value was refused; empty if it was not."""
        if self._refusal is not None:
            self._refusal.post(text, severity=Severity.MAJOR if text else Severity.NO_ALARM)

    def show(self, view: ObservableView) -> None:
        about = (view.units, view.precision, view.labels, view.connected)
        reading, statistics = self._shown
        if about != self._about:
            self._about = about
            self._describe(view)
            reading = None  # its text or alarm may depend on that
        if view.reading is None:
            self._show_nothing()
        elif view.reading is not reading:
            self._show(view.reading)
        if view.statistics is not None and view.statistics is not statistics:
            self._show_statistics(view.statistics)
        self._shown = view.reading, statistics if view.statistics is None else view.statistics

    def _describe(self, view: ObservableView) -> None:
        self._connected.post(int(view.connected))
        for pv in (self.value, *self._statistics):
            if isinstance(pv, FloatPv | IntPv):
                pv.set_units(view.units, view.precision)
            elif isinstance(pv, EnumPv) and view.labels:
                labels = view.labels[: EnumPv.max_states]
                pv.set_strings([_cut(label, _STATE_BYTES) or str(n) for n, label in enumerate(labels)])

    def _show_nothing(self) -> None:
        self.value.post(self._unknown, severity=_INVALID, status="UDF")
        if self._entry is not None:
            self._entry.post("")

    def _show_statistics(self, statistics: Statistics) -> None:
        numbers = (statistics.minimum, statistics.maximum, statistics.mean)
        for pv, number in zip(self._statistics, numbers, strict=True):
            if number is None:
                pv.post(math.nan, severity=_INVALID, status="UDF")
            else:
                pv.post(number)
        self._samples.post(statistics.samples)

    def _show(self, reading: Reading) -> None:
        status = "COMM" if reading.status == "disconnected" else reading.status
        if status not in STATUSES:  # a number outside the range of the PV's type
            status = ""
        value, severity = self.value.value, _INVALID
        if reading.value is not None:
            fitting = self._fitting(reading)
            if fitting is None:
                status = "HWLIMIT"
            else:
                value, severity = fitting, reading.severity
        self.value.post(value, severity=severity, status=status, timestamp=reading.sampled_at)
        if self._entry is not None and severity < _INVALID:
            self._entry.post(f"{value:g}" if isinstance(value, float) else str(value), timestamp=reading.sampled_at)

    def _fitting(self, reading: Reading) -> Scalar | None:
        """Return the reading's value for the PV, None if it does not fit."""
        pv, value = self.value, reading.value
        if isinstance(pv, StringPv):
            return reading.label or str(value)
        if not isinstance(value, (int, float)):
            return None
        if isinstance(pv, FloatPv):
            return float(value)
        low, high = (0, len(pv.strings) - 1) if isinstance(pv, EnumPv) else (_LONG_MIN, _LONG_MAX)
        return int(value) if low <= value <= high else None


class HistoryAxis(Group):
    """The times of the points of every history."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"{prefix}IOC:")
        minutes = [(i + 1 - _POINTS) * HISTORY_SECONDS / 60 for i in range(_POINTS)]
        self.add(FloatArrayPv, "HistoryMinutes", "Times of all histories", _POINTS, units="min", value=minutes)


def _cut(text: str, size: int) -> str:
    """Return the longest prefix of a text that has at most `size` bytes."""
    return text.encode()[:size].decode(errors="ignore").strip()
