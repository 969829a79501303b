"""Bounds of what clients may cost, and complaints about those who reach them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

logger = logging.getLogger("ioc.ca")


@dataclass(frozen=True)
class Limits:
    """The defaults leave room for every real client of an installation and stay below 1024 open files."""

    clients: int = 500
    """Circuits at once; a newcomer takes the place of the oldest that has no channel."""
    channels_per_client: int = 10_000
    """Channels of one circuit, and subscriptions of one circuit."""
    channels: int = 100_000
    """Channels of all circuits together."""
    unfinished_puts: int = 1000
    """Puts of one circuit that are being carried out."""
    request_bytes: int = 65_536
    """Longest request."""
    speak_seconds: float = 5.0
    """A connection must speak Channel Access within this time."""
    stall_seconds: float = 10.0
    """A client that takes nothing of what waits for it for this time is dropped."""
    interfaces_seconds: float = 5.0
    """Period of a look at the machine's network interfaces."""
    rivals_seconds: float = 30.0
    """Period of a search for other servers that have our PVs."""
    vanish_seconds: float = 60.0
    """A client that cannot be reached any more is dropped after this time, though it never said good-bye."""


class Complaints:
    """Logs each kind of misbehaviour at most once a minute, with the number of those not logged."""

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
        logger.warning("%s%s", text, f" ({silent} more of this kind in the last while)" if silent else "")
