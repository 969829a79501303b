"""How the bytes of an update with a time stamp are laid out (DBR_TIME_... of EPICS base, db_access.h)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

HEADER = struct.Struct("=hhII")
"""Status, severity, seconds since 1990, nanoseconds."""


@dataclass(frozen=True)
class Layout:
    """One DBR type, with one element or, for a long text, all of them."""

    code: int
    """Number of the type, as libca is asked for it."""
    value: struct.Struct
    """Status, severity, seconds, nanoseconds and the first element."""
    element: int
    """Bytes of an element."""
    whole: bool = False
    """All elements are wanted."""

    @property
    def count(self) -> int:
        """As libca is asked for it: 0 for as many as there are."""
        return 0 if self.whole else 1

    @property
    def header(self) -> int:
        """Bytes before the first element."""
        return self.value.size - self.element

    def bytes_of(self, count: int) -> int:
        """Size of an update with so many elements."""
        return self.value.size + (count - 1) * self.element


def _layout(code: int, element: str) -> Layout:
    return Layout(code, struct.Struct(HEADER.format + element), struct.calcsize(f"={element.lstrip('x')}"))


_CHAR = 4
_TIME_TYPES = {
    0: _layout(14, "40s"),
    1: _layout(15, "xxh"),
    2: _layout(16, "f"),
    3: _layout(17, "xxH"),
    _CHAR: _layout(18, "xxxB"),
    5: _layout(19, "i"),
    6: _layout(20, "xxxxd"),
}
"""By the number of the channel's own type: string, short, float, enum, char, long, double."""


def layout_of(datatype: int, *, text: bool) -> Layout:
    """How updates of a channel of type `datatype` come; an array of char is a long text if `text`.

    Raises:
        LookupError: there is no such type; a channel that has just been lost has none.
    """
    if datatype not in _TIME_TYPES:
        raise LookupError(f"its type is {datatype}, but must be one of {', '.join(map(str, _TIME_TYPES))}")
    layout = _TIME_TYPES[datatype]
    return replace(layout, whole=True) if text and datatype == _CHAR else layout
