"""Limits of a quantity, and why a value is outside them. Pure comparison, without time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ioc.model.enums import Severity
from ioc.model.observables import Reading, Scalar


@dataclass(frozen=True)
class Window:
    """The allowed values of a quantity: a number from `low` to `high`, or one of `allowed`."""

    low: float | None = None
    """Lowest allowed number; None: no such limit."""
    high: float | None = None
    allowed: tuple[Scalar, ...] = ()
    """Allowed texts, labels of an enum, or numbers; empty: any that the limits allow."""

    def moved(self, *, low: float | None = None, high: float | None = None) -> Window:
        """Return the window with another limit; None leaves it as it is."""
        return replace(self, low=self.low if low is None else low, high=self.high if high is None else high)

    def why_outside(self, reading: Reading | None, units: str = "") -> str:
        """Return why a reading is outside, such as ``is 349 Torr, but must be 350 to 420 Torr``; empty if it is inside.

        No value, a value that its source declares INVALID, and a number that is not finite are outside.
        """
        if reading is None:
            return "has no value yet"
        value = reading.value
        if value is None:
            return "is disconnected"
        if reading.severity is Severity.INVALID:
            return f"is INVALID ({reading.status})"
        if self._has(reading):
            return ""
        shown = reading.label or (f"{value:.6g} {units}".rstrip() if isinstance(value, int | float) else repr(value))
        return f"is {shown}, but must be {self.text(units)}"

    def _has(self, reading: Reading) -> bool:
        value = reading.value
        if self.allowed:
            return (bool(reading.label) and reading.label in self.allowed) or value in self.allowed
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def text(self, units: str = "") -> str:
        """Return the limits for a sentence: ``350 to 420 Torr``, ``at least 29``, ``Open or Closed``."""
        if self.allowed:
            return " or ".join(map(str, self.allowed))
        low = "" if self.low is None else f"{self.low:.6g}"
        high = "" if self.high is None else f"{self.high:.6g}"
        between = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
        return f"{between} {units}".rstrip()
