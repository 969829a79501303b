# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the command line reads from the run database and changes in it, with or without a running IOC."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ioc.errors import Refused
from ioc.model import Client, DocumentState, RunClass, Scalar, Severity
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_editing, open_for_reading, peer_error
from ioc.rundb.times import to_text

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RunPage:
    """Everything about one run, as rows of the tables."""

    run: Row
    configs: Sequence[Row]
    measurements: Sequence[Row]
    files: Sequence[Row]
    events: Sequence[Row]


@dataclass(frozen=True)
class SheetObservable:
    """A column of the run sheet."""

    id: int
    name: str
    label: str
    units: str
    value_type: str
    pv: str | None
    """What it follows; None if it is typed by the shift."""

    @property
    def manual(self) -> bool:
        return self.pv is None


class RunBook:
    """The runs of one experiment, read-only."""

    def __init__(self, path: Path, experiment: str | None, default: str | None = None) -> None:
        """Open the database; `experiment` None: `default` if it has runs, else that of the newest run.

        Raises:
            PeerError: the database cannot be read.
            Refused: there is no such experiment, or none at all.
        """
        self._path = path
        self._db = open_for_reading(path)
        try:
            self._experiment_id, self.experiment = _experiment(self._db, path, experiment, default)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def runs(self) -> Sequence[Row]:
        """Rows of `runs` by number."""
        return self._rows("SELECT * FROM runs WHERE experiment_id = ? ORDER BY run_number", self._experiment_id)

    def run(self, number: int) -> Row:
        """One row of `runs`.

        Raises:
            Refused: there is no such run.
        """
        return _run(self._db, self._experiment_id, self.experiment, number)

    def page(self, number: int) -> RunPage:
        """All about one run.

        Raises:
            Refused: there is no such run.
        """
        run = self.run(number)
        run_id = run["id"]
        return RunPage(
            run=run,
            configs=self._rows(
                "SELECT * FROM run_configs WHERE run_id = ? ORDER BY length(ecc_server), ecc_server", run_id
            ),
            measurements=self._rows(
                "SELECT name, label, units, value_type, measurements.* FROM measurements "
                "JOIN observables ON observables.id = observable_id WHERE run_id = ? ORDER BY display_order, name",
                run_id,
            ),
            files=self._rows("SELECT * FROM files WHERE run_id = ? ORDER BY length(router), router, path", run_id),
            events=self._rows("SELECT * FROM events WHERE run_id = ? ORDER BY occurred_at, id", run_id),
        )

    def observables(self) -> tuple[SheetObservable, ...]:
        """In display order; retired ones last, and only if they were ever measured."""
        rows = self._rows(
            "SELECT * FROM observables WHERE experiment_id = ? AND "
            "(retired_at IS NULL OR EXISTS (SELECT 1 FROM measurements WHERE observable_id = observables.id)) "
            "ORDER BY retired_at IS NOT NULL, display_order, name",
            self._experiment_id,
        )
        return tuple(_observable(row) for row in rows)

    def sheet(self) -> Iterator[tuple[Row, dict[str, Scalar | None]]]:
        """Each run with the value of each of its observables: at the begin, else at the end."""
        names = {each.id: each.name for each in self.observables()}
        for run in self.runs():
            values: dict[str, Scalar | None] = dict.fromkeys(names.values())
            for row in self._rows(
                "SELECT observable_id, coalesce(begin_value, end_value) AS value FROM measurements WHERE run_id = ?",
                run["id"],
            ):
                if row["observable_id"] in names:
                    values[names[row["observable_id"]]] = row["value"]
            yield run, values

    def samples(self, number: int, observable: str | None = None) -> Iterator[Row]:
        """Samples of a run by observable and time, one by one.

        Raises:
            Refused: there is no such run or observable.
        """
        run_id = self.run(number)["id"]
        if observable is not None and observable not in {each.name for each in self.observables()}:
            raise Refused(f"experiment {self.experiment} has no observable {observable}")
        return self._stream(
            "SELECT name, units, sampled_at, sampled_us, value, severity, status FROM samples "
            "JOIN observables ON observables.id = observable_id "
            "WHERE run_id = ? AND (? IS NULL OR name = ?) ORDER BY display_order, name, sampled_us",
            run_id,
            observable,
            observable,
        )

    def count_samples(self, number: int, observables: Sequence[str] = ()) -> int:
        """About how many samples a run has, of all observables or of these: gaps are left out, and what is newest.

        Raises:
            Refused: there is no such run.
        """
        rows = self._rows(
            "SELECT ifnull(sum(samples), 0) AS samples FROM measurements "
            "JOIN observables ON observables.id = observable_id "
            "WHERE run_id = ? AND (? = '[]' OR name IN (SELECT value FROM json_each(?)))",
            self.run(number)["id"],
            *[json.dumps(list(observables))] * 2,
        )
        return int(rows[0]["samples"])

    def span(self, number: int) -> tuple[int, int] | None:
        """Times of the first and the last sample of a run in microseconds since 1970; None if it has none.

        Raises:
            Refused: there is no such run.
        """
        (row,) = self._rows(
            "SELECT min((SELECT min(sampled_us) FROM sample_rows WHERE series_id = sample_series.id)) AS first, "
            "max((SELECT max(sampled_us) FROM sample_rows WHERE series_id = sample_series.id)) AS last "
            "FROM sample_series WHERE run_id = ?",
            self.run(number)["id"],
        )
        return None if row["first"] is None else (row["first"], row["last"])

    def _rows(self, sql: str, *parameters: Any) -> Sequence[Row]:
        return list(self._stream(sql, *parameters))

    def _stream(self, sql: str, *parameters: Any) -> Iterator[Row]:
        try:
            yield from self._db.query(sql, parameters)
        except sqlite3.Error as error:
            raise peer_error(self._path, error) from error


