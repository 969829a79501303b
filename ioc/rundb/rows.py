# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Inserts queued rows into their tables: names are replaced by ids of the database."""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from ioc.errors import PeerError
from ioc.model import Event, PutRecord, Reading, RunId, Scalar, Severity
from ioc.rundb.times import to_microseconds, to_text

if TYPE_CHECKING:
    from sqlite_utils import Database

_INSERT_SAMPLES = """INSERT INTO sample_rows (series_id, sampled_us, seq, value, alarm_id)
    SELECT column1, column2, column3 + coalesce(
        (SELECT max(seq) + 1 FROM sample_rows WHERE series_id = column1 AND sampled_us = column2), 0
    ), column4, column5 FROM (VALUES {rows})"""
_SampleRow = tuple[int, int, int, Scalar | None, int]
_Placed = tuple[int, int, Scalar | None, int]
_INTEGERS = 2**63
_MOST_ROWS = 512
_PLACE = itemgetter(0, 1)

Row = TypeVar("Row")
Sample = tuple[tuple[str, RunId | None], Reading]
"""A reading waiting to be stored, with its experiment and run."""
LogRow = Event | PutRecord
_NO_COLUMNS = {"run", "client", "logged"}
"""Fields of these that are stored in another form, or not at all."""


class UnknownRowError(PeerError):
    """A row refers to something that is not in the database; retrying cannot help."""


BAD_ROW = (
    UnknownRowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
)
"""Errors of a row, not of the file: retrying cannot help."""


def storable(value: Scalar | None, label: str = "") -> Scalar | None:
    """The stored form of a value: the label of an enum, NULL for NaN and a gap.

    A whole number that is too large for SQLite becomes a float.
    """
    if label:
        return storable(label)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, int):
        return value if -_INTEGERS <= value < _INTEGERS else float(value)
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value


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


