# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The transactions of the run database, one function each.

Each is called inside an open transaction of the writer, which commits it. sqlite-utils writes the rows: a table is
named, a row is a dictionary of its columns.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ioc.model import (
    DocumentState,
    FiledFile,
    RunClass,
    RunConfig,
    RunId,
    RunQuality,
    RunRecord,
    Scalar,
    Severity,
    Statistics,
)
from ioc.rundb.dict_rows import Readable, dict_rows
from ioc.rundb.formats import as_text
from ioc.rundb.intervals import conclude
from ioc.rundb.rows import UnknownRowError, execute_rows, pieces, storable
from ioc.rundb.run_sheet import rebuild_run_sheet
from ioc.rundb.times import from_text, optional, optional_time, read_time, to_microseconds, to_text

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ioc.topology.schema import Observable


@dataclass(frozen=True)
class Measurement:
    """The statistics of one observable in one run (table ``measurements``)."""

    observable: str
    begin_value: Scalar | None
    end_value: Scalar | None
    statistics: Statistics
    observable_id: int | None = None
    """Which definition, if there were several with this name; None for the one that is not retired."""
    mean_seconds: float | None = None
    """Total duration of the values in the mean."""
    measured_at: float | None = None
    """End of the statistics, POSIX seconds. None for a row of an older version: it cannot be continued."""
    last_sample: tuple[int, int] | None = None
    """The latest sample or gap included: microseconds since 1970, and its number with that time stamp."""


def _row(**columns: Scalar | None) -> dict[str, Scalar | None]:
    """The row with values that SQLite can store."""
    return {name: storable(value) for name, value in columns.items()}


def experiment_id(db: Database, name: str) -> int:
    """Id of an experiment, which is created if it does not exist; only for functions that write."""
    return cast("int", db.table("experiments").lookup({"name": name}, {"created_at": to_text(time.time())}))


OPEN = "runs.state NOT IN ('complete', 'failed', 'orphaned')"
"""SQL: a run is open. SQLite takes the index of open runs only with its condition, word for word."""
_RUNS = "SELECT runs.*, experiments.name AS experiment FROM runs JOIN experiments ON experiments.id = experiment_id "
_ONE_RUN = _RUNS + "WHERE experiments.name = ? AND run_number = ?"


def _run_record(row: Mapping[str, Any]) -> RunRecord:
    """A run. SQLite stores any value in any column: one that another program wrote must not stop the IOC."""
    duration = row["duration"]
    return RunRecord(
        run=RunId(row["experiment"], row["run_number"]),
        state=DocumentState(row["state"]),
        run_class=RunClass.__members__.get(row["run_class"], RunClass.Testing),
        title=as_text(row["title"]),
        reserved_at=read_time(row["reserved_at"]) or 0.0,
        started_at=read_time(row["started_at"]),
        stopped_at=read_time(row["stopped_at"]),
        config_name=as_text(row["config_name"]),
        message=as_text(row["message"]),
        duration=duration if isinstance(duration, int | float) else None,
        size=row["bytes"],
        comment=as_text(row["comment"]),
        quality=RunQuality[row["quality"]],
    )


def last_run(db: Readable, experiment: str) -> RunRecord | None:
    """The run with the highest number; None if the experiment is not known or has no runs."""
    return next(iter(last_runs(db, experiment, 1)), None)


def last_runs(db: Readable, experiment: str, most: int) -> tuple[RunRecord, ...]:
    """The runs with the highest numbers, the highest first."""
    rows = dict_rows(db, _RUNS + "WHERE experiments.name = ? ORDER BY run_number DESC LIMIT ?", [experiment, most])
    return tuple(map(_run_record, rows))


def get_run(db: Readable, run: RunId) -> RunRecord | None:
    """The run; None if it is not known."""
    return next(map(_run_record, dict_rows(db, _ONE_RUN, [run.experiment, run.number])), None)


def unfinished_runs(db: Readable) -> tuple[RunRecord, ...]:
    """The open runs, in the order of their reservation."""
    return tuple(map(_run_record, dict_rows(db, f"{_RUNS} WHERE {OPEN} ORDER BY runs.id")))


