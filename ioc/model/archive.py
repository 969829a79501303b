"""The state of the destinations of safe copies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ArchiveState(IntEnum):
    """The state of one destination of safe copies."""

    Idle = 0
    Copying = 1
    Verifying = 2
    Paused = 3
    """Files wait for the end of the run."""
    Failed = 4
    """Copies from a host fail; they are tried again."""
    NotMounted = 5
    """The storage is not where it was; nothing is copied there until it is."""


@dataclass(frozen=True)
class ArchiveStatus:
    """The status of one destination."""

    state: ArchiveState = ArchiveState.Idle
    backlog: int = 0
    """Files without a verified copy there."""
    backlog_bytes: int = 0
    rate: float = 0.0
    """Bytes per second."""
    message: str = ""
