"""Text that comes as an array: one character, or half of one, in each element."""

from __future__ import annotations

from collections.abc import Sequence

from ioc.ca.errors import Refused

_UNITS = 0x10000
"""Numbers of UTF-16 code units are below this; two of them together are a character beyond it."""


def characters(items: Sequence[bytes | float]) -> str:
    """The text whose characters the elements are: numbers of UTF-16 code units, or DBR_STRINGs that read as such.

    A 0 ends it. Strings of one character each, of which one is no number, are the characters themselves.

    Raises:
        Refused: an element is not a whole character; it says which, and why.
    """
    words = [item.decode("utf-8", "replace") for item in items if isinstance(item, bytes)]
    if words and all(len(word) == 1 for word in words) and not all(word.isdecimal() for word in words):
        return "".join(words)
    units: list[int] = []
    for place, item in enumerate(items, 1):
        unit = _unit(item, place)
        if unit == 0:
            break
        units.append(unit)
    try:
        return b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be")
    except UnicodeDecodeError as error:
        place = error.start // 2
        raise Refused(f"element {place + 1}, {units[place]}, is half of a character without its other half") from None


def _unit(item: bytes | float, place: int) -> int:
    if isinstance(item, bytes):
        word = item.decode("utf-8", "replace").strip()
        try:
            unit: float = int(word, 0)
        except ValueError:
            raise Refused(f"element {place}, {word!r}, is not the number of a character") from None
    else:
        unit = item
    if not 0 <= unit < _UNITS:  # NaN is neither
        raise Refused(f"element {place}, {unit:g}, is not the number of a UTF-16 code unit, 0 to {_UNITS - 1}")
    if unit != int(unit):
        raise Refused(f"element {place}, {unit:g}, is not the number of a whole character")
    return int(unit)
