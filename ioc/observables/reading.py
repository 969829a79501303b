"""Converts updates of sources to readings of the type declared in the topology, and to properties of the source."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from caproto import AlarmStatus

from ioc.model import Reading, Scalar, Severity, ValueType

DISCONNECTED = "disconnected"
_SEVERITIES = tuple(Severity)
STATUSES = {status.value: status.name for status in AlarmStatus}
"""EPICS alarm statuses by number."""
_INTEGERS = 2.0**63
"""Numbers of this size or more do not fit into 64 bits: they stay floats, as does NaN."""
_EPICS_EPOCH = 631_152_000
"""Time stamp of a record that was never processed; it is replaced by the time of arrival."""


@dataclass(frozen=True)
class Properties:
    """Properties of a source."""

    units: str
    precision: int
    """Digits after the decimal point; 0 if the source has none."""
    labels: tuple[str, ...]
    """The strings of an enum, in order."""


PropertiesListener = Callable[[str, Properties], None]
"""Takes an observable's name and the properties of its source; called in the feed's thread."""


def to_properties(update: Any) -> Properties:
    """Read the properties from an update of aioca with control information."""
    return Properties(
        units=str(getattr(update, "units", "")),
        precision=max(0, int(getattr(update, "precision", 0))),
        labels=tuple(str(label) for label in getattr(update, "enums", ())),
    )


def disconnected(name: str, since: float) -> Reading:
    """The reading for a source that has disconnected."""
    return Reading(name, None, Severity.INVALID, DISCONNECTED, since)


def to_reading(name: str, value_type: ValueType, update: Any, labels: Sequence[str]) -> Reading:
    """Turn an update of aioca with a time stamp into a reading; `labels` are the enum strings of the source.

    For an array it is the first element, or NaN if it is empty.
    """
    raw: Any = update
    if update.element_count != 1 and not isinstance(raw, str):  # an array
        raw = update[0] if len(update) else math.nan
    label = ""
    if labels and not isinstance(raw, str) and 0 <= raw < len(labels):
        label = labels[int(raw)]
    status, stamp = update.status, update.timestamp
    return Reading(
        name,
        convert(raw, label, value_type),
        _SEVERITIES[min(update.severity, 3)],
        STATUSES.get(status) or f"STATUS_{status}",
        stamp if stamp > _EPICS_EPOCH else time.time(),
        label if value_type is ValueType.Enum else "",
    )


def convert(raw: Any, label: str, value_type: ValueType) -> Scalar:
    """Return a number, text or enum string of the source in the type that the topology declares."""
    if value_type is ValueType.String:
        return label or str(raw)
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    if value_type is ValueType.Float or not abs(number) < _INTEGERS:
        return number
    return round(number)
