# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The view ``run_sheet``: one row per run, every observable a column."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ioc.model import Scalar, ValueType

if TYPE_CHECKING:
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
    ("quality", "runs.quality"),
    ("comment", "runs.comment"),
)
_OF_THE_RUN = {column for column, _ in _FIXED}
_SUFFIX = "_observable"
_MOST_OBSERVABLES = 1900
"""SQLite allows 2000 columns in a result."""


def observable_column(name: str) -> str:
    """Name of an observable's column; a name that is also a column of the run itself gets a suffix.

    So does a name that equals another one with the suffix: two names never share a column.
    """
    base = name.lower()
    while base.endswith(_SUFFIX):
        base = base.removesuffix(_SUFFIX)
    return f"{name}{_SUFFIX}" if base in _OF_THE_RUN else name


def _quoted(name: str) -> str:
    """Name of a column in SQL."""
    return '"{}"'.format(name.replace('"', '""'))


def rebuild_run_sheet(db: Database) -> None:
    """Recreate the view if the observables of any experiment have changed; part of the caller's transaction.

    An observable's column has the value at the start of the run, or at its end if there was none at the start.
    Observables of several experiments with the same name share a column.
    """
    rows = db.table("observables").rows_where(
        order_by="experiment_id DESC, retired_at IS NOT NULL, display_order, id", select="name, experiment_id, id"
    )
    names: dict[str, str] = {}
    ids: dict[str, dict[int, list[int]]] = {}
    """By column and experiment: the successive observables of this name."""
    for row in rows:
        name = row["name"]
        names.setdefault(name.lower(), name)
        ids.setdefault(name.lower(), {}).setdefault(row["experiment_id"], []).append(row["id"])
    columns = [f"{expression} AS {column}" for column, expression in _FIXED]
    columns += [
        f"{_value(ids[column])} AS {_quoted(observable_column(name))}"
        for column, name in itertools.islice(names.items(), _MOST_OBSERVABLES)
    ]
    # Every name in it is quoted above; an unchanged view stays as it is.
    select = f"SELECT {', '.join(columns)} FROM runs JOIN experiments ON experiments.id = runs.experiment_id"  # noqa: S608
    db.create_view("run_sheet", select, replace=True)


class SheetColumn(NamedTuple):
    """A column of the run sheet."""

    name: str
    units: str
    is_text: bool


class SheetRows(NamedTuple):
    """Rows of the run sheet, the newest run first."""

    columns: tuple[SheetColumn, ...]
    rows: tuple[tuple[Scalar | None, ...], ...]


OF_EVERY_RUN = tuple(
    SheetColumn(
        column, {"duration": "s", "bytes": "B"}.get(column, ""), column not in {"run_number", "duration", "bytes"}
    )
    for column, _ in _FIXED
)
"""The columns that do not depend on the observables."""


def last_rows(db: Database, experiment: str, most: int) -> SheetRows:
    """Return the newest runs of an experiment as on the run sheet, with the observables of this experiment only.

    Retired observables come last. One that had different units takes its latest ones.
    """
    there = {row[1].lower() for row in db.execute("PRAGMA table_info(run_sheet)")}
    observables: dict[str, SheetColumn] = {}
    for row in db.query(
        "SELECT observables.* FROM observables JOIN experiments ON experiments.id = experiment_id "
        "WHERE experiments.name = ? ORDER BY retired_at IS NOT NULL, display_order, observables.id",
        [experiment],
    ):
        column, is_text = observable_column(row["name"]), row["value_type"] in {ValueType.String, ValueType.Enum}
        if column.lower() in there:
            first = observables.setdefault(column.lower(), SheetColumn(column, row["units"], is_text))
            if is_text and not first.is_text:  # a text has room for numbers, but not the other way round
                observables[column.lower()] = first._replace(is_text=True)
    columns = (*OF_EVERY_RUN, *observables.values())
    names = ", ".join(_quoted(column.name) for column in columns)
    # Every name in it is quoted.
    sql = f"SELECT {names} FROM run_sheet WHERE experiment = ? ORDER BY run_number DESC LIMIT ?"  # noqa: S608
    return SheetRows(columns, tuple(db.execute(sql, [experiment, most]).fetchall()))


def _value(ids: Mapping[int, Sequence[int]]) -> str:
    """SQL for the value of a column in a run, looked up by the ids of its observables in each experiment.

    So only the requested runs and columns are read, and names need not be compared.
    """
    turns = itertools.zip_longest(*([(owner, each) for each in of_one] for owner, of_one in ids.items()))
    wanted = [
        f"CASE runs.experiment_id {' '.join(f'WHEN {owner} THEN {each}' for owner, each in filter(None, turn))} END"
        for turn in turns
    ]
    which, value = f"= {wanted[0]}", "coalesce(begin_value, end_value)"
    if len(wanted) > 1:  # the maximum takes a sixth of the time of the sheet
        which, value = f"IN ({', '.join(wanted)})", f"max({value})"
    return f"(SELECT {value} FROM measurements WHERE run_id = runs.id AND observable_id {which})"  # noqa: S608 - numbers
