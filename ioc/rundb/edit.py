# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Changes made by the command line, with or without a running IOC."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ioc.errors import Refused
from ioc.model import Client, DocumentState, RunClass, RunQuality, Scalar, Severity
from ioc.ports import FINISHED
from ioc.rundb.connection import peer_error
from ioc.rundb.queries import Row, SheetObservable, find_experiment, find_run
from ioc.rundb.times import to_text
from ioc.rundb.writing import open_for_editing

if TYPE_CHECKING:
    from sqlite_utils import Database


def edit_run(
    path: Path,
    experiment: str,
    number: int,
    *,
    title: str | None,
    run_class: RunClass | None,
    comment: str | None,
    quality: RunQuality | None,
    values: Mapping[SheetObservable, Scalar],
    client: Client,
) -> list[str]:
    """Change an ended run in one transaction, also while an IOC runs; every change becomes an event.

    Title, comment and `values` of manual observables are checked by the caller; each value becomes the value of the
    whole run: at begin and end, and for a number also minimum, maximum and mean. None changes nothing. Returns a
    sentence for each change.

    Raises:
        PeerError: the database cannot be changed.
        Refused: there is no such run, or it is still open and belongs to the IOC.
    """
    db = open_for_editing(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        run = find_run(db, find_experiment(db, path, experiment, None)[0], experiment, number)
        if DocumentState(run["state"]) not in FINISHED:
            raise Refused(
                f"run {number} is {run['state']}: "
                "title, class, comment, quality and observables are set by their PVs until it has ended"
            )
        columns = {
            "title": title,
            "run_class": None if run_class is None else run_class.name,
            "comment": comment,
            "quality": None if quality is None else quality.name,
        }
        changes = [
            f"run {number} of {experiment}: {change}"
            for change in (*_edit_columns(db, run, columns), *_edit_values(db, run, values))
        ]
        now = to_text(time.time())
        db.table("events").insert_all(
            {
                "occurred_at": now,
                "severity": int(Severity.NO_ALARM),
                "source": "runs edit",
                "message": change,
                "run_id": run["id"],
                "user": client.user,
                "host": client.host,
            }
            for change in changes
        )
        db.commit()
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    finally:
        db.close()  # rolls back an uncommitted transaction
    return changes


def _edit_columns(db: Database, run: Row, wanted: Mapping[str, str | None]) -> list[str]:
    changed = {column: value for column, value in wanted.items() if value is not None and value != run[column]}
    db.table("runs").update(run["id"], changed)
    return [f"{column} changed from {run[column]!r} to {value!r}" for column, value in changed.items()]


def _edit_values(db: Database, run: Row, values: Mapping[SheetObservable, Scalar]) -> Iterator[str]:
    measurements = db.table("measurements")
    for observable, value in values.items():
        key = (run["id"], observable.id)
        present = next(measurements.rows_where("run_id = ? AND observable_id = ?", key), {})
        before = _Values(*(present.get(column) for column in _Values._fields))
        number = None if isinstance(value, str) else value
        after = _Values(value, value, number, number, number)
        if before != after:
            row = {"run_id": run["id"], "observable_id": observable.id, **after._asdict()}
            measurements.upsert(row, pk=("run_id", "observable_id"))
            yield f"{observable.name} changed from {before} to {value!r}"


class _Values(NamedTuple):
    """The values of an observable in a run; the fields are named like the columns."""

    begin_value: Scalar | None = None
    end_value: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None

    def __str__(self) -> str:
        begin, end = ("none" if value is None else repr(value) for value in (self.begin_value, self.end_value))
        if self.begin_value != self.end_value:
            return f"{begin} at the start and {end} at the end"
        if self.minimum != self.maximum:
            return f"{begin} ({self.minimum} to {self.maximum} in the run)"
        return begin
