"""Writes many rows with few statements."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlite_utils import Database


_MOST_ROWS = 512

Row = TypeVar("Row")


def pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Split rows into pieces of 512, 256, 128, … 1 rows, so that there are only ten different statements.

    sqlite3 keeps the last 128 statements compiled. If each number of rows had its own, those of 1 to 128 rows would
    take 5 MB; one of 400 rows takes 0.18 MB.
    """
    start = 0
    while left := len(rows) - start:
        size = min(_MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


def execute_rows(db: Database, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement that contains ``VALUES {rows}`` for all rows of a piece.

    For each step of a statement, sqlite3 releases Python's lock and has to get it back, which takes milliseconds while
    other threads are busy; `executemany` does so for each row.
    """
    one = f"({', '.join('?' * len(rows[0]))})"
    values = list(itertools.chain.from_iterable(rows))
    db.conn.execute(sql.format(rows=", ".join([one] * len(rows))), values)  # pyright: ignore[reportUnknownMemberType]
