"""What came over Channel Access: readings of the type that the topology declares, and properties of the source."""

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
_STATUS_NAMES = {status.value: status.name for status in AlarmStatus}
_INTEGERS = 2.0**63
"""A number of this size or more does not fit into 64 bits: it stays a float, as NaN does."""
_EPICS_EPOCH = 631_152_000
"""Zero in a time stamp. A record that was never processed has that, and gets the time of its arrival."""


@dataclass(frozen=True)
class Properties:
    """What a source reports about its value."""

    units: str
    precision: int
    """Digits after the point; 0 if the source has none."""
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
    """The news that the source of an observable went away."""
    return Reading(name, None, Severity.INVALID, DISCONNECTED, since)


def to_reading(name: str, value_type: ValueType, update: Any, labels: Sequence[str]) -> Reading:
    """Turn an update of aioca with a time stamp into a reading; `labels` are the enum strings of the source.

    Of an array it is the first element; NaN stands for that of an empty one.
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
        _convert(raw, label, value_type),
        _SEVERITIES[min(update.severity, 3)],
        _STATUS_NAMES.get(status) or f"STATUS_{status}",
        stamp if stamp > _EPICS_EPOCH else time.time(),
        label if value_type is ValueType.Enum else "",
    )


def _convert(raw: Any, label: str, value_type: ValueType) -> Scalar:
    if value_type is ValueType.String:
        return label or str(raw)
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    if value_type is ValueType.Float or not abs(number) < _INTEGERS:
        return number
    return round(number)
