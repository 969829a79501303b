"""Values on the wire: snapshots of any PV as any DBR type, and the data of puts.

A data type number is ``7 * kind + native``: kind 0 is the plain value, 1 adds the alarm (STS), 2 the time stamp (TIME),
3 display limits (GR), 4 control limits (CTRL). The structures are caproto's, except those of monitors (TIME), where
they would take most of the time of an update.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from caproto import DBR_TYPES, MAX_STRING_SIZE, MAX_UNITS_SIZE, AlarmStatus, ChannelType

from ioc.ca.pv import Properties, Pv, Refused, Snapshot

STRING_SIZE = MAX_STRING_SIZE
_KEPT = 16
"""Encoded forms kept per snapshot: more than honest clients request, and a bound for others."""
_STRUCTURES: dict[Any, Any] = DBR_TYPES
_STATES = 16
_INTEGERS: dict[int, tuple[int, int]] = {
    ChannelType.INT: (-(2**15), 2**15 - 1),
    ChannelType.ENUM: (0, 2**16 - 1),
    ChannelType.CHAR: (-(2**7), 2**8 - 1),
    ChannelType.LONG: (-(2**31), 2**31 - 1),
}
_FORMATS: dict[int, str] = {
    ChannelType.INT: "h",
    ChannelType.FLOAT: "f",
    ChannelType.ENUM: "H",
    ChannelType.CHAR: "B",
    ChannelType.LONG: "i",
    ChannelType.DOUBLE: "d",
}
_ONE = {number: struct.Struct(f">{form}") for number, form in _FORMATS.items()}
_SIZES = {ChannelType.STRING: STRING_SIZE} | {ChannelType(n): struct.calcsize(form) for n, form in _FORMATS.items()}
_PLAIN = tuple(ChannelType(number) for number in range(ChannelType.DOUBLE + 1))
_FLOAT_MAX = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
_TIME, _CTRL = 2, 4
_STRING, _FLOATING = int(ChannelType.STRING), int(ChannelType.DOUBLE)
_EPICS_EPOCH = 631152000
_LAST_SECOND = 0xFFFFFFFF
_STATUSES = {name: int(status) for name, status in AlarmStatus.__members__.items()}
_DOUBLE = struct.Struct(">d")
_ALARM = struct.Struct(">HH")
_ACKNOWLEDGEMENT = struct.Struct(">HHHH")
_STAMP = tuple(struct.Struct(f">HHII{padding}x") for padding in (0, 2, 0, 2, 3, 0, 4))
"""Alarm, time stamp, and the padding before the value, for each native type."""
_LIMITS: dict[str, tuple[str, float]] = {
    "upper_disp_limit": ("maximum", 0),
    "lower_disp_limit": ("minimum", 0),
    "upper_alarm_limit": ("hihi", math.nan),
    "upper_warning_limit": ("high", math.nan),
    "lower_warning_limit": ("low", math.nan),
    "lower_alarm_limit": ("lolo", math.nan),
    "upper_ctrl_limit": ("maximum", 0),
    "lower_ctrl_limit": ("minimum", 0),
}
"""Field of caproto's structures: the limit, and the number that means none."""
_CODE_UNITS = 0x10000
"""UTF-16 code units are below this; a character beyond it takes two of them."""


class NoConversion(Exception):
    """This PV cannot be read as the requested type."""


def cut(text: str, size: int) -> str:
    """The longest prefix of `text` that fits into `size` bytes of UTF-8, without NULs."""
    return text.replace("\0", "").encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def encode(pv: Pv[Any], snapshot: Snapshot[Any], data_type: int, count: int) -> tuple[bytes, int]:
    """The payload, padded to 8 bytes, and its number of elements; `count` 0 requests all elements.

    Raises:
        NoConversion: there is no such type, or a text was requested as numbers.
    """
    key = data_type, count
    known = snapshot.encoded.get(key)
    if known is not None:
        return known
    payload, elements = _encode(pv, snapshot, data_type, count)
    encoded = payload + bytes(-len(payload) % 8), elements
    if len(snapshot.encoded) < _KEPT:
        snapshot.encoded[key] = encoded
    return encoded


