"""The PVs of one observable, ``$(P)Obs:<name>:…``."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from caproto import AlarmStatus

from ioc.ca import EnumPv, FloatPv, IntPv, Pv, StringPv, TextPv
from ioc.model import Client, ObservableView, Reading, Scalar, Severity, Statistics, ValueType
from ioc.topology.schema import Observable

SetManual = Callable[[str, Scalar, Client], Awaitable[None]]

_ALARM_STATUS = {"disconnected": "COMM"}
_DESCRIPTION_BYTES = 39
_STATE_BYTES = 25
_LONG_MIN, _LONG_MAX = -(2**31), 2**31 - 1


class ObservablePvs:
    """Value with units, time stamp and alarm of its source, and what it did during the run."""

    def __init__(self, prefix: str, observable: Observable, set_manual: SetManual) -> None:
        self.observable = observable
        self._set_manual = set_manual
        base = f"{prefix}Obs:{observable.name}:"
        self._value = self._value_pv(f"{base}Value")
        # A number that was never known is no 0.
        unknown = math.nan if isinstance(self._value, FloatPv) else self._value.value
        self._value.post(unknown, severity=Severity.INVALID, status="UDF")
        source = TextPv(f"{base}Source", "The PV it follows, empty if manual", 128)
        source.post(observable.pv or "")
        self._connected = EnumPv(f"{base}Connected", "Its source is connected", ["No", "Yes"])
        units = observable.units
        self._statistics = (
            FloatPv(f"{base}RunMin", "Minimum over the run", units=units),
            FloatPv(f"{base}RunMax", "Maximum over the run", units=units),
            FloatPv(f"{base}RunMean", "Time-weighted mean over the run", units=units),
        )
        for pv in self._statistics:
            pv.post(math.nan, severity=Severity.INVALID, status="UDF")
        self._samples = IntPv(f"{base}Samples", "Recorded in the run")
        self.pvs: tuple[Pv[Any], ...] = (self._value, source, self._connected, *self._statistics, self._samples)

    def _value_pv(self, name: str) -> Pv[Any]:
        observable = self.observable
        manual = observable.pv is None
        description = _cut(observable.label, _DESCRIPTION_BYTES) or observable.name
        put = self._put if manual else None
        match observable.type:
            case ValueType.Float:
                return FloatPv(name, description, units=observable.units, on_put=put)
            case ValueType.Integer:
                return IntPv(name, description, units=observable.units, on_put=put)
            case ValueType.Enum if not manual:
                return EnumPv(name, description, ["?"])
            case _:
                return StringPv(name, description, on_put=put)

    async def _put(self, value: Scalar, client: Client) -> None:
        await self._set_manual(self.observable.name, value, client)

    def update(self, view: ObservableView) -> None:
        """Show what the recorder knows."""
        if isinstance(self._value, FloatPv | IntPv):
            self._value.set_units(view.units, view.precision)
        elif isinstance(self._value, EnumPv) and view.labels:
            labels = view.labels[: EnumPv.max_states]
            self._value.set_strings([_cut(label, _STATE_BYTES) or str(n) for n, label in enumerate(labels)])
        if view.reading is not None:
            self._show(view.reading)
        self._connected.post(int(view.connected))
        if view.statistics is not None:
            self._show_statistics(view.statistics, view)

    def _show_statistics(self, statistics: Statistics, view: ObservableView) -> None:
        numbers = (statistics.minimum, statistics.maximum, statistics.mean)
        for pv, number in zip(self._statistics, numbers, strict=True):
            pv.set_units(view.units, view.precision)
            if number is None:
                pv.post(math.nan, severity=Severity.INVALID, status="UDF")
            else:
                pv.post(number)
        self._samples.post(statistics.samples)

    def _show(self, reading: Reading) -> None:
        status = _ALARM_STATUS.get(reading.status, reading.status)
        if status not in AlarmStatus.__members__:  # a number that EPICS does not have
            status = ""
        if reading.value is None:
            self._value.post(self._value.value, severity=Severity.INVALID, status=status, timestamp=reading.sampled_at)
            return
        value, severity = _fitting(self._value, reading)
        if value is None:
            value, severity, status = self._value.value, Severity.INVALID, "HWLIMIT"
        self._value.post(value, severity=severity, status=status, timestamp=reading.sampled_at)


def _cut(text: str, size: int) -> str:
    """Return the longest beginning of a text that has at most `size` bytes."""
    return text.encode()[:size].decode(errors="ignore").strip()


def _fitting(pv: Pv[Any], reading: Reading) -> tuple[Scalar | None, Severity]:
    """Return the reading's value as `pv` can hold it, None if it cannot, and its severity."""
    value = reading.value
    if isinstance(pv, StringPv):
        return reading.label or str(value), reading.severity
    if isinstance(pv, FloatPv) and isinstance(value, int | float):
        return float(value), reading.severity
    low, high = (0, len(pv.strings) - 1) if isinstance(pv, EnumPv) else (_LONG_MIN, _LONG_MAX)
    if isinstance(value, int | float) and low <= value <= high:
        return int(value), reading.severity
    return None, Severity.INVALID
