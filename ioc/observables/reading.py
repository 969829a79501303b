"""What came over Channel Access, as a reading of the type that the topology declares."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ioc.model import Reading, Scalar, Severity, ValueType
from ioc.observables.layout import HEADER, Layout

DISCONNECTED = "disconnected"
_SEVERITIES = tuple(Severity)
# An enum's members by name of their own: to look one up in its class takes as long as to unpack an update.
_FLOAT, _STRING, _ENUM = ValueType.Float, ValueType.String, ValueType.Enum
_INTEGERS = 2.0**63
"""A number that is no smaller has no place among those of 64 bits: it stays a float, as NaN does."""
_EPICS_EPOCH = 631_152_000
"""Zero in a time stamp. A record that was never processed has that, and gets the time of its arrival."""
STATUS_NAMES = (
    "NO_ALARM",
    "READ",
    "WRITE",
    "HIHI",
    "HIGH",
    "LOLO",
    "LOW",
    "STATE",
    "COS",
    "COMM",
    "TIMEOUT",
    "HWLIMIT",
    "CALC",
    "SCAN",
    "LINK",
    "SOFT",
    "BAD_SUB",
    "UDF",
    "DISABLE",
    "SIMM",
    "READ_ACCESS",
    "WRITE_ACCESS",
)
"""EPICS alarm status by number (EPICS base, alarm.h)."""


def disconnected(name: str, since: float) -> Reading:
    """The news that the source of an observable went away."""
    return Reading(name, None, Severity.INVALID, DISCONNECTED, since)


def to_reading(name: str, value_type: ValueType, update: bytes, layout: Layout, labels: Sequence[str]) -> Reading:
    """Turn the bytes of an update into a reading; `labels` are the enum strings of the source.

    Of an array there is the first element; NaN stands for that of an empty one.
    """
    raw: Any
    if layout.whole:
        status, severity, seconds, nanoseconds = HEADER.unpack_from(update)
        raw = update[layout.header :]
    elif len(update) < layout.value.size:
        status, severity, seconds, nanoseconds = HEADER.unpack_from(update)
        raw = math.nan
    else:
        status, severity, seconds, nanoseconds, raw = layout.value.unpack(update)
    label = ""
    if isinstance(raw, bytes):
        raw = raw.split(b"\0")[0].decode(errors="replace")
    elif labels and 0 <= raw < len(labels):
        label = labels[int(raw)]
    return Reading(
        name,
        _convert(raw, label, value_type),
        _SEVERITIES[min(severity, 3)],
        STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"STATUS_{status}",
        _EPICS_EPOCH + seconds + nanoseconds * 1e-9 if seconds else time.time(),
        label if value_type is _ENUM else "",
    )


def _convert(raw: float | str, label: str, value_type: ValueType) -> Scalar:
    if value_type is _STRING:
        return label or str(raw)
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    if value_type is _FLOAT or not abs(number) < _INTEGERS:
        return number
    return round(number)
