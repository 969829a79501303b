"""Names of PVs and the texts that several groups of them share."""

from __future__ import annotations

from datetime import datetime

MESSAGE_LENGTH = 1024
LOG_LENGTH = 16_000
"""A client that takes 16384 bytes, which is the default of many, needs some of them for header and time stamp."""


def local_time(posix: float | None) -> str:
    """Return ISO 8601 local time with offset, to the second; empty for None."""
    return "" if posix is None else datetime.fromtimestamp(posix).astimezone().isoformat(timespec="seconds")


def clock(seconds: float) -> str:
    """Return HH:MM:SS; the hours may pass 24."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
