"""Quantities of the conditions of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ioc.model.enums import Severity

Scalar = float | int | str


class Reading(NamedTuple):
    """One update of an observable: a sample, or a gap that begins because its source has disconnected.

    A tuple, because up to ten thousand are created per second.
    """

    observable: str
    value: Scalar | None
    """None while disconnected. May be a float that is not finite."""
    severity: Severity
    status: str
    """EPICS alarm status by name, ``NO_ALARM``, ``HIHI``…; ``disconnected`` for a gap."""
    sampled_at: float
    """Time stamp of the source."""
    label: str = ""
    """The enum string that belongs to `value`, for an enum."""

    @property
    def connected(self) -> bool:
        return self.value is not None


@dataclass(frozen=True)
class Statistics:
    """The statistics of one observable over one run; minimum, maximum and mean are None without a finite number."""

    minimum: float | None
    maximum: float | None
    mean: float | None
    """Time-weighted mean."""
    samples: int
    worst_severity: Severity
    disconnected_seconds: float


class ObservableView(NamedTuple):
    """The data shown by the PVs of an observable; a tuple for the same reason as a reading."""

    name: str
    reading: Reading | None
    """The last reading; None before the first one. A reading without value means that the source is disconnected."""
    connected: bool
    """A manual observable is always connected."""
    units: str
    """From the topology, else from the source."""
    precision: int | None
    """Digits after the decimal point, as given by the source; None if it gives none."""
    labels: tuple[str, ...] = ()
    """The strings of an enum, in order; empty for other types and until they are read from the source."""
    statistics: Statistics | None = None
    """Statistics of the open run, else of the last one; None if only the current value was requested."""
