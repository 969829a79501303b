# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The transactions of the run database, one function each; all take an open transaction of the writer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlite_utils import Database

from ioc.model import (
    DocumentState,
    FiledFile,
    RunClass,
    RunConfig,
    RunId,
    RunRecord,
    Scalar,
    Severity,
    Statistics,
)
from ioc.ports import FINISHED
from ioc.rundb.many_rows import execute_rows
from ioc.rundb.rows import UnknownRowError, storable
from ioc.rundb.run_sheet import rebuild_run_sheet
from ioc.rundb.times import (
    from_text,
    optional_microseconds,
    optional_seconds,
    optional_text,
    optional_time,
    to_text,
)

if TYPE_CHECKING:
    from ioc.topology.schema import Observable


@dataclass(frozen=True)
class Measurement:
    """What one observable did in one run (table ``measurements``)."""

    observable: str
    begin_value: Scalar | None
    end_value: Scalar | None
    statistics: Statistics
    observable_id: int | None = None
    """Which of those of this name, if there were several; None for the one that is not retired."""
    mean_seconds: float | None = None
    """How long the values lasted of which the mean is."""
    measured_at: float | None = None
    """Until when this counts, POSIX seconds. None: it cannot be continued, as a row of an older program."""
    last_sample: tuple[int, int] | None = None
    """The latest sample that is counted, gaps included: microseconds since 1970, and its number among those with that
    time stamp. None without any."""


_RUN_COLUMNS = (
    "SELECT experiments.name AS experiment, run_number, run_class, title, state, reserved_at, started_at, stopped_at, "
    "config_name, message, duration, bytes FROM runs JOIN experiments ON experiments.id = runs.experiment_id "
)


def run_record(row: Mapping[str, Any]) -> RunRecord:
    """The record of a row of `runs` with its experiment's name."""
    return RunRecord(
        run=RunId(row["experiment"], row["run_number"]),
        state=DocumentState(row["state"]),
        run_class=RunClass[row["run_class"]],
        title=row["title"],
        reserved_at=from_text(row["reserved_at"]),
        started_at=optional_seconds(row["started_at"]),
        stopped_at=optional_seconds(row["stopped_at"]),
        config_name=row["config_name"],
        message=row["message"],
        duration=row["duration"],
        size=row["bytes"],
    )


def experiment_id(db: Database, name: str) -> int:
    """Id of an experiment, which is made if there is none."""
    db.execute("INSERT OR IGNORE INTO experiments (name, created_at) VALUES (?, ?)", (name, to_text(time.time())))
    return int(db.execute("SELECT id FROM experiments WHERE name = ?", (name,)).fetchone()[0])


def last_run(db: Database, experiment: str) -> RunRecord | None:
    rows = db.query(
        _RUN_COLUMNS + "WHERE runs.experiment_id = ? ORDER BY run_number DESC LIMIT 1", (experiment_id(db, experiment),)
    )
    return next(map(run_record, rows), None)


def get_run(db: Database, run: RunId) -> RunRecord | None:
    rows = db.query(
        _RUN_COLUMNS + "WHERE runs.experiment_id = ? AND run_number = ?",
        (experiment_id(db, run.experiment), run.number),
    )
    return next(map(run_record, rows), None)


def unfinished_runs(db: Database) -> tuple[RunRecord, ...]:
    open_states = [state.value for state in DocumentState if state not in FINISHED]
    marks = ", ".join("?" * len(open_states))
    return tuple(map(run_record, db.query(f"{_RUN_COLUMNS} WHERE state IN ({marks}) ORDER BY runs.id", open_states)))


def reserve_run(
    db: Database, experiment: str, title: str, run_class: RunClass, config_name: str, *, at_least: int = 0
) -> RunRecord:
    owner = experiment_id(db, experiment)
    number = db.execute("SELECT coalesce(max(run_number) + 1, 0) FROM runs WHERE experiment_id = ?", (owner,))
    record = RunRecord(
        run=RunId(experiment, max(at_least, int(number.fetchone()[0]))),
        state=DocumentState.Starting,
        run_class=run_class,
        title=title,
        reserved_at=time.time(),
        config_name=config_name,
    )
    db.execute(
        "INSERT INTO runs (experiment_id, run_number, run_class, title, state, reserved_at, config_name) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            owner,
            record.run.number,
            run_class.name,
            storable(title),
            record.state.value,
            to_text(record.reserved_at),
            storable(config_name),
        ),
    )
    return record


def save_run(db: Database, record: RunRecord) -> None:
    """Store every field of a run but its size, which `add_file` adds up."""
    duration, stopped_at = record.duration, record.stopped_at
    if record.started_at is not None and stopped_at is not None:
        stopped_at = max(record.started_at, stopped_at)  # the clock may have been set back meanwhile
        duration = stopped_at - record.started_at if duration is None else duration
    cursor = db.execute(
        "UPDATE runs SET state = ?, run_class = ?, title = ?, reserved_at = ?, started_at = ?, stopped_at = ?, "
        "duration = ?, config_name = ?, message = ? "
        "WHERE run_number = ? AND experiment_id = (SELECT id FROM experiments WHERE name = ?)",
        (
            record.state.value,
            record.run_class.name,
            storable(record.title),
            to_text(record.reserved_at),
            optional_text(record.started_at),
            optional_text(stopped_at),
            duration,
            storable(record.config_name),
            storable(record.message),
            record.run.number,
            record.run.experiment,
        ),
    )
    if cursor.rowcount != 1:
        raise UnknownRowError(f"{record.run} of experiment {record.run.experiment} is not in the run database")


