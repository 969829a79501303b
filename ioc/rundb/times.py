"""Times in the database: ISO 8601 in UTC with microseconds, ``2026-11-22T12:00:00.123456Z``, which sort as text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 253_402_300_799_999_999
"""The last microsecond of the year 9999, so that even with a broken clock at the source the texts sort."""


def to_microseconds(time: float) -> int:
    """POSIX seconds as whole microseconds since 1970, limited to the years 1970 to 9999."""
    microseconds = round(time * 1e6)
    return microseconds if 0 <= microseconds <= LATEST else max(0, min(LATEST, microseconds))


def to_text(time: float) -> str:
    """POSIX seconds as text."""
    return microseconds_to_text(to_microseconds(time))


def microseconds_to_text(microseconds: int) -> str:
    """Whole microseconds since 1970 as text."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """One second as text; many samples have the same one."""
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0")


def from_text(text: str) -> float:
    """The POSIX seconds of an ISO 8601 time, which is UTC if it has no offset, as SQLite's own functions write it.

    Raises:
        ValueError: the text is not an ISO 8601 time.
    """
    time = datetime.fromisoformat(text)
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) / timedelta(seconds=1)


def read_time(value: object) -> float | None:
    """The POSIX seconds of a column for a time; None if it has none, or something else that another program wrote."""
    try:
        return from_text(value) if isinstance(value, str) else None
    except ValueError:
        return None


def optional(convert: Callable[[Value], Result], value: Value | None) -> Result | None:
    """`convert` the value; None stays None."""
    return None if value is None else convert(value)


def optional_time(microseconds: int | None) -> float | None:
    """Microseconds as POSIX seconds; None stays None."""
    return None if microseconds is None else microseconds / 1e6


MICROSECONDS_TO_TEXT = "strftime('%Y-%m-%dT%H:%M:%S', {us} / 1000000, 'unixepoch') || printf('.%06dZ', {us} % 1000000)"
"""SQL equivalent of `to_text` for a column of microseconds."""
