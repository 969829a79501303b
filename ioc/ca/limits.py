"""Limits for clients, and rate-limited log messages about clients that reach them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

logger = logging.getLogger("ioc.ca")


@dataclass(frozen=True)
class Limits:
    """The defaults are ample for every real installation and stay below 1024 open files."""

    clients: int = 500
    """Circuits at one time; a new one replaces the oldest without a channel."""
    channels_per_client: int = 10_000
    """Channels of one circuit, and subscriptions of one circuit."""
    channels: int = 100_000
    """Channels of all circuits together."""
    unfinished_puts: int = 1000
    """Unfinished puts of one circuit."""
    request_bytes: int = 65_536
    """Longest request."""
    speak_seconds: float = 5.0
    """A connection must speak Channel Access within this time."""
    stall_seconds: float = 10.0
    """A client that reads nothing for this time although data wait for it is dropped."""
    interfaces_seconds: float = 5.0
    """Period of the check of the machine's network interfaces."""
    rivals_seconds: float = 30.0
    """Period of the search for other servers with the same PVs."""
    vanish_seconds: float = 60.0
    """A client that became unreachable without closing its connection is dropped after this time."""


class Complaints:
    """Logs each kind of misbehaviour at most once a minute, with the number of suppressed messages."""

    _PERIOD = 60.0
    _KINDS = 1000

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}

    def log(self, kind: str, text: str) -> None:
        now = time.monotonic()
        last, silent = self._last.get(kind, (-self._PERIOD, 0))
        if now - last < self._PERIOD:
            self._last[kind] = last, silent + 1
            return
        if len(self._last) >= self._KINDS:
            self._last = {other: entry for other, entry in self._last.items() if now - entry[0] < self._PERIOD}
        self._last[kind] = now, 0
        logger.warning("%s%s", text, f" ({silent} more of this kind since the last message)" if silent else "")