class RowWriter:
    """Writes samples, events and puts through one connection, with a cache of ids."""

    def __init__(self) -> None:
        self._runs: dict[RunId, int] = {}
        self._observables: dict[tuple[str, str], int] = {}
        self._series: dict[tuple[str, RunId | None], dict[str, int]] = {}
        self._alarms: dict[tuple[Severity, str], int] = {}

    def forget(self) -> None:
        """Clear the cache: a transaction was rolled back, with the rows created in it."""
        self._runs.clear()
        self._observables.clear()
        self._series.clear()
        self._alarms.clear()

    def run_id(self, db: Database, run: RunId | None) -> int | None:
        """Id of a run, None for None.

        Raises:
            UnknownRowError: the run was never reserved.
        """
        if run is None:
            return None
        if run not in self._runs:
            row = db.execute(
                "SELECT runs.id FROM runs JOIN experiments ON experiments.id = runs.experiment_id "
                "WHERE experiments.name = ? AND runs.run_number = ?",
                (run.experiment, run.number),
            ).fetchone()
            if row is None:
                raise UnknownRowError(f"run {run.number} of experiment {run.experiment} is not in the run database")
            self._runs[run] = row[0]
        return self._runs[run]

    def observable_id(self, db: Database, experiment: str, name: str) -> int:
        """Id of an observable that is not retired.

        Raises:
            UnknownRowError: there is none of this name.
        """
        key = (experiment, name)
        if key not in self._observables:
            rows = db.execute(
                "SELECT observables.name, observables.id FROM observables "
                "JOIN experiments ON experiments.id = experiment_id WHERE experiments.name = ? AND retired_at IS NULL",
                (experiment,),
            )
            self._observables.update({(experiment, observable): known for observable, known in rows})
        if key not in self._observables:
            raise UnknownRowError(f"observable {name} of experiment {experiment} is not in the run database")
        return self._observables[key]

    def insert(self, db: Database, samples: Sequence[Sample], log: Sequence[LogRow]) -> None:
        """Insert all of these, as part of the caller's transaction.

        Raises:
            BAD_ROW: a row cannot be stored.
        """
        self.insert_samples(db, samples)
        self.insert_log(db, log)

    def insert_each(self, db: Database, samples: Sequence[Sample], log: Sequence[LogRow]) -> list[str]:
        """Insert the valid rows and drop the others, which would block the queue for ever; returns the reasons."""
        rows = [([sample], []) for sample in samples] + [([], [row]) for row in log]
        reasons: list[str] = []
        for row in rows:
            db.conn.execute("SAVEPOINT one_row")
            try:
                self.insert(db, *row)
            except BAD_ROW as error:
                self.forget()
                db.conn.execute("ROLLBACK TO one_row")
                reasons.append(str(error) or type(error).__name__)
            finally:
                db.conn.execute("RELEASE one_row")
        return reasons

    def insert_samples(self, db: Database, samples: Sequence[Sample]) -> None:
        """Insert samples in the order of the table, so that each of its pages is touched once."""
        placed: list[_Placed] = []
        for (experiment, run), owned in itertools.groupby(samples, itemgetter(0)):
            readings = [reading for _, reading in owned]
            series = self._series_of(db, experiment, run, {reading.observable for reading in readings})
            placed.extend(self._place(db, series[reading.observable], reading) for reading in readings)
        for piece in pieces(sorted(placed, key=_PLACE)):
            execute_rows(db, _INSERT_SAMPLES, _numbered(piece))

    def _place(self, db: Database, series_id: int, reading: Reading) -> _Placed:
        alarm = self._alarm_id(db, reading)
        return series_id, to_microseconds(reading.sampled_at), storable(reading.value, reading.label), alarm

    def _series_of(self, db: Database, experiment: str, run: RunId | None, names: set[str]) -> Mapping[str, int]:
        """Ids of the series of these observables; missing ones are created and read together."""
        known = self._series.setdefault((experiment, run), {})
        unknown = {self.observable_id(db, experiment, name): name for name in names if name not in known}
        if unknown:
            run_id = self.run_id(db, run)
            db.execute(
                "INSERT OR IGNORE INTO sample_series (observable_id, run_id) SELECT value, ? FROM json_each(?)",
                (run_id, json.dumps(sorted(unknown))),
            )
            rows = db.execute("SELECT observable_id, id FROM sample_series WHERE run_id IS ?", (run_id,))
            known.update((unknown[each], series_id) for each, series_id in rows if each in unknown)
        return known

    def insert_log(self, db: Database, log: Sequence[LogRow]) -> None:
        for kind, table in ((Event, "events"), (PutRecord, "puts")):
            if rows := [self._columns(db, row) for row in log if type(row) is kind]:
                names = ", ".join(rows[0])
                values = ", ".join(f":{name}" for name in rows[0])
                db.conn.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)  # noqa: S608 - constants

    def _columns(self, db: Database, row: LogRow) -> dict[str, Scalar | None]:
        columns = {name: storable(value) for name, value in vars(row).items() if name not in _NO_COLUMNS}
        return columns | {
            "occurred_at": to_text(row.occurred_at),
            "run_id": self.run_id(db, row.run),
            "user": storable(row.client.user),
            "host": storable(row.client.host),
        }

    def _alarm_id(self, db: Database, reading: Reading) -> int:
        if reading.severity == 0 and reading.status == "NO_ALARM":
            return 0
        key = (reading.severity, reading.status)
        if key not in self._alarms:
            columns = (int(reading.severity), reading.status)
            row = db.execute("SELECT id FROM alarms WHERE severity = ? AND status = ?", columns).fetchone()
            if row is None:
                insert = "INSERT INTO alarms (severity, status) VALUES (?, ?) RETURNING id"
                row = db.conn.execute(insert, columns).fetchone()
            self._alarms[key] = row[0]
        return self._alarms[key]


def _numbered(placed: Sequence[_Placed]) -> list[_SampleRow]:
    """Number the samples of one moment within a statement; those of earlier statements are counted in the table."""
    rows: list[_SampleRow] = []
    before: tuple[int, int] | None = None
    again = 0
    for series_id, moment, value, alarm in placed:
        again = again + 1 if before == (series_id, moment) else 0
        before = (series_id, moment)
        rows.append((series_id, moment, again, value, alarm))
    return rows
