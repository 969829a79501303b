"""Writes many rows with few statements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

_ROWS_A_STATEMENT = 400


def execute_rows(db: Database, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement that contains ``VALUES {rows}`` for many rows at a time.

    For each step of a statement, sqlite3 releases Python's lock and has to get it back, which takes milliseconds while
    other threads are busy; `executemany` does so for each row.
    """
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        one = f"({', '.join('?' * len(some[0]))})"
        values = list(itertools.chain.from_iterable(some))
        db.conn.execute(sql.format(rows=", ".join([one] * len(some))), values)  # pyright: ignore[reportUnknownMemberType]
