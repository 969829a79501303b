# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Queries of the command line, with or without a running IOC."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ioc.errors import Refused
from ioc.model import DocumentState, chosen_experiment
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_reading, peer_error
from ioc.rundb.dataset import SamplesPage, sample_pages, series_of_run
from ioc.rundb.dict_rows import Readable, dict_rows
from ioc.rundb.run_sheet import observable_column
from ioc.rundb.selection import Selection
from ioc.rundb.sheet_lines import Line, LineMaker, SheetColumn
from ioc.rundb.times import microseconds_to_text, read_time, to_microseconds

Row = Mapping[str, Any]

CONFIG_FILE = re.compile(r"(\S.*?)=([0-9a-f]+)(?: |$)")
"""A file name in `file_digests`, which may contain spaces, with its digest."""
_RUNS_AT_ONCE = 500

_IN_USE = "retired_at IS NULL OR EXISTS (SELECT 1 FROM measurements WHERE observable_id = observables.id)"


@dataclass(frozen=True)
class RunPage:
    """All rows about one run."""

    run: Row
    configs: Sequence[Row]
    measurements: Sequence[Row]
    intervals: Sequence[Row]
    files: Sequence[Row]
    events: Sequence[Row]


@dataclass(frozen=True)
class SheetObservable:
    """An observable as defined at some time."""

    id: int
    name: str
    units: str
    value_type: str
    pv: str | None
    """Its source PV; None if the shift enters its value."""

    @property
    def manual(self) -> bool:
        return self.pv is None


def began_at(run: Row) -> float:
    """When a run began, or else when its number was reserved, in POSIX seconds; 0 if neither column has a time."""
    return next((time for name in ("started_at", "reserved_at") if (time := read_time(run[name])) is not None), 0.0)


