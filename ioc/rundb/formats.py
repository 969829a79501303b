"""Values of the run database as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ioc.rundb.times import from_text

_LARGEST_WHOLE = 1e15
"""Above it, the last digits of a float are meaningless."""
_STORED = len("2026-11-22T12:00:00.123456Z")
_SECONDS = len("2026-11-22T12:00:00")
_DAY = len("2026-11-22")


def as_text(value: object) -> str:
    """A value of a column for texts, into which another program may have written anything."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def local_time(text: str | None) -> str:
    """A time of the database as local time to the second, with its offset; empty for none.

    What is no time, because another program wrote it, stays as it is.
    """
    if text is None:
        return ""
    try:
        return _local_time(text)
    except (TypeError, ValueError):
        return as_text(text)


def _local_time(text: str) -> str:
    offset = _offset(text[:_DAY]) if len(text) == _STORED and text[-1] == "Z" else None
    if offset is None:
        return datetime.fromtimestamp(from_text(text), UTC).astimezone().isoformat(sep=" ", timespec="seconds")
    return (datetime.fromisoformat(text[:_SECONDS]) + offset[0]).isoformat(" ") + offset[1]


@lru_cache(maxsize=16)
def _offset(day: str) -> tuple[timedelta, str] | None:
    """The offset of the local time, also as text, if it is the same all this day in UTC.

    To ask for the offset of each of 50,000 runs would take as long as to read them.
    """
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    try:
        first, last = begin.astimezone(), (begin + timedelta(days=1)).astimezone()
    except OverflowError:  # at the end of the year 9999
        return None
    if first.tzinfo != last.tzinfo:
        return None
    return first.utcoffset() or timedelta(), first.isoformat()[_SECONDS:]


def duration(seconds: object) -> str:
    """HH:MM:SS; hours may pass 24."""
    if seconds is None:
        return ""
    if not isinstance(seconds, int | float):  # another program wrote it
        return as_text(seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"


def size(count: int) -> str:
    """Bytes in a suitable decimal unit; empty for none."""
    if count < 1000:
        return f"{count} B" if count else ""
    number, units = count / 1000, iter("kMGTPE")
    unit = next(units)
    while number >= 999.95:
        number, unit = number / 1000, next(units)
    return f"{number:.1f} {unit}B"


def percent(fraction: float | None) -> str:
    """A fraction in percent; empty for none."""
    return "" if fraction is None else f"{fraction:.1%}".replace("%", " %")


def value_text(value: object) -> str:
    """A stored value; empty for none. Whole numbers are shown with all digits, others with six."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < _LARGEST_WHOLE else f"{value:.6g}"
