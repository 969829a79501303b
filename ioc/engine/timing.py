"""How often peers are looked at, how long they may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How often and how long, in seconds."""

    poll_ecc: float = 1.0
    poll_ecc_busy: float = 0.2
    poll_routers: float = 2.0
    state_timeout: float = 5.0
    transition_timeout: float = 180.0
