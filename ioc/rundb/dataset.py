# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The tables of the Parquet data set, and how they are read from the run database.

Each query is fetched at once and ends within some ten milliseconds, so the IOC can move its log (-wal) into the file
between any two of them. What is read is therefore no snapshot of one moment: the runs are read first, then what belongs
to them, and samples only up to those that were the last when a run was looked at.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from ioc.errors import Refused
from ioc.model import DocumentState
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_reading, peer_error
from ioc.rundb.dict_rows import Readable

PAGE = 20_000
"""Samples read in one transaction, which takes 10 to 20 ms."""
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Kind = Literal["text", "time", "number", "whole", "level"]
"""Of a column: `whole` numbers have 64 bits, a `level` (a severity) has 8."""
Rows = Sequence[tuple[Any, ...]]


class Column(NamedTuple):
    """A column of a table of the data set."""

    name: str
    kind: Kind
    units: str = ""
    sql: str = ""
    """Its expression in the database; the column of the same name if empty."""


def _numbers(column: str) -> str:
    return f"CASE WHEN typeof({column}) <> 'text' THEN {column} END"


def _texts(column: str) -> str:
    return f"CASE WHEN typeof({column}) = 'text' THEN {column} END"


@dataclass(frozen=True)
class DataTable:
    """A table of the data set; experiment and run are its partitions. To add a column, add a line."""

    name: str
    columns: tuple[Column, ...]
    source: str = ""
    """The tables in the database."""
    run: str = "run_id"
    """The column with the id of the run."""
    order: str = ""

    def select(self, condition: str) -> str:
        """SQL for the id of the run and the columns, in the order of the table."""
        names = ", ".join(each.sql or f"{self.name}.{each.name}" for each in self.columns)
        # All of it are constants of this module.
        return f"SELECT {self.run}, {names} FROM {self.source} WHERE {condition} ORDER BY {self.order}"  # noqa: S608


RUNS = DataTable(
    "runs",
    (
        Column("run_class", "text"),
        Column("title", "text"),
        Column("state", "text"),
        Column("reserved_at", "time"),
        Column("started_at", "time"),
        Column("stopped_at", "time"),
        Column("duration", "number", "s"),
        Column("config_name", "text"),
        Column("message", "text"),
        Column("bytes", "whole", "B"),
        Column("comment", "text"),
        Column("quality", "text"),
        Column("adopted_at", "time"),
        Column("good_fraction", "number", "1"),
    ),
    source="runs",
    run="runs.id",
    order="runs.id",
)
MEASUREMENTS = DataTable(
    "measurements",
    (
        Column("observable", "text", sql="name"),
        Column("units", "text", sql="units"),
        Column("begin_value", "number", sql=_numbers("begin_value")),
        Column("begin_text", "text", sql=_texts("begin_value")),
        Column("end_value", "number", sql=_numbers("end_value")),
        Column("end_text", "text", sql=_texts("end_value")),
        Column("minimum", "number"),
        Column("maximum", "number"),
        Column("mean", "number"),
        Column("samples", "whole"),
        Column("worst_severity", "level"),
        Column("disconnected_seconds", "number", "s"),
        Column("mean_seconds", "number", "s"),
        Column("good_fraction", "number", "1"),
    ),
    source="measurements JOIN observables ON observables.id = observable_id",
    order="run_id, display_order, name, observable_id",
)
SAMPLES = DataTable(
    "samples",
    (
        Column("observable", "text"),
        Column("units", "text"),
        Column("sampled_at", "time"),
        Column("value", "number"),
        Column("text", "text"),
        Column("severity", "level"),
        Column("status", "text"),
    ),
)
"""Read by `DataReader.pages`."""
FILES = DataTable(
    "files",
    (
        Column("router", "text"),
        Column("host", "text"),
        Column("path", "text"),
        Column("bytes", "whole", "B"),
        Column("moved_at", "time"),
        Column("source", "text"),
        Column("checksum", "text"),
        Column("checksummed_at", "time"),
        Column("purged_at", "time"),
    ),
    source="files",
    order="run_id, length(router), router, path, host",
)
EVENTS = DataTable(
    "events",
    (
        Column("occurred_at", "time"),
        Column("severity", "level"),
        Column("source", "text"),
        Column("message", "text"),
        Column("user", "text"),
        Column("host", "text"),
    ),
    source="events",
    order="run_id, occurred_at, id",
)
TABLES = (RUNS, MEASUREMENTS, SAMPLES, FILES, EVENTS)
"""In the order in which people ask for them."""
OF_A_RUN = (RUNS, MEASUREMENTS, FILES, EVENTS)
"""Those that are read with one query for many runs."""