class RunBook:
    """The runs of one experiment, read-only; a context manager that closes the database and converts its errors."""

    def __init__(
        self, path: Path, experiment: str | None, topology: str | None = None, *, busy_seconds: float = 5.0
    ) -> None:
        """Open the database. `experiment` None: the IOC's current one, where `topology` is the one in its topology.

        Raises:
            PeerError: the database cannot be read.
            Refused: there is no such experiment, or none at all.
        """
        self.path = path
        self._db = open_for_reading(path, busy_seconds=busy_seconds)
        try:
            self._experiment_id, self.experiment = find_experiment(self._db, path, experiment, topology)
        except BaseException as error:
            self.__exit__(None, error, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise peer_error(self.path, error) from error

    def runs(self, quality: str | None = None) -> Sequence[Row]:
        """Rows of `runs` by number; only those of one quality, if given."""
        where, values = ("experiment_id = ?", [self._experiment_id])
        if quality is not None:
            where, values = f"{where} AND quality = ?", [*values, quality]
        return list(dict_rows(self._db, f"SELECT * FROM runs WHERE {where} ORDER BY run_number", values))  # noqa: S608

    def run(self, number: int) -> Row:
        """One row of `runs`.

        Raises:
            Refused: there is no such run.
        """
        return find_run(self._db, self._experiment_id, self.experiment, number)

    def page(self, number: int) -> RunPage:
        """Return everything about one run.

        Raises:
            Refused: there is no such run.
        """
        run = self.run(number)

        def of_run(table: str, order: str) -> Sequence[Row]:
            return list(dict_rows(self._db, f"SELECT * FROM {table} WHERE run_id = ? ORDER BY {order}", [run["id"]]))  # noqa: S608

        measurements = dict_rows(
            self._db,
            "SELECT name, units, value_type, source_pv, measurements.* FROM measurements "
            "JOIN observables ON observables.id = observable_id WHERE run_id = ? ORDER BY display_order, name",
            [run["id"]],
        )
        return RunPage(
            run=run,
            configs=of_run("run_configs", "length(ecc_server), ecc_server"),
            measurements=list(measurements),
            intervals=of_run("run_intervals", "began_at, interlock"),
            files=of_run("files", "length(router), router, path"),
            events=of_run("events", "occurred_at, id"),
        )

    def files(self, number: int) -> tuple[Sequence[Row], frozenset[str]]:
        """The files of a run that were not purged, and the names of the configuration files that were copied with it.

        Raises:
            Refused: there is no such run.
        """
        run_id = self.run(number)["id"]
        files = dict_rows(
            self._db, "SELECT * FROM files WHERE run_id = ? AND purged_at IS NULL ORDER BY host, path", [run_id]
        )
        configs = self._db.execute("SELECT file_digests FROM run_configs WHERE run_id = ?", [run_id])
        return list(files), frozenset(name for (text,) in configs for name, _ in CONFIG_FILE.findall(text))

    def check(self, selection: Selection) -> None:
        """Check that a selection can be exported, before anything is written.

        Raises:
            Refused: there is no such run or observable.
        """
        for number in selection.numbers:
            self.run(number)
        self._check_names(selection.observables)

    def selected(self, selection: Selection) -> Iterator[Row]:
        """Yield the rows of `runs` of a selection by number; read as `lines`."""
        names = [row[1] for row in self._db.execute("PRAGMA table_info(runs)")]
        return (dict(zip(names, line, strict=True)) for line in self.lines(selection, names))

    def lines(self, selection: Selection, names: Sequence[str]) -> Iterator[Line]:
        """Yield these columns of the runs of a selection by number, which must be one of them.

        They are read in portions: a reader that is slow keeps no transaction open.
        """
        condition, values = selection.condition()
        sql = (
            f"SELECT {', '.join(names)} FROM runs "  # noqa: S608 - ours
            f"WHERE experiment_id = ? AND run_number > ? AND {condition} ORDER BY run_number LIMIT {_RUNS_AT_ONCE}"
        )
        last, number = -1, names.index("run_number")
        while rows := self._db.execute(sql, [self._experiment_id, last, *values]).fetchall():
            yield from rows
            last = rows[-1][number]

    def columns(self, observables: Sequence[str] = ()) -> tuple[SheetColumn, ...]:
        """Columns of the run sheet in display order; retired ones last, and only if they were ever measured.

        If `observables` is not empty, only these, in its order.
        """
        found: dict[tuple[str, str], list[SheetObservable]] = {}
        for each in self._observables(_IN_USE):
            found.setdefault((each.name, each.units), []).append(each)
        columns: dict[str, SheetColumn] = {}
        for (name, units), its in found.items():
            heading = observable_column(name)
            heading = heading if heading not in columns else f"{heading} [{units}]"
            columns[heading] = SheetColumn(heading, name, units, its[0].value_type, tuple(each.id for each in its))
        if not observables:
            return tuple(columns.values())
        chosen = [each for each in columns.values() if each.name in observables]
        return tuple(sorted(chosen, key=lambda each: observables.index(each.name)))

    def sheet(
        self,
        names: Sequence[str],
        columns: Sequence[SheetColumn],
        wanted: Sequence[tuple[int, str]],
        selection: Selection,
    ) -> Iterator[Line]:
        """Each run of a selection as a line: the columns of `runs` with these names, then the wanted statistics.

        Each of these is a place in `columns` with a name in `STATISTICS`.
        """
        maker = LineMaker(columns, wanted, len(names))
        for run_id, *run in self.lines(selection, ["id", *names]):
            yield maker.line(run, self._db.execute(maker.sql, [run_id]).fetchall())

    def with_fractions(self, columns: Sequence[SheetColumn]) -> frozenset[SheetColumn]:
        """The columns of whole numbers for which some run has another number: a source may return even infinity."""
        owners = {each: column for column in columns if column.value_type == "integer" for each in column.ids}
        found = self._db.execute(
            "SELECT DISTINCT observable_id FROM measurements WHERE observable_id IN (SELECT value FROM json_each(?)) "
            "AND 'real' IN (typeof(begin_value), typeof(end_value))",
            [json.dumps(list(owners))],
        )
        return frozenset(owners[each] for (each,) in found.fetchall())

    def definitions(self, number: int) -> dict[str, SheetObservable]:
        """The observables by name: those measured in a run as defined then, the others as defined now.

        Raises:
            Refused: there is no such run.
        """
        then = self._observables(
            "id IN (SELECT observable_id FROM measurements WHERE run_id = ?)", self.run(number)["id"]
        )
        now = self._observables("retired_at IS NULL")
        return {each.name: each for each in (*now, *reversed(then))}

    def samples(self, number: int, observables: Sequence[SheetObservable]) -> Iterator[Row]:
        """Yield the samples of these observables in a run, by observable and time.

        They are read in portions: a reader that is slow keeps no transaction open.

        Raises:
            Refused: there is no such run.
        """
        return _rows_of(self.sample_pages(number, observables), {each.id: each for each in observables})

    def sample_pages(self, number: int, observables: Sequence[SheetObservable]) -> Iterator[SamplesPage]:
        """Yield the same as `samples`, but as columns, in short transactions.

        Raises:
            Refused: there is no such run.
        """
        return sample_pages(
            self._db, series_of_run(self._db, self.run(number)["id"], [each.id for each in observables])
        )

    def sampled(self, number: int, observables: Sequence[str] = ()) -> Sequence[SheetObservable]:
        """The observables with samples in a run, in display order; if `observables` is not empty, only these, in its
        order.

        Raises:
            Refused: there is no such run or observable.
        """
        found = self._observables(
            "id IN (SELECT observable_id FROM sample_series WHERE run_id = ?)", self.run(number)["id"]
        )
        if not observables:
            return found
        self._check_names(observables)
        return sorted(
            (each for each in found if each.name in observables), key=lambda each: observables.index(each.name)
        )

    def count_samples(self, number: int, observables: Iterable[SheetObservable]) -> int:
        """Approximate number of samples of these observables in a run, without gaps and the newest samples.

        Raises:
            Refused: there is no such run.
        """
        count = self._db.execute(
            "SELECT ifnull(sum(samples), 0) FROM measurements "
            "WHERE run_id = ? AND observable_id IN (SELECT value FROM json_each(?))",
            [self.run(number)["id"], json.dumps([each.id for each in observables])],
        )
        return int(count.fetchone()[0])

    def kinds(self, number: int, observable: SheetObservable) -> frozenset[str]:
        """SQLite's types of the values of an observable in a run, such as `real`, `text` or, for a gap, `null`.

        Raises:
            Refused: there is no such run.
        """
        found = self._db.execute(
            "SELECT DISTINCT typeof(value) FROM samples WHERE observable_id = ? AND run_id = ?",
            [observable.id, self.run(number)["id"]],
        )
        return frozenset(each for (each,) in found)

    def longest_status(self) -> int:
        """Bytes of the longest alarm status that has occurred, in UTF-8."""
        return int(self._db.execute("SELECT max(length(CAST(status AS BLOB))) FROM alarms").fetchone()[0])

    def _check_names(self, observables: Sequence[str]) -> None:
        known = {each.name for each in self._observables("TRUE")} if observables else set[str]()
        for name in observables:
            if name not in known:
                raise Refused(f"experiment {self.experiment} has no observable {name}")

    def span(self, number: int) -> tuple[float, float]:
        """When a run began (with its first sample) and ended (now, if it is open), in POSIX seconds.

        Time stamps from before the reservation, from sources whose clock is behind, are ignored.

        Raises:
            Refused: there is no such run.
        """
        run = self.run(number)
        reserved_us = to_microseconds(read_time(run["reserved_at"]) or 0.0)
        first_us = self._db.execute(
            "SELECT min((SELECT min(sampled_us) FROM sample_rows "
            "WHERE series_id = sample_series.id AND sampled_us >= ?)) FROM sample_series WHERE run_id = ?",
            [reserved_us, run["id"]],
        ).fetchone()[0]
        began = (reserved_us if first_us is None else first_us) / 1e6
        if DocumentState(run["state"]) not in FINISHED and run["stopped_at"] is None:
            return began, max(began, time.time())
        last = "SELECT max(occurred_at) FROM events WHERE run_id = ?"
        ended = read_time(run["stopped_at"] or self._db.execute(last, [run["id"]]).fetchone()[0])
        return began, began if ended is None else max(began, ended)

    def _observables(self, condition: str, *parameters: Any) -> list[SheetObservable]:
        """The experiment's observables that meet a condition, in display order, retired ones last."""
        rows = self._db.execute(
            "SELECT id, name, units, value_type, source_pv FROM observables "  # noqa: S608 - ours
            f"WHERE experiment_id = ? AND ({condition}) ORDER BY retired_at IS NOT NULL, display_order, name, id",
            [self._experiment_id, *parameters],
        )
        return [SheetObservable(*row) for row in rows]


def _rows_of(pages: Iterable[SamplesPage], observables: Mapping[int, SheetObservable]) -> Iterator[Row]:
    for page in pages:
        its = observables[page.series.observable_id]
        for sampled_us, value, alarm in zip(page.sampled_us, page.values, page.alarms, strict=True):
            severity, status = page.alarm_names[alarm]
            yield {
                "name": its.name,
                "units": its.units,
                "value_type": its.value_type,
                "sampled_at": microseconds_to_text(sampled_us),
                "sampled_us": sampled_us,
                "value": value,
                "severity": severity,
                "status": status,
            }


def find_experiment(db: Readable, path: Path, name: str | None, topology: str | None) -> tuple[int, str]:
    """Id and name of experiment `name`; for None, of the IOC's current one, else of that of the newest run.

    `topology` is the experiment in the IOC's topology, None if it is not known.

    Raises:
        Refused: there is no such experiment, or none at all.
    """
    ids: dict[str, int] = dict(db.execute("SELECT name, id FROM experiments ORDER BY id").fetchall())
    if not ids:
        raise Refused(f"the run database {path} has no experiment yet: the IOC creates the first one")
    if name is None:
        newest = "SELECT name FROM runs JOIN experiments ON experiments.id = experiment_id "
        of_newest = db.execute(f"{newest} ORDER BY runs.id DESC LIMIT 1").fetchone() or list(ids)[-1:]
        name = next(each for each in (_set_by_pv(db, topology), topology, *of_newest) if each in ids)
    if name not in ids:
        raise Refused(f"experiment {name} is not in the run database {path}: it has {', '.join(ids)}")
    return ids[name], name


def _set_by_pv(db: Readable, topology: str | None) -> str | None:
    """The experiment set with the PV `Experiment`; None if it was never set or is no longer in use.

    The IOC forgets it when the experiment in its topology changes; without the topology, a newer run of another
    experiment shows that.
    """
    rows = dict_rows(db, "SELECT * FROM settings WHERE name IN ('experiment', 'experiment_default')")
    kept = {row["name"]: row for row in rows}
    if topology is not None:
        return chosen_experiment({name: row["value"] for name, row in kept.items()}, topology)
    newest = db.execute("SELECT max(reserved_at) FROM runs").fetchone()[0]
    chosen = kept.get("experiment")
    return chosen["value"] if chosen and (newest is None or newest < chosen["saved_at"]) else None


def find_run(db: Readable, experiment_id: int, experiment: str, number: int) -> Row:
    """The row of a run.

    Raises:
        Refused: there is no such run.
    """
    rows = dict_rows(db, "SELECT * FROM runs WHERE experiment_id = ? AND run_number = ?", [experiment_id, number])
    if (row := next(rows, None)) is not None:
        return row
    last = db.execute("SELECT max(run_number) FROM runs WHERE experiment_id = ?", [experiment_id]).fetchone()[0]
    present = "it has no runs yet" if last is None else f"its last one is run {last}"
    raise Refused(f"run {number} is not in experiment {experiment}: {present}")
