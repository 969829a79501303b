"""PVs that are one number: LONG and DOUBLE."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from caproto import AlarmSeverity, ChannelType

from ioc.ca.errors import Refused
from ioc.ca.putdata import PutData
from ioc.ca.pv import Event, Properties, PutHandler, Pv, Snapshot

LONG_MIN, LONG_MAX = -(2**31), 2**31 - 1
N = TypeVar("N", int, float)


class NumericPv(Pv[N]):
    """A number with units, alarm limits (`lolo`, `low`, `high`, `hihi`) and control limits.

    At a limit or beyond it the alarm is MAJOR (LOLO, HIHI) or MINOR (LOW, HIGH) unless the poster says worse. A put
    outside of `minimum` … `maximum` is refused.
    """

    digits: int
    """After the point, unless said otherwise."""

    def __init__(
        self,
        name: str,
        description: str,
        *,
        units: str = "",
        precision: int | None = None,
        low: float | None = None,
        high: float | None = None,
        lolo: float | None = None,
        hihi: float | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        value: N = 0,
        on_put: PutHandler[N] | None = None,
    ) -> None:
        super().__init__(name, description, value, on_put)
        digits = self.digits if precision is None else precision
        self.properties = Properties(units, digits, low, high, lolo, hihi, minimum, maximum)
        self.check(value)

    def set_units(self, units: str, precision: int | None = None) -> None:
        """Change units and digits after the point (a property event); None leaves the digits as they are."""
        digits = self.properties.precision if precision is None else precision
        if (units, digits) == (self.properties.units, self.properties.precision):
            return
        self.properties = replace(self.properties, units=units, precision=digits)
        old = self.snapshot
        self._publish(Snapshot(old.value, old.severity, old.status, old.timestamp), int(Event.PROPERTY))

    def alarm_of(self, value: N, severity: int, status: str) -> tuple[int, str]:
        limits = self.properties
        found = AlarmSeverity.NO_ALARM, "NO_ALARM"
        if math.isnan(value):
            found = AlarmSeverity.INVALID_ALARM, "UDF"
        elif limits.hihi is not None and value >= limits.hihi:
            found = AlarmSeverity.MAJOR_ALARM, "HIHI"
        elif limits.lolo is not None and value <= limits.lolo:
            found = AlarmSeverity.MAJOR_ALARM, "LOLO"
        elif limits.high is not None and value >= limits.high:
            found = AlarmSeverity.MINOR_ALARM, "HIGH"
        elif limits.low is not None and value <= limits.low:
            found = AlarmSeverity.MINOR_ALARM, "LOW"
        return found if found[0] and found[0] >= severity else (severity, status)

    def numbers(self, value: N) -> Sequence[float]:
        return (value,)

    def _in_range(self, value: N) -> N:
        limits = self.properties
        low = -math.inf if limits.minimum is None else limits.minimum
        high = math.inf if limits.maximum is None else limits.maximum
        if not low <= value <= high:
            between = [f"at least {low:g}"] if low > -math.inf else []
            between += [f"at most {high:g}"] if high < math.inf else []
            raise self.cannot_be(f"{value:g}", " and ".join(between) + f" {limits.units}".rstrip())
        return value

    def _number(self, data: PutData) -> float:
        try:
            return data.number()
        except Refused as error:
            raise self.cannot_be(repr(str(data)[:40]), f"a number ({error})") from None


class IntPv(NumericPv[int]):
    """A LONG: a whole number of 32 bits."""

    native = ChannelType.LONG
    digits = 0

    @property
    def record_type(self) -> str:
        return "longin" if self.on_put is None else "longout"

    def check(self, value: int) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise ValueError(f"{self.name} must be a whole number, not {value!r}") from None
        if not LONG_MIN <= number <= LONG_MAX:
            raise ValueError(f"{self.name} must be a number of 32 bits, not {number}")
        return number

    def accept(self, data: PutData) -> int:
        number = self._number(data)
        if not math.isfinite(number) or number != int(number):
            raise self.cannot_be(str(number), "a whole number")
        if not LONG_MIN <= number <= LONG_MAX:
            raise self.cannot_be(str(int(number)), f"from {LONG_MIN} to {LONG_MAX}")
        return self._in_range(int(number))

    def texts(self, value: int) -> Sequence[str]:
        return (str(value),)


class FloatPv(NumericPv[float]):
    """A DOUBLE. It may be posted as NaN (then INVALID), but never put as anything that is not finite."""

    native = ChannelType.DOUBLE
    digits = 3

    @property
    def record_type(self) -> str:
        return "ai" if self.on_put is None else "ao"

    def check(self, value: float) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} must be a number, not {value!r}") from None

    def accept(self, data: PutData) -> float:
        number = self._number(data)
        try:
            number = float(number)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.cannot_be(str(number), "finite")
        return self._in_range(number)

    def texts(self, value: float) -> Sequence[str]:
        text = f"{value:.{self.properties.precision}f}"
        return (text if len(text) < 20 else f"{value:.{min(self.properties.precision, 17)}e}",)

    def same(self, value: float, old: float) -> bool:
        return value == old or (math.isnan(value) and math.isnan(old))