def edit_run(
    path: Path,
    experiment: str,
    number: int,
    *,
    title: str | None,
    run_class: RunClass | None,
    values: Mapping[str, Scalar],
    client: Client,
) -> list[str]:
    """Change a run in one transaction, also while an IOC runs; every change becomes an event.

    `values` are those of manual observables, checked by the caller; they are set at begin and end. None changes
    nothing. Returns a sentence for each change.

    Raises:
        PeerError: the database cannot be changed.
        Refused: there is no such run, or it is still open and its observables are the IOC's.
    """
    db = open_for_editing(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        experiment_id = _experiment(db, path, experiment, None)[0]
        run = _run(db, experiment_id, experiment, number)
        changes = _edit_columns(db, run, title, run_class) + _edit_values(db, run, experiment_id, values)
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
            changes.append(f"run {run['run_number']}: {column} changed from {run[column]!r} to {value!r}")
    return changes


def _edit_values(db: Database, run: Row, experiment_id: int, values: Mapping[str, Scalar]) -> list[str]:
    if values and DocumentState(run["state"]) not in FINISHED:
        raise Refused(
            f"run {run['run_number']} is {run['state']}: its observables are set by their PVs until it is complete"
        )
    changes: list[str] = []
    for name, value in values.items():
        row = db.execute(
            "SELECT id FROM observables WHERE experiment_id = ? AND name = ?", (experiment_id, name)
        ).fetchone()
        before = db.execute(
            "SELECT begin_value FROM measurements WHERE run_id = ? AND observable_id = ?", (run["id"], row[0])
        ).fetchone()
        db.execute(
            "INSERT INTO measurements (run_id, observable_id, begin_value, end_value) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (run_id, observable_id) DO UPDATE SET begin_value = excluded.begin_value, "
            "end_value = excluded.end_value",
            (run["id"], row[0], value, value),
        )
        old = before[0] if before is not None else None
        changes.append(f"run {run['run_number']}: {name} changed from {old!r} to {value!r}")
    return changes


def _experiment(db: Database, path: Path, name: str | None, default: str | None) -> tuple[int, str]:
    ids: dict[str, int] = dict(
        db.execute(
            "SELECT name, experiments.id FROM experiments LEFT JOIN runs ON runs.experiment_id = experiments.id "
            "GROUP BY experiments.id ORDER BY max(ifnull(runs.id, 0)), experiments.id"
        ).fetchall()
    )
    if not ids:
        raise Refused(f"the run database {path} has no experiment yet: the IOC makes the first one")
    if name is None:
        name = default if default in ids else list(ids)[-1]
    if name not in ids:
        raise Refused(f"experiment {name} is not in the run database {path}: it has {', '.join(ids)}")
    return ids[name], name


def _run(db: Database, experiment_id: int, experiment: str, number: int) -> Row:
    rows = list(db.query("SELECT * FROM runs WHERE experiment_id = ? AND run_number = ?", (experiment_id, number)))
    if not rows:
        last = db.execute("SELECT max(run_number) FROM runs WHERE experiment_id = ?", (experiment_id,)).fetchone()[0]
        present = "it has no runs yet" if last is None else f"its last one is run {last}"
        raise Refused(f"run {number} is not in experiment {experiment}: {present}")
    return rows[0]


def _observable(row: Row) -> SheetObservable:
    return SheetObservable(
        id=row["id"],
        name=row["name"],
        label=row["label"],
        units=row["units"],
        value_type=row["value_type"],
        pv=row["source_pv"],
    )
