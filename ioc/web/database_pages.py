# ruff: noqa: S608 - the parts of queries are constants
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportUnknownParameterType=false
"""The run database in Datasette: all of ``attpc-ioc browse``, and a part of the live page.

Imported only where Datasette is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.database import Database

from ioc.rundb.connection import connect_for_reading

_QUERY_MILLISECONDS = 5000
_WITHOUT_FILES = "_memory"
"""Datasette's name for its database if no file is given."""
_MOST_ROWS = 1000
"""On a page."""
_RUNS = "runs JOIN experiments ON experiments.id = runs.experiment_id"
_EXPERIMENT = """experiments.name = CASE WHEN :experiment <> '' THEN :experiment
  ELSE (SELECT name FROM runs JOIN experiments ON experiments.id = experiment_id ORDER BY runs.id DESC LIMIT 1) END"""
_RUN = f"""{_EXPERIMENT}
  AND run_number = CASE WHEN :run_number <> '' THEN CAST(:run_number AS INTEGER)
  ELSE (SELECT run_number FROM runs AS newest WHERE newest.experiment_id = runs.experiment_id
    ORDER BY run_number DESC LIMIT 1) END"""
_EMPTY = "Empty fields select the newest experiment and its newest run."

_QUERIES = {
    "runs_of_experiment": (
        "Runs of an experiment",
        _EMPTY,
        f"""SELECT run_number, run_class, title, state, quality, runs.comment, started_at,
  round(duration, 1) AS duration_s, config_name, runs.message
FROM {_RUNS}
WHERE {_EXPERIMENT}
ORDER BY run_number DESC""",
    ),
    "conditions_of_run": (
        "Conditions of a run",
        _EMPTY,
        f"""SELECT observables.name, units, begin_value, end_value, minimum, mean, maximum, samples, worst_severity,
  round(disconnected_seconds, 1) AS disconnected_s
FROM {_RUNS}
JOIN measurements ON measurements.run_id = runs.id JOIN observables ON observables.id = observable_id
WHERE {_RUN}
ORDER BY display_order""",
    ),
    "trend_of_observable": (
        "Trend of an observable over the runs",
        f"{_EMPTY} The observable by its name, such as pressure. The newest {_MOST_ROWS} runs.",
        f"""SELECT * FROM (
  SELECT run_number, run_class, started_at, begin_value, end_value, minimum, mean, maximum, units
  FROM {_RUNS}
  JOIN measurements ON measurements.run_id = runs.id JOIN observables ON observables.id = observable_id
  WHERE {_EXPERIMENT}
    AND observables.name = :observable
  ORDER BY run_number DESC
  LIMIT {_MOST_ROWS})
ORDER BY run_number""",
    ),
    "files_of_run": (
        "Files of a run",
        _EMPTY,
        f"""SELECT router, host, path, files.bytes, moved_at, source
FROM {_RUNS}
JOIN files ON files.run_id = runs.id
WHERE {_RUN}
ORDER BY length(router), router, path""",
    ),
    "log_of_run": (
        "Log of a run",
        f"{_EMPTY} The newest {_MOST_ROWS} events.",
        f"""SELECT occurred_at, severity, source, message, user, host FROM (
  SELECT occurred_at, events.severity, source, events.message, user, host, events.id
  FROM {_RUNS}
  JOIN events ON events.run_id = runs.id
  WHERE {_RUN}
  ORDER BY occurred_at DESC, events.id DESC
  LIMIT {_MOST_ROWS})
ORDER BY occurred_at, id""",
    ),
}


def metadata(database: str) -> dict[str, Any]:
    """Datasette's metadata for the run database served under this name."""
    queries = {
        name: {"title": title, "description": description, "sql": sql, "hide_sql": True}
        for name, (title, description, sql) in _QUERIES.items()
    }
    tables = {"runs": {"sort_desc": "id"}, "events": {"sort_desc": "id"}, "puts": {"sort_desc": "id"}}
    return {
        "title": "Runs of the AT-TPC",
        "description": "Read-only, while the IOC writes. Times are UTC.",
        "databases": {database: {"queries": queries, "tables": tables}},
    }


def pages_of(path: Path, base_url: str = "/") -> Datasette:
    """The pages of a run database, under its file name without suffix; `base_url` is where they are mounted."""
    settings = {
        "base_url": base_url,
        "sql_time_limit_ms": _QUERY_MILLISECONDS,
        "max_returned_rows": _MOST_ROWS,
        # To suggest facets, Datasette computes the whole run sheet once per column.
        "suggest_facets": False,
    }
    about = {} if base_url == "/" else {"about": "what the IOC is doing now", "about_url": "/"}
    pages = Datasette(metadata=metadata(path.stem) | about, settings=settings)
    pages.remove_database(_WITHOUT_FILES)
    pages.add_database(_RunDatabase(pages, path), name=path.stem)
    return pages


class _RunDatabase(Database):
    """Opens the file for each query, as the other commands do.

    The way to open it changes when an IOC starts or ends, and a connection that stays open between queries keeps files
    beside the database. Datasette itself puts the path into a URI without quoting it.
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
