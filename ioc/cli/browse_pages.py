# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportUnknownParameterType=false
"""A run database as Datasette reads it; imported only where Datasette is installed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.database import Database

from ioc.cli.browse_queries import MOST_ROWS, metadata
from ioc.rundb.connection import connect_for_reading

_QUERY_MILLISECONDS = 5000
_WITHOUT_FILES = "_memory"
"""What Datasette serves where it is given no file."""


def pages_of(path: Path) -> Datasette:
    """The pages of a run database, under the name of its file without the ending."""
    settings = {
        "sql_time_limit_ms": _QUERY_MILLISECONDS,
        "max_returned_rows": MOST_ROWS,
        # To look for columns to be counted it computes the whole run sheet once for each of its columns.
        "suggest_facets": False,
    }
    pages = Datasette(metadata=metadata(path.stem), settings=settings)
    pages.remove_database(_WITHOUT_FILES)
    pages.add_database(_RunDatabase(pages, path), name=path.stem)
    return pages


class _RunDatabase(Database):
    """Opens the file for each query as the other commands do.

    How it must be opened changes when an IOC starts or ends; and a connection that stays open between queries keeps
    files beside the database. Datasette itself puts the path into an address without quoting it.
    """

    def __init__(self, pages: Datasette, path: Path) -> None:
        super().__init__(pages, path=str(path))
        self._file = path

    async def execute_fn(self, fn: Callable[[sqlite3.Connection], Any]) -> Any:
        def read() -> Any:
            with contextlib.closing(connect_for_reading(self._file)) as connection:
                self.ds._prepare_connection(connection, self.name)  # noqa: SLF001 - as in what this overrides
                return fn(connection)

        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, read)
