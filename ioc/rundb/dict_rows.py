"""Reads rows as dictionaries with sqlite3 alone: sqlite-utils takes longer to import than most queries take."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


class Readable(Protocol):
    """A connection of sqlite3, or a database of sqlite-utils."""

    def execute(self, sql: str, parameters: Any = ..., /) -> sqlite3.Cursor: ...


def dict_rows(db: Readable, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query by the names of their columns."""
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)
