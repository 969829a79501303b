"""What a source reports about its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Properties:
    """Units, digits and enum strings of a source."""

    units: str
    precision: int
    """Digits after the point; 0 if the source has none."""
    labels: tuple[str, ...]
    """The strings of an enum, in order."""


PropertiesListener = Callable[[str, Properties], None]
"""Takes an observable's name and the properties of its source; called in the client's thread."""


def to_properties(update: Any) -> Properties:
    """Read the properties from an update with control information."""
    return Properties(
        units=str(getattr(update, "units", "")),
        precision=max(0, int(getattr(update, "precision", 0))),
        labels=tuple(str(label) for label in getattr(update, "enums", ())),
    )
