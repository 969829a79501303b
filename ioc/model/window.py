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
        if (reading.label and reading.label in self.allowed) or self._allows(value):
            return ""
        number = isinstance(value, int | float)
        shown = reading.label or (f"{self._shown(value)} {units}".rstrip() if number else repr(value))
        return f"is {shown}, but must be {self.text(units)}"

    def _allows(self, value: Scalar) -> bool:
        if self.allowed:
            return value in self.allowed
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _shown(self, number: float) -> str:
        """A number outside as a text that is outside, too: rounded like most, 420.0000001 would be 420."""
        texts = f"{number:.6g}", f"{number:.10g}", repr(number)
        return next((text for text in texts if not self._allows(float(text))), texts[-1])

    def text(self, units: str = "") -> str:
        """Return the limits for a sentence: ``350 to 420 Torr``, ``at least 29``, ``Open or Closed``."""
        if self.allowed:
            return " or ".join(map(str, self.allowed))
        low = "" if self.low is None else f"{self.low:.15g}"
        high = "" if self.high is None else f"{self.high:.15g}"
        between = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
        return f"{between} {units}".rstrip()
