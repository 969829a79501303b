"""A run that is planned: one entry of a run plan."""

from __future__ import annotations

from dataclasses import dataclass

from ioc.model.enums import RunClass
from ioc.model.observables import Scalar
from ioc.model.window import Window


@dataclass(frozen=True)
class Wait:
    """An observable that must be inside its window before a run starts."""

    observable: str
    window: Window
    units: str = ""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan. Whatever it does not give stays as it was in the run before."""

    title: str | None = None
    """May have ``{n}`` and ``{run}``."""
    run_class: RunClass | None = None
    minutes: float = 0.0
    """Length; 0 = not limited by it."""
    gb: float = 0.0
    """Size of the data in GB; 0 = not limited by it. At least one of the two is given."""
    manual: tuple[tuple[str, Scalar], ...] = ()
    """Values of manual observables."""
    wait_for: tuple[Wait, ...] = ()
