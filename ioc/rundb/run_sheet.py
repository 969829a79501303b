# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The view ``run_sheet``: one row per run, every observable a column."""

from __future__ import annotations

from sqlite_utils import Database

_FIXED = (
    ("experiment", "experiments.name"),
    ("run_number", "runs.run_number"),
    ("run_class", "runs.run_class"),
    ("title", "runs.title"),
    ("state", "runs.state"),
    ("started_at", "runs.started_at"),
    ("stopped_at", "runs.stopped_at"),
    ("duration", "runs.duration"),
    ("config_name", "runs.config_name"),
    ("bytes", "runs.bytes"),
)
_OF_THE_RUN = {column for column, _ in _FIXED}
_SUFFIX = "_observable"
_MOST_OBSERVABLES = 1900
"""SQLite allows 2000 columns in a result."""


def observable_column(name: str) -> str:
    """Name of an observable's column; one that is called like a column of the run itself gets a suffix.

    So does one that is called like another one with the suffix: two names never get one column.
    """
    base = name.lower()
    while base.endswith(_SUFFIX):
        base = base.removesuffix(_SUFFIX)
    return f"{name}{_SUFFIX}" if base in _OF_THE_RUN else name


def rebuild_run_sheet(db: Database) -> None:
    """Make the view again if the observables of any experiment have changed; part of the caller's transaction.

    An observable's column has the value at the begin of the run, or at its end if there was none at the begin.
    Observables of several experiments that have one name share a column.
    """
    rows = db.execute("SELECT name FROM observables ORDER BY experiment_id DESC, retired_at IS NOT NULL, display_order")
    by_column: dict[str, str] = {}
    for (name,) in rows.fetchall():
        by_column.setdefault(name.lower(), name)
    names = list(by_column.values())[:_MOST_OBSERVABLES]
    columns = [f"{expression} AS {column}" for column, expression in _FIXED]
    # Looked up one by one, so that nothing is read but the runs and columns that are asked for. The names are literals
    # quoted below.
    columns += [
        "(SELECT max(coalesce(begin_value, end_value)) FROM observables "  # noqa: S608
        "JOIN measurements ON observable_id = observables.id AND run_id = runs.id "
        "WHERE observables.experiment_id = runs.experiment_id "
        f"AND name = {_literal(name)} COLLATE NOCASE) AS {_quoted(observable_column(name))}"
        for name in names
    ]
    select = f"SELECT {', '.join(columns)} FROM runs JOIN experiments ON experiments.id = runs.experiment_id"  # noqa: S608
    statement = f"CREATE VIEW run_sheet AS {select}"
    present = db.execute("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = 'run_sheet'").fetchone()
    if present is None or present[0] != statement:
        db.execute("DROP VIEW IF EXISTS run_sheet")
        db.execute(statement)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
