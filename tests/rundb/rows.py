"""Readings, events and SQL for the tests of the run database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ioc.model import DocumentState, Event, Reading, RunId, RunRecord, Scalar, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.times import to_text
from ioc.topology.schema import Observable

PRESSURE = Observable(name="pressure", label="Gas pressure", pv="GAS:P", units="Torr")
GAS = Observable.model_validate({"name": "target_gas", "type": "string"})


def reading(value: Scalar | None, at: float | None = None, name: str = "pressure", label: str = "") -> Reading:
    """A sample without alarm, or a gap if `value` is None."""
    when = time.time() if at is None else at
    if value is None:
        return Reading(name, None, Severity.INVALID, "disconnected", when)
    return Reading(name, value, Severity.NO_ALARM, "NO_ALARM", when, label)


def event(message: str, run: RunId | None = None) -> Event:
    return Event(time.time(), Severity.NO_ALARM, "Test", message, run)


def rows(path: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What another program reads from the file now."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def execute(path: Path, sql: str) -> None:
    """What another program writes into the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


async def complete_run(store: SqliteRunStore, database: Path, record: RunRecord, began: float, seconds: float) -> None:
    """Let a run be complete, as if its number had been taken at `began`."""
    state = DocumentState.Complete
    await store.save_run(replace(record, state=state, started_at=began, stopped_at=began + seconds))
    await store.flush()
    execute(database, f"UPDATE runs SET reserved_at = '{to_text(began)}' WHERE id = (SELECT max(id) FROM runs)")


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another program keeps the file locked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
