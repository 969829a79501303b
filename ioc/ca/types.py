"""The types of PVs: numbers, choices, commands, texts and lists of texts."""

from __future__ import annotations

import math
import operator
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypedDict, TypeVar, Unpack

from caproto import MAX_ENUM_STATES, MAX_ENUM_STRING_SIZE, AlarmSeverity, ChannelType

from ioc.ca.encoding import STRING_SIZE, PutData, cut
from ioc.ca.pv import NEW_PROPERTY, NEW_VALUE, Client, Properties, PutHandler, Pv, Refused, Snapshot

LONG_MIN, LONG_MAX = -(2**31), 2**31 - 1
N = TypeVar("N", int, float)


class NumberLimits(TypedDict, total=False):
    """Limits of a number; alarm limits as in EPICS."""

    low: float | None
    high: float | None
    lolo: float | None
    hihi: float | None
    minimum: float | None
    maximum: float | None


class NumericPv(Pv[N]):
    """A number with units, alarm limits (`lolo`, `low`, `high`, `hihi`) and control limits.

    At or beyond a limit the alarm is MAJOR (LOLO, HIHI) or MINOR (LOW, HIGH), unless a worse one is posted. A put
    outside `minimum` … `maximum` is refused.
    """

    digits: int
    """Default number of digits after the point."""

    def __init__(
        self,
        name: str,
        description: str,
        *,
        units: str = "",
        precision: int | None = None,
        value: N = 0,
        on_put: PutHandler[N] | None = None,
        **limits: Unpack[NumberLimits],
    ) -> None:
        super().__init__(name, description, value, on_put)
        self.properties = Properties(units, self.digits if precision is None else precision, **limits)
        self.check(value)

    def set_units(self, units: str, precision: int | None = None) -> None:
        """Change units and digits after the point (a property event); None leaves the digits as they are."""
        digits = self.properties.precision if precision is None else precision
        if (units, digits) != (self.properties.units, self.properties.precision):
            self.properties = replace(self.properties, units=units, precision=digits)
            self._publish(replace(self.snapshot, encoded={}), NEW_PROPERTY)

    def alarm_of(self, value: N, severity: int, status: str) -> tuple[int, str]:
        limits = self.properties
        found = None
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
        return (severity, status) if found is None or found[0] < severity else found

    def numbers(self, value: N) -> Sequence[float]:
        return (value,)

    def _in_range(self, value: N) -> N:
        limits = self.properties
        low, high = limits.minimum, limits.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            between = [] if low is None else [f"at least {low:g}"]
            between += [] if high is None else [f"at most {high:g}"]
            raise self.cannot_be(f"{value:g}", " and ".join(between) + f" {limits.units}".rstrip())
        return value

    def _number(self, data: PutData) -> float:
        try:
            return data.number()
        except Refused as error:
            raise self.cannot_be(repr(self.written(data)[:40]), f"a number ({error})") from None


class IntPv(NumericPv[int]):
    """A LONG: a whole number of 32 bits."""

    native = ChannelType.LONG
    record_types = "longin", "longout"
    digits = 0

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
            raise self.cannot_be(f"{number:.15g}", f"from {LONG_MIN} to {LONG_MAX}")
        return self._in_range(int(number))

    def texts(self, value: int) -> Sequence[str]:
        return (str(value),)


class FloatPv(NumericPv[float]):
    """A DOUBLE. It may be posted as NaN (then INVALID), but a put must be finite."""

    native = ChannelType.DOUBLE
    record_types = "ai", "ao"
    digits = 3

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


class EnumPv(Pv[int]):
    """One of at most 16 states of at most 25 bytes; its value is the number of the state, from 0."""

    native = ChannelType.ENUM
    max_states = MAX_ENUM_STATES

    def __init__(
        self,
        name: str,
        description: str,
        strings: Sequence[str],
        *,
        value: int = 0,
        on_put: PutHandler[int] | None = None,
    ) -> None:
        super().__init__(name, description, value, on_put)
        self.properties = Properties(strings=self._checked(strings))
        self.check(value)

    @property
    def strings(self) -> tuple[str, ...]:
        return self.properties.strings

    def set_strings(self, strings: Sequence[str]) -> None:
        """Rename the states (a property event); a value without a state becomes 0.

        Raises:
            ValueError: too many, too long, or none at all.
        """
        checked = self._checked(strings)
        if checked == self.strings:
            return
        self.properties = replace(self.properties, strings=checked)
        old = self.snapshot
        value = old.value if old.value < len(checked) else 0
        events = NEW_PROPERTY if value == old.value else NEW_PROPERTY | NEW_VALUE
        self._publish(Snapshot(value, old.severity, old.status, old.timestamp), events)

    def _checked(self, strings: Sequence[str]) -> tuple[str, ...]:
        if not 1 <= len(strings) <= self.max_states:
            raise ValueError(f"{self.name} must have 1 to {self.max_states} states, not {len(strings)}")
        for text in strings:
            if len(text.encode()) >= MAX_ENUM_STRING_SIZE:
                raise ValueError(f"{self.name}: state {text!r} must be shorter than {MAX_ENUM_STRING_SIZE} bytes")
        return tuple(strings)

    @property
    def record_type(self) -> str:
        input_type, output_type = ("bi", "bo") if len(self.strings) <= 2 else ("mbbi", "mbbo")
        return input_type if self.on_put is None else output_type

    def check(self, value: int) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise ValueError(f"{self.name} must be the number of a state, not {value!r}") from None
        if not 0 <= number < len(self.strings):
            raise ValueError(f"{self.name} must be 0 to {len(self.strings) - 1}, not {number}")
        return number

    def accept(self, data: PutData) -> int:
        text = self.written(data).strip()
        if data.native is ChannelType.STRING and text in self.strings:
            return self.strings.index(text)
        try:
            number = data.number()
        except Refused:
            number = -1
        if number not in range(len(self.strings)):
            states = f"{', '.join(self.strings)} (or a number, 0 to {len(self.strings) - 1})"
            raise self.cannot_be(repr(text[:40]), states)
        return int(number)

    def texts(self, value: int) -> Sequence[str]:
        return (self.strings[value],)

    def numbers(self, value: int) -> Sequence[float]:
        return (value,)