def save_run_configs(db: Database, run_id: int | None, configs: Sequence[RunConfig]) -> None:
    for each in configs:
        db.execute(
            "INSERT OR REPLACE INTO run_configs "
            "(run_id, ecc_server, describe, prepare, configure, config_digest, file_digests) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                run_id,
                each.ecc_server,
                each.config.describe,
                each.config.prepare,
                each.config.configure,
                each.config_digest,
                each.file_digests,
            ),
        )


def add_file(db: Database, run_id: int | None, file: FiledFile) -> None:
    db.execute(
        "INSERT INTO files (run_id, router, host, path, bytes, moved_at, source) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, host, path) DO UPDATE SET bytes = excluded.bytes, "
        "source = CASE WHEN excluded.source <> '' THEN excluded.source ELSE source END",
        (
            run_id,
            file.router,
            file.host,
            storable(file.path),
            file.size,
            to_text(file.moved_at),
            storable(file.source),
        ),
    )
    db.execute(
        "UPDATE runs SET bytes = (SELECT sum(files.bytes) FROM files WHERE files.run_id = runs.id) WHERE id = ?",
        (run_id,),
    )


HEARTBEAT = "heartbeat"
"""The setting that is written where nothing else is; it is nobody's, and only its time says something."""


class SavedSetting(NamedTuple):
    """The text of a setting, and when it was saved, in POSIX seconds."""

    value: str
    saved_at: float


def load_saved_settings(db: Database) -> dict[str, SavedSetting]:
    rows = db.execute("SELECT name, value, saved_at FROM settings WHERE name <> ?", (HEARTBEAT,))
    return {name: SavedSetting(value, from_text(saved_at)) for name, value, saved_at in rows}


def save_settings(db: Database, settings: Mapping[str, str]) -> None:
    now = to_text(time.time())
    db.conn.executemany(
        "INSERT INTO settings (name, value, saved_at) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, saved_at = excluded.saved_at",
        [(name, storable(value), now) for name, value in settings.items()],
    )


def define_observables(db: Database, experiment: str, observables: Sequence[Observable]) -> dict[str, int]:
    """Make these the observables of an experiment, in this order, and return their ids by name.

    Those that are gone are retired. One whose type, units or source has changed is another one from now on: what runs
    have of the one before stays as it was. The run sheet is made again if its columns have changed.
    """
    owner = experiment_id(db, experiment)
    now = to_text(time.time())
    before = {_identity(row): row for row in db.query(_OBSERVABLES, (owner,))}
    ids: dict[str, int] = {}
    wanted = {(each.name, each.units, each.type.value, each.pv) for each in observables}
    gone = [row["id"] for identity, row in before.items() if row["retired_at"] is None and identity not in wanted]
    db.conn.executemany("UPDATE observables SET retired_at = ? WHERE id = ?", [(now, each) for each in gone])
    for order, each in enumerate(observables):
        known = before.get((each.name, each.units, each.type.value, each.pv))
        if known is None:
            row = db.execute(
                "INSERT INTO observables (experiment_id, name, label, units, value_type, comment, display_order, "
                "source_pv) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (owner, each.name, each.label, each.units, each.type.value, each.comment, order, each.pv),
            ).fetchone()
            ids[each.name] = row[0]
            continue
        ids[each.name] = known["id"]
        if (known["label"], known["comment"], known["display_order"], known["retired_at"]) != (
            each.label,
            each.comment,
            order,
            None,
        ):
            db.execute(
                "UPDATE observables SET label = ?, comment = ?, display_order = ?, retired_at = NULL WHERE id = ?",
                (each.label, each.comment, order, known["id"]),
            )
    rebuild_run_sheet(db)
    return ids


_OBSERVABLES = "SELECT * FROM observables WHERE experiment_id = ? ORDER BY id"


def _identity(row: Mapping[str, Any]) -> tuple[str, str, str, str | None]:
    """What makes it this observable and no other of its experiment."""
    return row["name"], row["units"], row["value_type"], row["source_pv"]


def save_measurements(db: Database, run_id: int | None, measurements: Sequence[tuple[int, Measurement]]) -> None:
    """Store or replace what observables did in a run, each with its observable's id."""
    execute_rows(
        db,
        "INSERT OR REPLACE INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, "
        "mean, samples, worst_severity, disconnected_seconds, mean_seconds, measured_us, last_sampled_us, "
        "last_seq) "
        "VALUES {rows}",
        [
            (
                run_id,
                observable_id,
                storable(each.begin_value),
                storable(each.end_value),
                each.statistics.minimum,
                each.statistics.maximum,
                each.statistics.mean,
                each.statistics.samples,
                int(each.statistics.worst_severity),
                each.statistics.disconnected_seconds,
                each.mean_seconds,
                optional_microseconds(each.measured_at),
                *(each.last_sample or (None, None)),
            )
            for observable_id, each in measurements
        ],
    )


def load_measurements(db: Database, run_id: int | None) -> tuple[Measurement, ...]:
    rows = db.query(
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
