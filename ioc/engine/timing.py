"""Polling periods and time-outs of peers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Periods and time-outs in seconds."""

    poll_ecc: float = 1.0
    poll_ecc_busy: float = 0.2
    poll_routers: float = 2.0
    poll_partners: float = 1.0
    state_timeout: float = 5.0
    transition_timeout: float = 180.0