class CommandPv(EnumPv):
    """An enum Done, Busy that carries out a command: a put of Busy starts the handler; it stays Busy until that ends.

    A put of Done has no effect. While it is Busy, another put of Busy is refused.
    """

    serial = False

    def __init__(self, name: str, description: str, on_put: Callable[[Client], Awaitable[None]]) -> None:
        super().__init__(name, description, ("Done", "Busy"), on_put=self._start)
        self._run = on_put

    async def _start(self, client: Client, value: int) -> None:
        if not value:
            return
        if self.value:
            raise Refused(f"{self.name} is Busy with an earlier command: it must be Done before the next")
        self.post(1)
        try:
            await self._run(client)
        finally:
            self.post(0)


class _OneText(Pv[str]):
    """A text of at most `max_length` bytes of UTF-8, never cut within a character; posting a longer one cuts it."""

    def __init__(
        self, name: str, description: str, max_length: int, *, value: str = "", on_put: PutHandler[str] | None = None
    ) -> None:
        super().__init__(name, description, cut(value, max_length), on_put)
        self._max_length = max_length

    def check(self, value: str) -> str:
        return cut(value, self._max_length)

    def accept(self, data: PutData) -> str:
        try:
            text = data.text(of_characters=self.native is ChannelType.CHAR)
        except Refused as error:
            raise Refused(f"{self.name} cannot be set: {error}") from None
        if (length := len(text.encode())) > self._max_length:
            raise self.cannot_be(f"a text of {length} bytes", f"at most {self._max_length} bytes of UTF-8")
        return text

    def remark(self, data: PutData) -> str:
        if not data.is_cut:
            return ""
        return (
            f"{self.name} was cut to {data.text()!r}: the client sent fewer bytes than the text has in UTF-8; it can "
            f"send an array of CHAR instead"
        )

    def texts(self, value: str) -> Sequence[str]:
        return (value,)


class StringPv(_OneText):
    """A DBR_STRING: at most 39 bytes."""

    native = ChannelType.STRING
    record_types = "stringin", "stringout"

    def __init__(self, name: str, description: str, *, value: str = "", on_put: PutHandler[str] | None = None) -> None:
        super().__init__(name, description, STRING_SIZE - 1, value=value, on_put=on_put)


class TextPv(_OneText):
    """A long text: a waveform of CHAR of fixed length, NUL-padded (``caget -S``)."""

    native = ChannelType.CHAR

    @property
    def max_count(self) -> int:
        return self._max_length

    def numbers(self, value: str) -> Sequence[float]:
        return value.encode().ljust(self._max_length, b"\0")


class StringArrayPv(Pv[Sequence[str]]):
    """A waveform of at most `max_count` strings of 39 bytes; longer items and lists are cut."""

    native = ChannelType.STRING

    def __init__(self, name: str, description: str, max_count: int, *, value: Sequence[str] = ()) -> None:
        self._max_count = max_count
        super().__init__(name, description, self.check(value))

    @property
    def max_count(self) -> int:
        return self._max_count

    def check(self, value: Sequence[str]) -> Sequence[str]:
        return tuple(cut(item, STRING_SIZE - 1) for item in value[: self._max_count])

    def accept(self, data: PutData) -> Sequence[str]:
        raise self.cannot_be(str(data)[:40], "left unchanged: a list is read only")

    def texts(self, value: Sequence[str]) -> Sequence[str]:
        return value


class FloatArrayPv(Pv[Sequence[float]]):
    """A read-only waveform of at most `max_count` DOUBLEs; NaN is a gap."""

    native = ChannelType.DOUBLE

    def __init__(
        self, name: str, description: str, max_count: int, *, units: str = "", value: Sequence[float] = ()
    ) -> None:
        self._max_count = max_count
        super().__init__(name, description, self.check(value))
        self.properties = Properties(units, 3)

    @property
    def max_count(self) -> int:
        return self._max_count

    def check(self, value: Sequence[float]) -> Sequence[float]:
        return tuple(value[: self._max_count])

    def accept(self, data: PutData) -> Sequence[float]:
        raise self.cannot_be(str(data)[:40], "left unchanged: it is read only")

    def texts(self, value: Sequence[float]) -> Sequence[str]:
        return [f"{number:.{self.properties.precision}f}" for number in value]

    def numbers(self, value: Sequence[float]) -> Sequence[float]:
        return value
