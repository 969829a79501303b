"""The state read from a partner: another data acquisition system that runs with this one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartnerReading:
    active: bool
    """It takes data, or is paused."""
    controlled: bool
    """It takes commands from us; without that it can be looked at, but neither begun nor ended."""