def reserve_run(
    db: Database, experiment: str, title: str, run_class: RunClass, config_name: str, *, at_least: int = 0
) -> RunRecord:
    """Reserve the next run number of an experiment, or `at_least`."""
    last = last_run(db, experiment)
    record = RunRecord(
        run=RunId(experiment, max(at_least, 0 if last is None else last.run.number + 1)),
        state=DocumentState.Starting,
        run_class=run_class,
        title=title,
        reserved_at=time.time(),
        config_name=config_name,
    )
    insert_run(db, record)
    return record


def insert_run(db: Database, record: RunRecord, *, adopted_at: float | None = None) -> int:
    """Store a new run and return its id; `adopted_at` is None for a run of the IOC."""
    owner, columns = experiment_id(db, record.run.experiment), _run_columns(record)
    row = _row(experiment_id=owner, run_number=record.run.number, **columns, adopted_at=optional(to_text, adopted_at))
    return cast("int", db.table("runs").insert(row).last_pk)


def save_run(db: Database, record: RunRecord) -> None:
    """Store every field of a run except its size, which `add_files` computes, and its verdict (`save_verdict`).

    Raises:
        UnknownRowError: the run was never reserved.
    """
    row = next(dict_rows(db, _ONE_RUN, [record.run.experiment, record.run.number]), None)
    if row is None:
        raise UnknownRowError(f"{record.run} of experiment {record.run.experiment} is not in the run database")
    db.table("runs").update(row["id"], _row(**_run_columns(record)))
    if record.stopped_at is not None:
        conclude(db, row["id"])


def _run_columns(record: RunRecord) -> dict[str, Scalar | None]:
    duration, stopped_at = record.duration, record.stopped_at
    if record.started_at is not None and stopped_at is not None:
        stopped_at = max(record.started_at, stopped_at)  # the clock may have been set back
        duration = stopped_at - record.started_at if duration is None else duration
    return {
        "state": record.state.value,
        "run_class": record.run_class.name,
        "title": record.title,
        "reserved_at": to_text(record.reserved_at),
        "started_at": optional(to_text, record.started_at),
        "stopped_at": optional(to_text, stopped_at),
        "duration": duration,
        "config_name": record.config_name,
        "message": record.message,
    }


def save_verdict(db: Database, run_id: int | None, comment: str | None, quality: RunQuality | None) -> None:
    """Store comment and quality of a run; None leaves what is there."""
    wanted = {"comment": comment, "quality": None if quality is None else quality.name}
    db.table("runs").update(
        cast("int", run_id), _row(**{name: value for name, value in wanted.items() if value is not None})
    )


def save_run_configs(db: Database, run_id: int | None, configs: Sequence[RunConfig]) -> None:
    """Store the configurations of ECC servers in a run; a later call replaces the row of a server."""
    rows = [
        _row(
            run_id=run_id,
            ecc_server=each.ecc_server,
            **vars(each.config),
            config_digest=each.config_digest,
            file_digests=each.file_digests,
        )
        for each in configs
    ]
    db.table("run_configs").upsert_all(rows, pk=("run_id", "ecc_server"))


_ADD_FILES = """
INSERT INTO files (run_id, router, host, path, bytes, moved_at, source) VALUES {rows}
ON CONFLICT (run_id, host, path) DO UPDATE SET
    checksum = iif(bytes = excluded.bytes, checksum, ''),
    checksummed_at = iif(bytes = excluded.bytes, checksummed_at, NULL),
    bytes = excluded.bytes,
    source = iif(excluded.source = '', source, excluded.source)
"""


def add_files(db: Database, run_id: int | None, files: Iterable[FiledFile]) -> None:
    """Store filed files and the new size of their run.

    A known file keeps its time of moving; size and source get their latest known values. If its size has changed, its
    checksum was that of something else.
    """
    # sqlite-utils would ask for the columns of the table for each file.
    rows = [
        tuple(
            map(storable, (run_id, file.router, file.host, file.path, file.size, to_text(file.moved_at), file.source))
        )
        for file in files
    ]
    for piece in pieces(rows):
        execute_rows(db, _ADD_FILES, piece)
    db.execute("UPDATE runs SET bytes = (SELECT sum(bytes) FROM files WHERE run_id = runs.id) WHERE id = ?", [run_id])


HEARTBEAT = "heartbeat"
"""The setting that the writer saves when it has nothing else to write; only its time has a meaning."""


class SavedSetting(NamedTuple):
    """The text of a setting, and when it was saved, in POSIX seconds."""

    value: str
    saved_at: float


