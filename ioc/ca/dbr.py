"""Snapshots as Channel Access sends them: any PV as any DBR type, with its metadata.

A data type number is ``7 * kind + native``: kind 0 is the plain value, 1 adds the alarm (STS), 2 the time stamp (TIME),
3 display limits (GR), 4 control limits (CTRL). The structures are caproto's.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from caproto import DBR_TYPES, AlarmStatus, ChannelType

from ioc.ca.putdata import STRING_SIZE
from ioc.ca.pv import Properties, Pv, Snapshot
from ioc.ca.text import cut

_UNITS_SIZE = 8
_KEPT = 16
"""Forms of a snapshot that are kept: more than honest clients ask for, and a bound on what others can make us keep."""
_STRUCTURES: dict[Any, Any] = DBR_TYPES
_STATES = 16
_INTEGERS: dict[int, tuple[str, int, int]] = {
    ChannelType.INT: ("h", -(2**15), 2**15 - 1),
    ChannelType.ENUM: ("H", 0, 2**16 - 1),
    ChannelType.CHAR: ("B", -(2**7), 2**8 - 1),
    ChannelType.LONG: ("i", -(2**31), 2**31 - 1),
}
_FLOAT_MAX = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]


_TIME = 2
_EPICS_EPOCH = 631152000
_STATUSES = {name: int(status) for name, status in AlarmStatus.__members__.items()}
_DOUBLE = struct.Struct(">d")
_ALARM = struct.Struct(">HH")
_ACKNOWLEDGEMENT = struct.Struct(">HHHH")
_STAMP = struct.Struct(">HHII")
_TIME_PADDING: dict[int, bytes] = {
    ChannelType.STRING: b"",
    ChannelType.INT: bytes(2),
    ChannelType.FLOAT: b"",
    ChannelType.ENUM: bytes(2),
    ChannelType.CHAR: bytes(3),
    ChannelType.LONG: b"",
    ChannelType.DOUBLE: bytes(4),
}
"""Between time stamp and value."""


class NoConversion(Exception):
    """This PV cannot be read as the requested type."""


def encode(pv: Pv[Any], snapshot: Snapshot[Any], data_type: int, count: int) -> tuple[bytes, int]:
    """The payload, padded to 8 bytes, and its number of elements; `count` 0 asks for as many as there are.

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
    if data_type == ChannelType.CLASS_NAME:
        return pv.record_type.encode().ljust(STRING_SIZE, b"\0"), 1
    if data_type == ChannelType.STSACK_STRING:
        of, texts = pv.record, pv.texts(snapshot.value)
        alarm = (_STATUSES[snapshot.status], snapshot.severity, of.keeps_transient_alarms, of.unacknowledged)
        elements = count or max(1, len(texts))
        return _ACKNOWLEDGEMENT.pack(*alarm) + _strings(texts, elements), elements
    if not 0 <= data_type <= ChannelType.CTRL_DOUBLE:
        raise NoConversion(f"data type {data_type} cannot be read")
    kind, native = divmod(data_type, 7)
    metadata = _metadata(pv.properties, snapshot, kind, native) if kind else b""
    if native == ChannelType.STRING:
        texts = pv.texts(snapshot.value)
        elements = count or max(1, len(texts))
        return metadata + _strings(texts, elements), elements
    numbers = pv.numbers(snapshot.value)
    if numbers is None:
        numbers = _read_as_numbers(pv.texts(snapshot.value))
    if numbers is None:
        raise NoConversion(f"{pv.name} is text and cannot be read as a number")
    elements = count or len(numbers)
    return metadata + _numbers(numbers, elements, native), elements


def _read_as_numbers(texts: Sequence[str]) -> Sequence[float] | None:
    """What the texts say if all are numbers, as EPICS base reads them; an empty one is 0."""
    try:
        return [float(text or 0) for text in texts]
    except ValueError:
        return None


def _strings(texts: Sequence[str], count: int) -> bytes:
    data = b"".join(cut(text, STRING_SIZE - 1).encode().ljust(STRING_SIZE, b"\0") for text in texts[:count])
    return data.ljust(count * STRING_SIZE, b"\0")


def _numbers(numbers: Sequence[float], count: int, native: int) -> bytes:
    if native == ChannelType.DOUBLE and count == len(numbers) == 1:
        return _DOUBLE.pack(numbers[0])
    if isinstance(numbers, bytes) and native == ChannelType.CHAR:
        return numbers[:count].ljust(count, b"\0")
    converted = [_number(number, native) for number in numbers[:count]]
    code = _INTEGERS[native][0] if native in _INTEGERS else "f" if native == ChannelType.FLOAT else "d"
    return struct.pack(f">{count}{code}", *converted, *[0] * (count - len(converted)))


def _number(number: float, native: int) -> float:
    """The nearest number that the type can hold."""
    if native == ChannelType.DOUBLE:
        return float(number)
    if native == ChannelType.FLOAT:
        return math.copysign(math.inf, number) if abs(number) > _FLOAT_MAX else float(number)
    _, low, high = _INTEGERS[native]
    if math.isnan(number):
        return 0
    nearest = int(min(max(number, low), high))
    return nearest & 0xFF if native == ChannelType.CHAR else nearest  # -1 and 255 are the same byte


def _metadata(properties: Properties, snapshot: Snapshot[Any], kind: int, native: int) -> bytes:
    status = _STATUSES[snapshot.status]
    if kind == _TIME:  # what monitors ask for: caproto's structures would take most of the time of an update
        timestamp = max(snapshot.timestamp, _EPICS_EPOCH)
        seconds = int(timestamp)
        nanoseconds = int((timestamp - seconds) * 1e9)
        stamp = _STAMP.pack(status, snapshot.severity, seconds - _EPICS_EPOCH, nanoseconds)
        return stamp + _TIME_PADDING[native]
    if native == ChannelType.STRING:  # in EPICS base there is nothing more to tell of it than its alarm
        return _ALARM.pack(status, snapshot.severity)
    dbr: Any = _STRUCTURES[ChannelType(7 * kind + native)]()
    dbr.status = status
    dbr.severity = snapshot.severity
    if kind < _TIME:
        return bytes(dbr)
    if hasattr(dbr, "precision"):
        dbr.precision = properties.precision
    if hasattr(dbr, "units"):
        dbr.units = cut(properties.units, _UNITS_SIZE - 1).encode()
    if native == ChannelType.ENUM:
        dbr.enum_strings = [text.encode() for text in properties.strings[:_STATES]]
    else:
        for name, limit in _LIMITS.items():
            if hasattr(dbr, name):
                setattr(dbr, name, _number(limit(properties), native))
    return bytes(dbr)


def _or(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else limit


_LIMITS: dict[str, Callable[[Properties], float]] = {
    "upper_disp_limit": lambda of: _or(of.maximum, 0),
    "lower_disp_limit": lambda of: _or(of.minimum, 0),
    "upper_alarm_limit": lambda of: _or(of.hihi, math.nan),
    "upper_warning_limit": lambda of: _or(of.high, math.nan),
    "lower_warning_limit": lambda of: _or(of.low, math.nan),
    "lower_alarm_limit": lambda of: _or(of.lolo, math.nan),
    "upper_ctrl_limit": lambda of: _or(of.maximum, 0),
    "lower_ctrl_limit": lambda of: _or(of.minimum, 0),
}
