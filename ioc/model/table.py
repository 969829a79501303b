"""Tables that programs read as a whole (`ioc.pvs.tables`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

ColumnKind = Literal["text", "float", "integer"]


class TableColumn(NamedTuple):
    """A column of a table, with a value for each row."""

    name: str
    label: str
    """For people: the name, with its units."""
    kind: ColumnKind
    values: Sequence[str | float | int]
    """Of the type of `kind`; a float that is not known is `math.nan`, that very object, so that columns compare."""


class TableContent(NamedTuple):
    columns: tuple[TableColumn, ...]
    severity: int = 0
    """The worst of all rows."""
    message: str = ""
    """Why; empty without an alarm."""
