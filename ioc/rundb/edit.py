# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the command line changes in the run database, with or without a running IOC."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from ioc.errors import Refused
from ioc.model import Client, DocumentState, RunClass, Scalar, Severity
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_editing, peer_error
from ioc.rundb.queries import Row, SheetObservable, find_experiment, find_run
from ioc.rundb.times import to_text


def edit_run(
    path: Path,
    experiment: str,
    number: int,
    *,
    title: str | None,
    run_class: RunClass | None,
    values: Mapping[SheetObservable, Scalar],
    client: Client,
) -> list[str]:
    """Change a run that has ended in one transaction, also while an IOC runs; every change becomes an event.

    `values` are those of manual observables, checked by the caller; each becomes that of the whole run: at begin and
    end, and minimum, maximum and mean of a number. None changes nothing. Returns a sentence for each change.

    Raises:
        PeerError: the database cannot be changed.
        Refused: there is no such run, or it is still open, and what is known of it the IOC's.
    """
    db = open_for_editing(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        experiment_id = find_experiment(db, path, experiment, None)[0]
        run = find_run(db, experiment_id, experiment, number)
        if DocumentState(run["state"]) not in FINISHED:
            raise Refused(
                f"run {number} is {run['state']}: title, class and observables are set by their PVs until it has ended"
            )
        changes = [
            f"run {number} of {experiment}: {change}"
            for change in (
                *_edit_columns(db, run, title, run_class),
                *_edit_values(db, run, values),
            )
        ]
        for change in changes:
            db.execute(
                "INSERT INTO events (occurred_at, severity, source, message, run_id, user, host) "
                "VALUES (?, ?, 'runs edit', ?, ?, ?, ?)",
                (to_text(time.time()), int(Severity.NO_ALARM), change, run["id"], client.user, client.host),
            )
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    finally:
        db.close()  # what is not committed is undone
    return changes


def _edit_columns(db: Database, run: Row, title: str | None, run_class: RunClass | None) -> list[str]:
    changes: list[str] = []
    for column, value in (("title", title), ("run_class", run_class.name if run_class is not None else None)):
        if value is not None and value != run[column]:
            db.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run["id"]))  # noqa: S608
            changes.append(f"{column} changed from {run[column]!r} to {value!r}")
    return changes


def _edit_values(db: Database, run: Row, values: Mapping[SheetObservable, Scalar]) -> list[str]:
    changes: list[str] = []
    for observable, value in values.items():
        row = db.execute(
            "SELECT begin_value, end_value, minimum, maximum, mean FROM measurements "
            "WHERE run_id = ? AND observable_id = ?",
            (run["id"], observable.id),
        ).fetchone()
        before = _Values(*row) if row is not None else _Values()
        number = None if isinstance(value, str) else value
        after = _Values(value, value, number, number, number)
        if before == after:
            continue
        db.execute(
            "INSERT INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, mean) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, observable_id) DO UPDATE SET "
            "begin_value = excluded.begin_value, end_value = excluded.end_value, minimum = excluded.minimum, "
            "maximum = excluded.maximum, mean = excluded.mean",
            (run["id"], observable.id, *after),
        )
        changes.append(f"{observable.name} changed from {before} to {value!r}")
    return changes


class _Values(NamedTuple):
    """What an observable was in a run."""

    begin: Scalar | None = None
    end: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None

    def __str__(self) -> str:
        begin, end = ("none" if value is None else repr(value) for value in (self.begin, self.end))
        if self.begin != self.end:
            return f"{begin} at the begin and {end} at the end"
        if self.minimum != self.maximum:
            return f"{begin} ({self.minimum} to {self.maximum} in the run)"
        return begin
