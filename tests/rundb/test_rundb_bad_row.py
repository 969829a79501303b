"""Which errors of SQLite mean that a row can never be stored."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from ioc.rundb.rows import BAD_ROW


def test_a_text_too_long_for_sqlite_is_an_error_of_its_row() -> None:
    """Trying it again would stop all later rows."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
        with pytest.raises(BAD_ROW):
            database.execute("SELECT ?", ("x" * 101,))