class DataRun(NamedTuple):
    """A run of the data set."""

    id: int
    experiment: str
    number: int
    is_open: bool


class Series(NamedTuple):
    """The samples of an observable in a run, or on one day between runs."""

    id: int
    observable_id: int
    observable: str
    units: str
    first: tuple[int, int]
    """Microseconds since 1970, and the number of the sample with that time stamp."""
    last: tuple[int, int]
    counted: int | None = None
    """How many samples the statistics have, if there are any."""


class SamplesPage(NamedTuple):
    """Some samples of one series, as columns."""

    series: Series
    sampled_us: Sequence[int]
    values: Sequence[float | str | None]
    alarms: Sequence[int]
    """Places in `alarm_names`."""
    alarm_names: Sequence[tuple[int, str]]
    """Severity and status."""


class DataReader:
    """Reads the run database for the data set; a context manager that closes it and converts its errors."""

    def __init__(self, path: Path, experiment: str | None = None) -> None:
        """Open the database; `experiment` None means all.

        Raises:
            PeerError: the database cannot be read.
            Refused: there is no such experiment.
        """
        self.path = path
        self._db = open_for_reading(path)
        try:
            rows = self._db.execute("SELECT name, created_at FROM experiments ORDER BY id").fetchall()
        except BaseException as error:
            self.__exit__(None, error, None)
            raise
        self.all_experiments: dict[str, str] = dict(rows)
        """When each experiment of the database was created, by name."""
        self.experiments = list(self.all_experiments) if experiment is None else [experiment]
        """Those that are asked for."""
        if unknown := set(self.experiments) - set(self.all_experiments):
            self._db.close()
            there = ", ".join(self.all_experiments) or "none"
            raise Refused(f"experiment {unknown.pop()} is not in the run database {path}: it has {there}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise peer_error(self.path, error) from error

    def runs(self) -> list[DataRun]:
        """The runs of these experiments, the oldest first."""
        rows = self._db.execute(
            "SELECT runs.id, name, run_number, state FROM runs JOIN experiments ON experiments.id = experiment_id "
            "WHERE name IN (SELECT value FROM json_each(?)) ORDER BY runs.id",
            [json.dumps(self.experiments)],
        ).fetchall()
        return [
            DataRun(run_id, name, number, DocumentState(state) not in FINISHED) for run_id, name, number, state in rows
        ]

    def rows(self, table: DataTable, runs: Iterable[DataRun]) -> Mapping[int, Rows]:
        """The rows of these runs, by the id of the run."""
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        sql = table.select(f"{table.run} IN (SELECT value FROM json_each(?))")  # noqa: S608 - a constant
        for run_id, *row in self._db.execute(sql, [json.dumps([run.id for run in runs])]).fetchall():
            found[run_id].append(tuple(row))
        return found

    def days_of_events(self) -> list[str]:
        """The days in UTC with events that belong to no run."""
        days = self._db.execute(
            "SELECT DISTINCT substr(occurred_at, 1, 10) FROM events WHERE run_id IS NULL ORDER BY 1"
        )
        return [row[0] for row in days.fetchall()]

    def events_of_day(self, day: str) -> Rows:
        """The events of one day in UTC that belong to no run."""
        sql = EVENTS.select("run_id IS NULL AND occurred_at >= ? AND occurred_at < ?")
        return [row[1:] for row in self._db.execute(sql, [day, f"{day}~"]).fetchall()]

    def series(self, runs: Iterable[DataRun]) -> Mapping[int, list[Series]]:
        """The series of these runs that have samples, in display order, by the id of the run."""
        return series_of_runs(self._db, [run.id for run in runs])

    def days_between_runs(self, experiment: str) -> Mapping[str, list[Series]]:
        """The series of an experiment between its runs, cut into days in UTC, in display order, by day."""
        rows = self._db.execute(
            "SELECT sample_series.id, observable_id, observables.name, units FROM sample_series "
            "JOIN observables ON observables.id = observable_id JOIN experiments ON experiments.id = experiment_id "
            "WHERE run_id IS NULL AND experiments.name = ? ORDER BY display_order, observables.name, sample_series.id",
            [experiment],
        ).fetchall()
        days: dict[str, list[Series]] = defaultdict(list)
        for series_id, observable_id, name, units in rows:
            first = self._next(series_id, 0)
            while first is not None:
                number = first // _DAY_US
                last = self._db.execute(
                    "SELECT sampled_us, seq FROM sample_rows WHERE series_id = ? AND sampled_us < ? "
                    "ORDER BY sampled_us DESC, seq DESC LIMIT 1",
                    [series_id, (number + 1) * _DAY_US],
                ).fetchone()
                day = f"{_EPOCH + timedelta(days=number):%Y-%m-%d}"
                days[day].append(Series(series_id, observable_id, name, units, (first, 0), last))
                first = self._next(series_id, (number + 1) * _DAY_US)
        return dict(sorted(days.items()))

    def _next(self, series_id: int, from_us: int) -> int | None:
        sql = "SELECT min(sampled_us) FROM sample_rows WHERE series_id = ? AND sampled_us >= ?"
        return self._db.execute(sql, [series_id, from_us]).fetchone()[0]

    def pages(self, series: Iterable[Series]) -> Iterator[SamplesPage]:
        """The samples of these series, one after the other, each by time."""
        yield from sample_pages(self._db, series)


def series_of_run(db: Readable, run_id: int, observable_ids: Sequence[int]) -> list[Series]:
    """The series of these observables in a run that have samples, in the order given."""
    found = series_of_runs(db, [run_id]).get(run_id, [])
    return [each for wanted in observable_ids for each in found if each.observable_id == wanted]


def series_of_runs(db: Readable, run_ids: Sequence[int]) -> Mapping[int, list[Series]]:
    """The series of these runs that have samples, in display order, by the id of the run."""
    last = "FROM sample_rows WHERE series_id = its.id ORDER BY sampled_us DESC, seq DESC LIMIT 1"
    rows = db.execute(
        "SELECT its.run_id, its.id, its.observable_id, name, units, "  # noqa: S608 - constants
        "(SELECT min(sampled_us) FROM sample_rows WHERE series_id = its.id) AS first, "
        f"(SELECT sampled_us {last}), (SELECT seq {last}), "
        "(SELECT samples FROM measurements WHERE run_id = its.run_id AND observable_id = its.observable_id) "
        "FROM sample_series AS its JOIN observables ON observables.id = observable_id "
        "WHERE its.run_id IN (SELECT value FROM json_each(?)) AND first IS NOT NULL "
        "ORDER BY its.run_id, display_order, name, its.id",
        [json.dumps(run_ids)],
    ).fetchall()
    found: dict[int, list[Series]] = defaultdict(list)
    for run_id, series_id, observable_id, name, units, first, last_us, last_seq, counted in rows:
        found[run_id].append(Series(series_id, observable_id, name, units, (first, 0), (last_us, last_seq), counted))
    return found


def sample_pages(db: Readable, series: Iterable[Series]) -> Iterator[SamplesPage]:
    """Read samples with one short transaction for each page.

    SQLite's rows become columns with one `zip`: that is all that Python does for each of them.
    """
    alarms: list[tuple[int, str]] = []
    for each in series:
        after = (each.first[0], each.first[1] - 1)
        while True:
            rows = db.execute(
                "SELECT sampled_us, seq, value, alarm_id FROM sample_rows WHERE series_id = ? "
                "AND (sampled_us, seq) > (?, ?) AND (sampled_us, seq) <= (?, ?) ORDER BY sampled_us, seq LIMIT ?",
                (each.id, *after, *each.last, PAGE),
            ).fetchall()
            if not rows:
                break
            sampled_us, _, values, alarm_ids = zip(*rows, strict=True)
            if max(alarm_ids) >= len(alarms):
                alarms = _alarms(db)
            yield SamplesPage(each, sampled_us, values, alarm_ids, alarms)
            if len(rows) < PAGE:
                break
            after = rows[-1][:2]


def _alarms(db: Readable) -> list[tuple[int, str]]:
    """Severity and status by the id of the alarm."""
    known = {row[0]: (row[1], row[2]) for row in db.execute("SELECT id, severity, status FROM alarms").fetchall()}
    return [known.get(number, (0, "")) for number in range(max(known, default=0) + 1)]