def load_saved_settings(db: Readable) -> dict[str, SavedSetting]:
    """All settings by name, without the heartbeat."""
    rows = dict_rows(db, "SELECT * FROM settings WHERE name <> ?", [HEARTBEAT])
    return {row["name"]: SavedSetting(row["value"], from_text(row["saved_at"])) for row in rows}


def save_settings(db: Database, settings: Mapping[str, str]) -> None:
    """Store these settings, all with the present time."""
    now = to_text(time.time())
    rows = [_row(name=name, value=value, saved_at=now) for name, value in settings.items()]
    db.table("settings").upsert_all(rows, pk="name")


_IDENTITY = ("name", "units", "value_type", "source_pv")
"""Identity of an observable within its experiment."""


def define_observables(db: Database, experiment: str, observables: Sequence[Observable]) -> dict[str, int]:
    """Make these the observables of an experiment, in this order, and return their ids by name.

    An observable that is not among them is retired. One whose type, units or source has changed gets a new row; earlier
    runs are unchanged. The run sheet is created again if an observable has changed: to compare it takes 10 ms in a
    database of 50 experiments, at each start of the IOC.
    """
    owner = experiment_id(db, experiment)
    table = db.table("observables")
    before = {_identity(row): row for row in table.rows_where("experiment_id = ?", [owner], order_by="id")}
    wanted = {_identity(row): row for row in _observable_rows(owner, observables)}
    now = to_text(time.time())
    retired = [
        row | {"retired_at": now} for key, row in before.items() if row["retired_at"] is None and key not in wanted
    ]
    known = [before[key] | row for key, row in wanted.items() if key in before]
    changed = [row for row in known if row != before[_identity(row)]]
    new = [row for key, row in wanted.items() if key not in before]
    table.upsert_all([*retired, *changed], pk="id")  # retired ones first, to free their names
    table.insert_all(new)
    if retired or changed or new or "run_sheet" not in db.view_names():
        rebuild_run_sheet(db)
    rows = table.rows_where("experiment_id = ? AND retired_at IS NULL", [owner], order_by="display_order")
    return {row["name"]: row["id"] for row in rows}


def _observable_rows(experiment_id: int, observables: Sequence[Observable]) -> list[dict[str, Scalar | None]]:
    return [
        _row(
            experiment_id=experiment_id,
            name=each.name,
            label=each.label,
            units=each.units,
            value_type=each.type.value,
            comment=each.comment,
            display_order=order,
            source_pv=each.pv,
            retired_at=None,
        )
        for order, each in enumerate(observables)
    ]


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in _IDENTITY)


def save_measurements(db: Database, run_id: int | None, measurements: Sequence[tuple[int, Measurement]]) -> None:
    """Store or replace the statistics of observables in a run, each with its observable's id."""
    rows = [
        _row(
            run_id=run_id,
            observable_id=observable_id,
            begin_value=each.begin_value,
            end_value=each.end_value,
            **vars(each.statistics),
            mean_seconds=each.mean_seconds,
            measured_us=optional(to_microseconds, each.measured_at),
            last_sampled_us=each.last_sample[0] if each.last_sample else None,
            last_seq=each.last_sample[1] if each.last_sample else None,
        )
        for observable_id, each in measurements
    ]
    db.table("measurements").upsert_all(rows, pk=("run_id", "observable_id"))
    conclude(db, run_id)


def load_measurements(db: Readable, run_id: int | None) -> tuple[Measurement, ...]:
    """The statistics of observables in a run, in display order, retired ones last."""
    rows = dict_rows(
        db,
        "SELECT name, measurements.* FROM measurements JOIN observables ON observables.id = observable_id "
        "WHERE run_id = ? ORDER BY retired_at NOT NULL, display_order",
        (run_id,),
    )
    return tuple(
        Measurement(
            observable=row["name"],
            begin_value=row["begin_value"],
            end_value=row["end_value"],
            statistics=Statistics(
                minimum=row["minimum"],
                maximum=row["maximum"],
                mean=row["mean"],
                samples=row["samples"],
                worst_severity=Severity(row["worst_severity"]),
                disconnected_seconds=row["disconnected_seconds"],
            ),
            observable_id=row["observable_id"],
            mean_seconds=row["mean_seconds"],
            measured_at=optional_time(row["measured_us"]),
            last_sample=None if row["last_sampled_us"] is None else (row["last_sampled_us"], row["last_seq"]),
        )
        for row in rows
    )
