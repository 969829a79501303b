"""Values of the run database as people read them."""

from __future__ import annotations

from datetime import datetime

_LARGEST_WHOLE = 1e15
"""Above it, the last digits of a float are meaningless."""


def local_time(text: str | None) -> str:
    """A time of the database as local time to the second, with its offset; empty for none."""
    return "" if text is None else datetime.fromisoformat(text).astimezone().isoformat(sep=" ", timespec="seconds")


def duration(seconds: float | None) -> str:
    """HH:MM:SS; hours may pass 24."""
    if seconds is None:
        return ""
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
