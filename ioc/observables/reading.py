"""What came over Channel Access, as a reading of the type that the topology declares."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ioc.model import Reading, Scalar, Severity, ValueType

DISCONNECTED = "disconnected"
_SEVERITIES = tuple(Severity)
_NO_TIME_STAMP = 631_152_000
"""The EPICS epoch: a record that was never processed has no time stamp yet, and gets the time of its arrival."""
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


def disconnected(name: str) -> Reading:
    """The news that the source of an observable went away."""
    return Reading(name, None, Severity.INVALID, DISCONNECTED, time.time())


def to_reading(name: str, value_type: ValueType, update: Any, labels: Sequence[str]) -> Reading:
    """Turn an update (an augmented value of aioca) into a reading; `labels` are the enum strings of the source."""
    raw: Any = update
    if not isinstance(raw, (float, int, bytes)):
        # An array: its first element stands for it.
        raw = update[0] if len(update) else math.nan
    label = ""
    if isinstance(raw, bytes):
        raw = raw.split(b"\0")[0].decode(errors="replace")
    elif labels and 0 <= raw < len(labels):
        label = labels[int(raw)]
    sampled_at: float = update.timestamp
    return Reading(
        name,
        _convert(raw, label, value_type),
        _SEVERITIES[min(update.severity, 3)],
        _status(update.status),
        sampled_at if sampled_at > _NO_TIME_STAMP else time.time(),
        label if value_type is ValueType.Enum else "",
    )


def _convert(raw: Any, label: str, value_type: ValueType) -> Scalar:
    if value_type is ValueType.String:
        return label or str(raw)
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    if value_type is ValueType.Float or not math.isfinite(number):
        return number
    return round(number)


def _status(number: int) -> str:
    return STATUS_NAMES[number] if 0 <= number < len(STATUS_NAMES) else f"STATUS_{number}"