def _encode(pv: Pv[Any], snapshot: Snapshot[Any], data_type: int, count: int) -> tuple[bytes, int]:
    kind, native = divmod(data_type, 7)
    if kind == _TIME:
        metadata = _stamp(snapshot, native)
    elif kind <= _CTRL:
        metadata = _metadata(pv.properties, snapshot, kind, native) if kind else b""
    elif data_type == ChannelType.CLASS_NAME:
        return pv.record_type.encode().ljust(STRING_SIZE, b"\0"), 1
    elif data_type == ChannelType.STSACK_STRING:
        of, native = pv.record, int(ChannelType.STRING)
        metadata = _ACKNOWLEDGEMENT.pack(
            _STATUSES[snapshot.status], snapshot.severity, of.keeps_transient_alarms, of.unacknowledged
        )
    else:
        raise NoConversion(f"data type {data_type} cannot be read")
    if native == _STRING:
        texts = pv.texts(snapshot.value)
        elements = count or max(1, len(texts))
        strings = b"".join(cut(text, STRING_SIZE - 1).encode().ljust(STRING_SIZE, b"\0") for text in texts[:elements])
        return metadata + strings.ljust(elements * STRING_SIZE, b"\0"), elements
    numbers = pv.numbers(snapshot.value)
    if numbers is None:
        try:  # as EPICS base converts texts; an empty one is 0
            numbers = [float(text or 0) for text in pv.texts(snapshot.value)]
        except ValueError:
            raise NoConversion(f"{pv.name} is text and cannot be read as a number") from None
    elements = count or len(numbers)
    return metadata + _numbers(numbers, elements, native), elements


def _numbers(numbers: Sequence[float], count: int, native: int) -> bytes:
    if native == _FLOATING and count == len(numbers) == 1:
        return _DOUBLE.pack(numbers[0])
    if isinstance(numbers, bytes) and native == ChannelType.CHAR:
        return numbers[:count].ljust(count, b"\0")
    converted = [_nearest(number, native) for number in numbers[:count]]
    return struct.pack(f">{count}{_FORMATS[native]}", *converted, *[0] * (count - len(converted)))


def _nearest(number: float, native: int) -> float:
    """The nearest number in the range of the type."""
    if native == ChannelType.DOUBLE:
        return float(number)
    if native == ChannelType.FLOAT:
        return math.copysign(math.inf, number) if abs(number) > _FLOAT_MAX else float(number)
    if math.isnan(number):
        return 0
    low, high = _INTEGERS[native]
    nearest = int(min(max(number, low), high))
    return nearest & 0xFF if native == ChannelType.CHAR else nearest  # -1 and 255 are the same byte


def _stamp(snapshot: Snapshot[Any], native: int) -> bytes:
    timestamp = min(max(0.0, snapshot.timestamp - _EPICS_EPOCH), _LAST_SECOND)  # in this order, NaN is 0
    seconds = int(timestamp)
    status = _STATUSES[snapshot.status]
    return _STAMP[native].pack(status, snapshot.severity, seconds, int((timestamp - seconds) * 1e9))


def _metadata(properties: Properties, snapshot: Snapshot[Any], kind: int, native: int) -> bytes:
    status = _STATUSES[snapshot.status]
    if native == ChannelType.STRING:  # in EPICS base a string has no more metadata than its alarm
        return _ALARM.pack(status, snapshot.severity)
    dbr: Any = _STRUCTURES[ChannelType(7 * kind + native)]()
    dbr.status, dbr.severity = status, snapshot.severity
    if kind < _TIME:
        return bytes(dbr)
    if native == ChannelType.ENUM:
        dbr.enum_strings = [text.encode() for text in properties.strings[:_STATES]]
        return bytes(dbr)
    dbr.units = cut(properties.units, MAX_UNITS_SIZE - 1).encode()
    if hasattr(dbr, "precision"):
        dbr.precision = properties.precision
    for name, (limit, none) in _LIMITS.items():
        if hasattr(dbr, name):
            number: float | None = getattr(properties, limit)
            setattr(dbr, name, _nearest(none if number is None else number, native))
    return bytes(dbr)


