# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the command line reads from the run database, with or without a running IOC."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ioc.errors import Refused
from ioc.model import DocumentState, Scalar, chosen_experiment
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_reading, peer_error
from ioc.rundb.run_sheet import observable_column
from ioc.rundb.times import from_text, to_microseconds

Row = Mapping[str, Any]
Figures = tuple[float | None, float | None, float | None]
"""Minimum, mean and maximum."""


@dataclass(frozen=True)
class RunPage:
    """Everything about one run, as rows of the tables."""

    run: Row
    configs: Sequence[Row]
    measurements: Sequence[Row]
    files: Sequence[Row]
    events: Sequence[Row]


@dataclass(frozen=True)
class SheetColumn:
    """A column of the run sheet: an observable of one name and unit, whatever its type and source were meanwhile."""

    heading: str
    """Its name in the view `run_sheet`; where another unit has that already, with the units."""
    name: str
    units: str
    value_type: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class SheetObservable:
    """An observable as it was at some time."""

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

    def __init__(self, path: Path, experiment: str | None, topology: str | None = None) -> None:
        """Open the database; `experiment` None: the one that the IOC is in, with `topology` in its topology.

        Raises:
            PeerError: the database cannot be read.
            Refused: there is no such experiment, or none at all.
        """
        self._path = path
        self._db = open_for_reading(path)
        try:
            self._experiment_id, self.experiment = find_experiment(self._db, path, experiment, topology)
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
        return find_run(self._db, self._experiment_id, self.experiment, number)

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

    def columns(self) -> tuple[SheetColumn, ...]:
        """Those of the run sheet, in display order; retired ones last, and only if they were ever measured."""
        found: dict[tuple[str, str], list[SheetObservable]] = {}
        for each in self._observables("retired_at IS NULL OR id IN (SELECT observable_id FROM measurements)"):
            found.setdefault((each.name, each.units), []).append(each)
        columns: list[SheetColumn] = []
        taken: set[str] = set()
        for (name, units), its in found.items():
            heading = observable_column(name)
            heading = heading if heading not in taken else f"{heading} [{units}]"
            taken.add(heading)
            columns.append(SheetColumn(heading, name, units, its[0].value_type, tuple(each.id for each in its)))
        return tuple(columns)

    def definitions(self, number: int) -> dict[str, SheetObservable]:
        """The observables by name as they are now, those that were measured in a run as they were then.

        Raises:
            Refused: there is no such run.
        """
        then = self._observables(
            "id IN (SELECT observable_id FROM measurements WHERE run_id = ?)", self.run(number)["id"]
        )
        now = self._observables("retired_at IS NULL")
        return {each.name: each for each in (*now, *reversed(then))}

    def sheet(self) -> Iterator[tuple[Row, dict[SheetColumn, Scalar | None]]]:
        """Each run with the value of each of its observables: at the begin, else at the end."""
        columns = self.columns()
        column_of = {observable_id: column for column in columns for observable_id in column.ids}
        for run in self.runs():
            values: dict[SheetColumn, Scalar | None] = dict.fromkeys(columns)
            for row in self._rows(
                "SELECT observable_id, coalesce(begin_value, end_value) AS value FROM measurements WHERE run_id = ?",
                run["id"],
            ):
                column = column_of.get(row["observable_id"])
                if column is not None and values[column] is None:
                    values[column] = row["value"]
            yield run, values

    def figures(self, run_id: int) -> dict[int, Figures]:
        """Of a run, by observable; of those that had numbers in it."""
        rows = self._rows("SELECT observable_id, minimum, mean, maximum FROM measurements WHERE run_id = ?", run_id)
        return {
            row["observable_id"]: (row["minimum"], row["mean"], row["maximum"])
            for row in rows
            if row["minimum"] is not None
        }

    def samples(self, number: int, observables: Iterable[SheetObservable]) -> Iterator[Row]:
        """Samples of these observables in a run one by one, by observable and time.

        Raises:
            Refused: there is no such run.
        """
        run_id = self.run(number)["id"]
        return itertools.chain.from_iterable(
            self._stream(
                "SELECT ? AS name, ? AS units, ? AS value_type, sampled_at, sampled_us, value, severity, status "
                "FROM samples WHERE observable_id = ? AND run_id = ? ORDER BY sampled_us",
                *(each.name, each.units, each.value_type, each.id, run_id),
            )
            for each in observables
        )

    def sampled(self, number: int, observables: Sequence[str] = ()) -> Sequence[SheetObservable]:
        """The observables that have samples in a run, in display order; of `observables` only, in theirs, if any.

        Raises:
            Refused: there is no such run or observable.
        """
        found = self._observables(
            "id IN (SELECT observable_id FROM sample_series WHERE run_id = ?)", self.run(number)["id"]
        )
        for name in set(observables) - {each.name for each in (*found, *self._observables("TRUE"))}:
            raise Refused(f"experiment {self.experiment} has no observable {name}")
        wanted = {name: order for order, name in reversed(list(enumerate(observables)))}
        if not observables:
            return found
        return sorted((each for each in found if each.name in wanted), key=lambda each: wanted[each.name])

    def count_samples(self, number: int, observables: Iterable[SheetObservable]) -> int:
        """About how many samples a run has of these observables: gaps are left out, and what is newest.

        Raises:
            Refused: there is no such run.
        """
        rows = self._rows(
            "SELECT ifnull(sum(samples), 0) AS samples FROM measurements "
            "WHERE run_id = ? AND observable_id IN (SELECT value FROM json_each(?))",
            self.run(number)["id"],
            json.dumps([each.id for each in observables]),
        )
        return int(rows[0]["samples"])

    def span(self, number: int) -> tuple[float, float]:
        """When a run began (with its first sample) and ended (if open, now), in POSIX seconds.

        Times of sources whose clock is behind do not count.

        Raises:
            Refused: there is no such run.
        """
        run = self.run(number)
        reserved_us = to_microseconds(from_text(run["reserved_at"]))
        (row,) = self._rows(
            "SELECT ifnull(min((SELECT min(sampled_us) FROM sample_rows "
            "WHERE series_id = sample_series.id AND sampled_us >= ?)), ?) AS first FROM sample_series WHERE run_id = ?",
            *(reserved_us, reserved_us, run["id"]),
        )
        began = row["first"] / 1e6
        if run["stopped_at"] is not None:
            ended = from_text(run["stopped_at"])
        elif DocumentState(run["state"]) not in FINISHED:
            ended = time.time()
        else:
            (row,) = self._rows("SELECT max(occurred_at) AS last FROM events WHERE run_id = ?", run["id"])
            ended = began if row["last"] is None else from_text(row["last"])
        return began, max(began, ended)

    def _observables(self, condition: str, *parameters: Any) -> list[SheetObservable]:
        """Those of the experiment for which a condition holds, in display order, retired ones last."""
        rows = self._rows(
            f"SELECT * FROM observables WHERE experiment_id = ? AND ({condition}) "  # noqa: S608 - a constant
            "ORDER BY retired_at IS NOT NULL, display_order, name, id",
            self._experiment_id,
            *parameters,
        )
        return [_observable(row) for row in rows]

    def _rows(self, sql: str, *parameters: Any) -> Sequence[Row]:
        return list(self._stream(sql, *parameters))

    def _stream(self, sql: str, *parameters: Any) -> Iterator[Row]:
        try:
            yield from self._db.query(sql, parameters)
        except sqlite3.Error as error:
            raise peer_error(self._path, error) from error


