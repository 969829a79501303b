# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Enters runs whose files were found, but which no IOC has recorded in this database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ioc.model import Client, DocumentState, FiledFile, RunClass, RunId, RunRecord, Severity
from ioc.rundb import documents
from ioc.rundb.connection import peer_error, reading
from ioc.rundb.dict_rows import Readable
from ioc.rundb.rows import storable
from ioc.rundb.session import Session
from ioc.rundb.times import to_text

if TYPE_CHECKING:
    from sqlite_utils import Database

_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class FoundRun:
    """A run as its files tell it."""

    run: RunId
    directories: tuple[str, ...]
    files: tuple[FiledFile, ...]
    seen_at: float
    """The earliest time that any of its files or directories has, POSIX seconds."""
    started_at: float | None
    stopped_at: float | None
    config_name: str

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def duration(self) -> float | None:
        if self.started_at is None or self.stopped_at is None:
            return None
        return self.stopped_at - self.started_at


def known_already(path: Path, found: Sequence[FoundRun]) -> list[str]:
    """Return a sentence for each run or file that the database has already; it need not exist.

    Raises:
        PeerError: the database cannot be read.
    """
    if not path.exists():
        return []
    with reading(path) as db:
        return list(_known(db, found))


def adopt(path: Path, found: Sequence[FoundRun], run_class: RunClass, client: Client) -> list[str]:
    """Enter all of these runs, or none, into the database, which is created if it does not exist.

    No IOC may use it meanwhile: it would continue with the number that it knows. Returns what `known_already` does: if
    that is not empty, nothing was entered.

    Raises:
        PeerError: the database cannot be written, or an IOC uses it.
    """
    session = Session(path)
    try:
        session.open(_PATIENCE_SECONDS)
        with session.transaction(_PATIENCE_SECONDS) as db:
            if not (known := list(_known(db, found))):
                now = time.time()
                for each in sorted(found, key=lambda each: each.run.number):
                    _enter(db, each, run_class, client, now)
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    finally:
        session.close()
    return known


def next_number(path: Path, experiment: str) -> int:
    """The number of the next run of an experiment; 0 without a database.

    Raises:
        PeerError: the database cannot be read.
    """
    if not path.exists():
        return 0
    with reading(path) as db:
        last = documents.last_run(db, experiment)
    return 0 if last is None else last.run.number + 1


def _known(db: Readable, found: Sequence[FoundRun]) -> Iterator[str]:
    for each in found:
        if (record := documents.get_run(db, each.run)) is not None:
            yield f"{each.run} of {each.run.experiment} is in the database already: it is {record.state.value}"
    rows = db.execute(
        "SELECT host, path, name, run_number FROM files "
        "JOIN runs ON runs.id = run_id JOIN experiments ON experiments.id = experiment_id"
    )
    owners = {(host, path): f"run {number} of {experiment}" for host, path, experiment, number in rows}
    for each in found:
        its_own = f"{each.run} of {each.run.experiment}"
        for file in each.files:
            owner = owners.get((file.host, str(storable(file.path))), its_own)
            if owner != its_own:
                yield f"{file.path} is in the database already: it belongs to {owner}"


def _enter(db: Database, found: FoundRun, run_class: RunClass, client: Client, now: float) -> None:
    record = RunRecord(
        run=found.run,
        state=DocumentState.Complete,
        run_class=run_class,
        title="",
        reserved_at=found.seen_at,
        started_at=found.started_at,
        stopped_at=found.stopped_at,
        config_name=found.config_name,
        duration=found.duration,
    )
    run_id = documents.insert_run(db, record, adopted_at=now)
    documents.add_files(db, run_id, found.files)
    db.table("events").insert(
        {
            "occurred_at": to_text(now),
            "severity": int(Severity.NO_ALARM),
            "source": "runs adopt",
            "message": storable(
                f"{found.run} of {found.run.experiment}: adopted with {len(found.files)} files from "
                f"{', '.join(found.directories)}"
            ),
            "run_id": run_id,
            "user": storable(client.user),
            "host": client.host,
        }
    )
