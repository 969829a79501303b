"""Quantities of the conditions of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ioc.model.enums import Severity

Scalar = float | int | str


class Reading(NamedTuple):
    """One update of an observable: a sample, or the news that its source went away.

    A tuple, because ten thousand a second may be made.
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
    """Each value weighted with the time it lasted."""
    samples: int
    worst_severity: Severity
    disconnected_seconds: float


class ObservableView(NamedTuple):
    """What the PVs of an observable show; a tuple for the same reason as a reading."""

    name: str
    reading: Reading | None
    """The last reading; None before the first one. One without value says that the source is gone."""
    connected: bool
    """A manual observable is always connected."""
    units: str
    """Of the topology, else of the source."""
    precision: int | None
    """Digits after the point, as given by the source; None if it gives none."""
    labels: tuple[str, ...] = ()
    """The strings of an enum, in order; empty for other types and until the source has said."""
    statistics: Statistics | None = None
    """Over the open run, else the last one; None if only the present value was asked for."""
