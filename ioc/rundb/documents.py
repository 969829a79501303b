# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The transactions of the run database, one function each; all take an open transaction of the writer."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from ioc.rundb.times import from_text, optional_seconds, optional_text, to_text
from ioc.topology.schema import Observable


@dataclass(frozen=True)
class Measurement:
    """What one observable did in one run (table ``measurements``)."""

    observable: str
    begin_value: Scalar | None
    end_value: Scalar | None
    statistics: Statistics


_RUN_COLUMNS = (
    "SELECT experiments.name AS experiment, run_number, run_class, title, state, reserved_at, started_at, stopped_at, "
    "config_name, message FROM runs JOIN experiments ON experiments.id = runs.experiment_id "
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


def reserve_run(db: Database, experiment: str, title: str, run_class: RunClass, config_name: str) -> RunRecord:
    owner = experiment_id(db, experiment)
    number = db.execute("SELECT coalesce(max(run_number) + 1, 0) FROM runs WHERE experiment_id = ?", (owner,))
    record = RunRecord(
        run=RunId(experiment, int(number.fetchone()[0])),
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


def save_run(db: Database, record: RunRecord, changed: Collection[str]) -> None:
    """Store the fields of a run that are named in `changed`."""
    columns = {
        "state": record.state.value,
        "run_class": record.run_class.name,
        "title": storable(record.title),
        "reserved_at": to_text(record.reserved_at),
        "started_at": optional_text(record.started_at),
        "stopped_at": optional_text(record.stopped_at),
        "config_name": storable(record.config_name),
        "message": storable(record.message),
    }
    values = {name: value for name, value in columns.items() if name in changed}
    if record.started_at is not None and record.stopped_at is not None:
        # The wall clock may have been set back meanwhile.
        values["duration"] = max(0.0, record.stopped_at - record.started_at)
    if not values:
        return
    assignments = ", ".join(f"{name} = ?" for name in values)
    cursor = db.execute(
        f"UPDATE runs SET {assignments} WHERE run_number = ? "  # noqa: S608 - the names are those above
        "AND experiment_id = (SELECT id FROM experiments WHERE name = ?)",
        (*values.values(), record.run.number, record.run.experiment),
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
        "INSERT INTO files (run_id, router, host, path, bytes, moved_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, host, path) DO UPDATE SET bytes = excluded.bytes",
        (run_id, file.router, file.host, storable(file.path), file.size, to_text(file.moved_at)),
    )


class SavedSetting(NamedTuple):
    """The text of a setting, and when it was saved, in POSIX seconds."""

    value: str
    saved_at: float


def load_saved_settings(db: Database) -> dict[str, SavedSetting]:
    rows = db.execute("SELECT name, value, saved_at FROM settings")
    return {name: SavedSetting(value, from_text(saved_at)) for name, value, saved_at in rows}


def save_setting(db: Database, name: str, value: str) -> None:
    db.execute(
        "INSERT INTO settings (name, value, saved_at) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, saved_at = excluded.saved_at",
        (name, storable(value), to_text(time.time())),
    )


def define_observables(db: Database, experiment: str, observables: Sequence[Observable]) -> None:
    """Insert, update and retire; make the run sheet again if that changed its columns."""
    owner = experiment_id(db, experiment)
    execute_rows(
        db,
        "INSERT INTO observables "
        "(experiment_id, name, label, units, value_type, comment, display_order, source_pv) "
        "VALUES {rows} ON CONFLICT (experiment_id, name) DO UPDATE SET label = excluded.label, "
        "units = excluded.units, value_type = excluded.value_type, comment = excluded.comment, "
        "display_order = excluded.display_order, source_pv = excluded.source_pv, retired_at = NULL",
        [
            (owner, each.name, each.label, each.units, each.type.value, each.comment, order, each.pv)
            for order, each in enumerate(observables)
        ],
    )
    present = {each.name for each in observables}
    known = db.execute("SELECT name FROM observables WHERE experiment_id = ? AND retired_at IS NULL", (owner,))
    for (name,) in known.fetchall():
        if name not in present:
            db.execute(
                "UPDATE observables SET retired_at = ? WHERE experiment_id = ? AND name = ?",
                (to_text(time.time()), owner, name),
            )
    rebuild_run_sheet(db)


def save_measurements(db: Database, run_id: int | None, measurements: Sequence[tuple[int, Measurement]]) -> None:
    """Store the measurements of a run, each with the id of its observable."""
    execute_rows(
        db,
        "INSERT OR REPLACE INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, "
        "mean, samples, worst_severity, disconnected_seconds) VALUES {rows}",
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
            )
            for observable_id, each in measurements
        ],
    )


def load_measurements(db: Database, run_id: int | None) -> tuple[Measurement, ...]:
    rows = db.query(
        "SELECT name, begin_value, end_value, minimum, maximum, mean, samples, worst_severity, disconnected_seconds "
        "FROM measurements JOIN observables ON observables.id = observable_id WHERE run_id = ? ORDER BY display_order",
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
        )
        for row in rows
    )