def find_experiment(db: Database, path: Path, name: str | None, topology: str | None) -> tuple[int, str]:
    """Id and name of experiment `name`; None: of the one that the IOC is in, else of the newest run's.

    `topology` is the experiment in the IOC's topology, None if it is not known.
    """
    ids: dict[str, int] = dict(
        db.execute(
            "SELECT name, experiments.id FROM experiments LEFT JOIN runs ON runs.experiment_id = experiments.id "
            "GROUP BY experiments.id ORDER BY max(ifnull(runs.id, 0)), experiments.id"
        ).fetchall()
    )
    if not ids:
        raise Refused(f"the run database {path} has no experiment yet: the IOC makes the first one")
    if name is None:
        name = next((each for each in (_set_by_pv(db, topology), topology) if each in ids), list(ids)[-1])
    if name not in ids:
        raise Refused(f"experiment {name} is not in the run database {path}: it has {', '.join(ids)}")
    return ids[name], name


def _set_by_pv(db: Database, topology: str | None) -> str | None:
    """What the PV `Experiment` was set to, None if never, or if that is over.

    The IOC forgets it when its topology gets another experiment; without a topology a newer run of another one tells.
    """
    kept = {
        name: (value, saved_at)
        for name, value, saved_at in db.execute(
            "SELECT name, value, saved_at FROM settings WHERE name IN ('experiment', 'experiment_default')"
        ).fetchall()
    }
    if topology is not None:
        return chosen_experiment({name: value for name, (value, _) in kept.items()}, topology)
    name, saved_at = kept.get("experiment", (None, ""))
    newest = db.execute("SELECT max(reserved_at) FROM runs").fetchone()[0]
    return name if newest is None or newest < saved_at else None


def find_run(db: Database, experiment_id: int, experiment: str, number: int) -> Row:
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
