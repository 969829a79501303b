# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""How queued rows get into their tables: names of the program become ids of the database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sqlite_utils import Database

from ioc.errors import PeerError
from ioc.model import Event, PutRecord, Reading, RunId, Scalar
from ioc.rundb.times import to_microseconds, to_text

_OPEN_RUN = "SELECT max(id) FROM runs WHERE state IN ('starting', 'running', 'stopping', 'filing')"


class Sample(NamedTuple):
    """A reading on its way into the database."""

    experiment: str
    run: RunId | None
    reading: Reading


class UnknownRowError(PeerError):
    """A row refers to something that is not in the database; writing it again cannot help."""


def storable(value: Scalar | None, label: str = "") -> Scalar | None:
    """What a column gets for a value: the label of an enum, NULL for what is not a number."""
    if label:
        return storable(label)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value


class RowWriter:
    """Writes samples, events and puts through one connection, remembering the ids it has looked up."""

    def __init__(self) -> None:
        self._runs: dict[RunId, int] = {}
        self._observables: dict[tuple[str, str], int] = {}
        self._series: dict[tuple[int, int | None], int] = {}
        self._alarms: dict[tuple[int, str], int] = {}

    def forget(self) -> None:
        """Drop what is remembered: a transaction was undone, and rows made in it with it."""
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
        """Id of an observable.

        Raises:
            UnknownRowError: the observable was never defined.
        """
        key = (experiment, name)
        if key not in self._observables:
            row = db.execute(
                "SELECT observables.id FROM observables JOIN experiments ON experiments.id = experiment_id "
                "WHERE experiments.name = ? AND observables.name = ?",
                key,
            ).fetchone()
            if row is None:
                raise UnknownRowError(f"observable {name} of experiment {experiment} is not in the run database")
            self._observables[key] = row[0]
        return self._observables[key]

    def insert_samples(self, db: Database, samples: Sequence[Sample]) -> None:
        """Insert a batch in the order of the table, so that each page of it is touched once."""
        rows: list[tuple[int, int, int, int, Scalar | None, int]] = []
        for sample in samples:
            reading = sample.reading
            observable = self.observable_id(db, sample.experiment, reading.observable)
            series = self._series_id(db, observable, self.run_id(db, sample.run))
            moment = to_microseconds(reading.sampled_at)
            value = storable(reading.value, reading.label)
            rows.append((series, moment, series, moment, value, self._alarm_id(db, reading)))
        rows.sort(key=_place)
        db.conn.executemany(
            "INSERT INTO sample_rows (series_id, sampled_us, seq, value, alarm_id) VALUES (?, ?, "
            "coalesce((SELECT max(seq) + 1 FROM sample_rows WHERE series_id = ? AND sampled_us = ?), 0), ?, ?)",
            rows,
        )

    def insert_events(self, db: Database, events: Sequence[Event]) -> None:
        db.conn.executemany(
            "INSERT INTO events (occurred_at, severity, source, message, run_id, user, host) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    to_text(event.occurred_at),
                    int(event.severity),
                    storable(event.source),
                    storable(event.message),
                    self.run_id(db, event.run),
                    storable(event.client.user),
                    storable(event.client.host),
                )
                for event in events
            ],
        )

    def insert_puts(self, db: Database, puts: Sequence[PutRecord]) -> None:
        """Insert puts; each belongs to the run that is open now."""
        run_id = db.execute(_OPEN_RUN).fetchone()[0] if puts else None
        db.conn.executemany(
            "INSERT INTO puts (occurred_at, pv, old_value, new_value, user, host, result, message, run_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    to_text(put.occurred_at),
                    storable(put.pv),
                    storable(put.old_value),
                    storable(put.new_value),
                    storable(put.client.user),
                    storable(put.client.host),
                    put.result,
                    storable(put.message),
                    run_id,
                )
                for put in puts
            ],
        )

    def _series_id(self, db: Database, observable: int, run: int | None) -> int:
        key = (observable, run)
        if key not in self._series:
            row = db.execute(
                "SELECT id FROM sample_series WHERE observable_id = ? AND ifnull(run_id, -1) = ifnull(?, -1)", key
            ).fetchone()
            if row is None:
                insert = "INSERT INTO sample_series (observable_id, run_id) VALUES (?, ?) RETURNING id"
                row = db.conn.execute(insert, key).fetchone()
            self._series[key] = row[0]
        return self._series[key]

    def _alarm_id(self, db: Database, reading: Reading) -> int:
        key = (int(reading.severity), reading.status)
        if key not in self._alarms:
            row = db.execute("SELECT id FROM alarms WHERE severity = ? AND status = ?", key).fetchone()
            if row is None:
                insert = "INSERT INTO alarms (severity, status) VALUES (?, ?) RETURNING id"
                row = db.conn.execute(insert, key).fetchone()
            self._alarms[key] = row[0]
        return self._alarms[key]


def _place(row: tuple[int, int, int, int, Scalar | None, int]) -> tuple[int, int]:
    return row[0], row[1]