class PutData(NamedTuple):
    """The elements of a put, before the PV validates them: bytes up to the first NUL for DBR_STRING, else numbers."""

    native: ChannelType
    items: tuple[bytes, ...] | tuple[int, ...] | tuple[float, ...]

    @classmethod
    def decode(cls, data_type: int, count: int, payload: bytes) -> PutData:
        """Read a put of a plain DBR type.

        Raises:
            Refused: the type cannot be put, or the payload is shorter than its count says.
        """
        one = _ONE.get(data_type)
        if one is not None and count == 1 and len(payload) >= one.size:
            return cls(_PLAIN[data_type], one.unpack_from(payload))
        if not 0 <= data_type < len(_PLAIN):
            raise Refused(f"a put must be of a plain data type, 0 to 6, not {data_type}")
        native = _PLAIN[data_type]
        size = _SIZES[native]
        if native is ChannelType.STRING and count == 1:  # a single string is sent without its trailing NULs
            payload = payload[:size].ljust(size, b"\0")
        if len(payload) < count * size:
            raise Refused(f"a put of {count} elements of {size} bytes has only {len(payload)} bytes")
        if native is ChannelType.STRING:
            return cls(native, tuple(payload[i * size : (i + 1) * size].split(b"\0", 1)[0] for i in range(count)))
        return cls(native, struct.unpack_from(f">{count}{_FORMATS[native]}", payload))

    @property
    def is_cut(self) -> bool:
        """Whether the bytes of the last character of a text are missing.

        CAJ, the library of Phoebus, sends as many bytes of a DBR_STRING as it has characters; caput sends 39 at most.
        """
        if self.native is not ChannelType.STRING or len(self.items) != 1:
            return False
        raw = self.items[0]
        return isinstance(raw, bytes) and len(_whole(raw)) < len(raw)

    def text(self, *, of_characters: bool = True) -> str:
        """The put as one text.

        CHAR is UTF-8. Several elements of another type are characters, as Phoebus sends them: each is the number of a
        UTF-16 code unit, up to the first 0. A single number is also a character if `of_characters`, else its digits are
        the text.

        Raises:
            Refused: it is not UTF-8, or an element is not a whole character.
        """
        if self.native is ChannelType.CHAR:
            return _decoded(self._raw())
        if not self.items:
            return ""
        item = self.items[0]
        if len(self.items) == 1 and isinstance(item, bytes):
            whole = _whole(item)
            if item and not whole:
                raise Refused("the text was cut before the end of its first character: send it as an array of CHAR")
            return _decoded(whole)
        if len(self.items) == 1 and not isinstance(item, bytes) and not of_characters:
            return _digits(item)
        return _characters(self.items)

    def number(self) -> float:
        """The put as one number, an int if it was written as one; a text must read as a number.

        Raises:
            Refused: it is not a number, or has more than one element.
        """
        if len(self.items) != 1:
            raise Refused(f"it takes one element, but the put has {len(self.items)}")
        item = self.items[0]
        if not isinstance(item, bytes):
            return item
        text = item.decode("utf-8", "replace").strip()
        # Only Python understands its digit separator, and digits of other scripts.
        if text.isascii() and "_" not in text:
            for parse in (lambda: int(text, 0), lambda: float(text)):
                try:
                    return parse()
                except ValueError:
                    continue
        raise Refused(f"{text!r} is not a number")

    def _raw(self) -> bytes:
        return bytes(int(item) for item in self.items).split(b"\0", 1)[0]

    def __str__(self) -> str:
        """For the log of puts; never fails."""
        if self.native is ChannelType.CHAR:
            return self._raw().decode("utf-8", "replace")
        return ", ".join([self.element(place) for place in range(min(len(self.items), 20))])

    def element(self, place: int = 0) -> str:
        """One element for the log of puts: its text, or its digits."""
        item = self.items[place]
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else _digits(item)


def _digits(number: float) -> str:
    """``1`` also for 1.0: clients send the number of a state as DOUBLE."""
    return str(int(number)) if number == number // 1 and abs(number) < 2**53 else str(number)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"a text must be UTF-8, but byte {error.start + 1} of {raw[:40]!r} is not") from None


def _whole(raw: bytes) -> bytes:
    """`raw` without an incomplete character at its end."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return raw[: error.start]
    return raw


def _characters(items: Sequence[bytes | float]) -> str:
    """The text given as characters: the elements are numbers of UTF-16 code units, or DBR_STRINGs of such numbers.

    A 0 ends it. Strings of one character each are the characters themselves, unless all are numbers.

    Raises:
        Refused: an element is not a whole character; the text says which, and why.
    """
    words = [item.decode("utf-8", "replace") for item in items if isinstance(item, bytes)]
    if words and all(len(word) == 1 for word in words) and not all(word.isdecimal() for word in words):
        return "".join(words)
    units: list[int] = []
    for place, item in enumerate(items, 1):
        unit = _code_unit(item, place)
        if unit == 0:
            break
        units.append(unit)
    try:
        return b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be")
    except UnicodeDecodeError as error:
        place = error.start // 2
        raise Refused(f"element {place + 1}, {units[place]}, is half of a character without its other half") from None


def _code_unit(item: bytes | float, place: int) -> int:
    unit: float = 0
    if not isinstance(item, bytes):
        unit = item
    else:
        word = item.decode("utf-8", "replace").strip()
        try:
            unit = int(word, 0)
        except ValueError:
            raise Refused(f"element {place}, {word!r}, is not the number of a character") from None
    if not 0 <= unit < _CODE_UNITS:  # NaN is neither
        raise Refused(f"element {place}, {unit:g}, is not the number of a UTF-16 code unit, 0 to {_CODE_UNITS - 1}")
    if unit != int(unit):
        raise Refused(f"element {place}, {unit:g}, is not the number of a whole character")
    return int(unit)
