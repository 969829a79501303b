# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The safe copies of filed files (table ``file_copies``), and the removal of files that have enough of them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ioc.model import Client, DocumentState, RunId, Severity
from ioc.ports import FINISHED
from ioc.rundb.connection import peer_error
from ioc.rundb.dict_rows import Readable
from ioc.rundb.rows import storable
from ioc.rundb.times import from_text, to_text
from ioc.rundb.writing import open_for_editing

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_PENDING = 1000
_FINAL = ", ".join(f"'{state.value}'" for state in FINISHED)
# A checksum that was computed after the comparison is that of another content.
_VERIFIED = "file_copies.state = 'verified' AND file_copies.verified_at >= files.checksummed_at"
_FILES = (
    "FROM files JOIN runs ON runs.id = files.run_id JOIN experiments ON experiments.id = runs.experiment_id "
    "LEFT JOIN file_copies ON file_copies.file_id = files.id AND file_copies.destination = ? "
)
_THERE = "iif(file_copies.copied_at IS NULL, '', file_copies.path)"
_WAITING = f"files.purged_at IS NULL AND runs.state IN ({_FINAL}) AND NOT coalesce({_VERIFIED}, 0)"


@contextmanager
def editing(path: Path) -> Generator[Database]:
    """One transaction of a command, also while an IOC runs.

    Raises:
        PeerError: the database cannot be changed.
    """
    db = open_for_editing(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    finally:
        db.close()  # rolls back an uncommitted transaction


@dataclass(frozen=True)
class RunFile:
    """A file of a run, and its copy at a destination."""

    file_id: int
    router: str
    path: str
    """As in `ioc.model.FiledFile`."""
    there: str
    """Where a copy of it is, even an unfinished or wrong one; empty if nowhere."""


@dataclass(frozen=True)
class PendingCopy:
    """A file that has no verified copy at a destination yet."""

    file_id: int
    run: RunId
    router: str
    host: str
    path: str
    """As in `ioc.model.FiledFile`."""
    size: int
    checksum: str
    copied: bool
    """It has been copied, but not compared."""
    there: str
    """Where a copy of it is, even an unfinished or wrong one; empty if nowhere."""
    files: tuple[RunFile, ...]
    """All files of its run in the order of filing; one object for all of them."""


@dataclass(frozen=True)
class Backlog:
    """The files that have no verified copy at a destination."""

    files: int = 0
    size: int = 0
    without_checksum: int = 0


def pending_copies(db: Readable, destination: str, hosts: Collection[str]) -> list[PendingCopy]:
    """Return files of hosts of these names to be copied to a destination: first those never tried, then failed ones.

    Those that failed come in any order. Files without checksum wait until they have one. At most `MOST_PENDING` are
    returned.
    """
    rows = db.execute(
        "SELECT files.id, experiments.name, runs.run_number, runs.id, files.router, files.host, files.path, "
        "files.bytes, files.checksum, coalesce(file_copies.state, ''), "
        f"{_THERE} {_FILES} WHERE files.host IN ({_marks(hosts)}) AND files.checksum <> '' AND {_WAITING} "
        "ORDER BY coalesce(file_copies.state = 'failed', 0), "
        "CASE WHEN file_copies.state = 'failed' THEN random() ELSE files.id END LIMIT ?",
        [destination, *hosts, MOST_PENDING],
    ).fetchall()
    runs: dict[int, tuple[RunFile, ...]] = {}
    found: list[PendingCopy] = []
    for file_id, experiment, number, run_id, router, its_host, path, size, checksum, state, there in rows:
        if run_id not in runs:
            its = db.execute(
                f"SELECT files.id, router, files.path, {_THERE} {_FILES} WHERE run_id = ? ORDER BY files.id",
                [destination, run_id],
            )
            runs[run_id] = tuple(RunFile(*row) for row in its)
        run = RunId(experiment, number)
        copied = state == "copied"
        found.append(PendingCopy(file_id, run, router, its_host, path, size, checksum, copied, there, runs[run_id]))
    return found


def known_copy(db: Readable, destination: str, below: str, hosts: Collection[str]) -> str:
    """Return the path of a verified copy at a destination, of the file filed last; empty if there is none.

    Only copies whose path begins with `below` count, and with `hosts` only those of files of these.
    """
    of_hosts = f"AND files.host IN ({_marks(hosts)})" if hosts else ""
    row = db.execute(
        "SELECT file_copies.path FROM files JOIN file_copies ON file_id = files.id AND destination = ? "  # noqa: S608
        f"WHERE state = 'verified' AND substr(file_copies.path, 1, length(?)) = ? {of_hosts} "
        "ORDER BY files.id DESC LIMIT 1",
        [destination, below, below, *hosts],
    ).fetchone()
    return row[0] if row else ""


def backlog(db: Readable, destination: str, hosts: Collection[str]) -> Backlog:
    """Count the files of these hosts that have no verified copy at a destination."""
    row = db.execute(
        "SELECT count(*), coalesce(sum(files.bytes), 0), coalesce(sum(files.checksum = ''), 0) "
        f"{_FILES} WHERE files.host IN ({_marks(hosts)}) AND {_WAITING}",
        [destination, *hosts],
    ).fetchone()
    return Backlog(*row)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" for _ in values)


def save_copying(db: Database, file_id: int, destination: str, path: str) -> None:
    """Record that this path now belongs to the copy of this file."""
    _save(db, file_id, destination, path, state="copying", copied_at=to_text(time.time()), verified_at=None)


def save_copied(db: Database, file_id: int, destination: str, path: str) -> None:
    """A file was copied; it is not compared yet."""
    _save(db, file_id, destination, path, state="copied", copied_at=to_text(time.time()), verified_at=None)


def save_verified(db: Database, file_id: int, destination: str, path: str, checksum: str) -> None:
    """The copy of a file has this checksum. If the file has got another one meanwhile, nothing is stored."""
    if db.execute("SELECT 1 FROM files WHERE id = ? AND checksum = ?", [file_id, checksum]).fetchone():
        _save(db, file_id, destination, path, state="verified", verified_at=to_text(time.time()))


def save_failed(db: Database, file_id: int, destination: str, path: str, message: str) -> None:
    """A file could not be copied, or its copy is not as it must be."""
    _save(db, file_id, destination, path, state="failed", message=message)


def _save(db: Database, file_id: int, destination: str, path: str, *, message: str = "", **columns: Any) -> None:
    row = {"file_id": file_id, "destination": destination, "path": storable(path), "message": storable(message)}
    db.table("file_copies").upsert(row | columns, pk=("file_id", "destination"))


@dataclass(frozen=True)
class Copy:
    """A copy of a file as the database knows it."""

    destination: str
    path: str
    verified: bool
    """Its checksum was that of the file when it was compared last."""
    reason: str
    """Why it is not verified."""


@dataclass(frozen=True)
class OldFile:
    """A filed file that may be removed if it has enough copies."""

    file_id: int
    run_id: int
    run: RunId
    router: str
    host: str
    path: str
    size: int
    checksum: str
    checksummed_at: float
    """0 without a checksum."""
    copies: tuple[Copy, ...]


@dataclass(frozen=True)
class OldRun:
    """A run and its state, which must be complete."""

    number: int
    state: str
    """As in the database."""


def old_runs(db: Readable, experiment: str, numbers: Collection[int]) -> list[OldRun]:
    """Return runs by their numbers; without numbers, all of the experiment."""
    rows = db.execute(
        "SELECT run_number, state FROM runs JOIN experiments ON experiments.id = experiment_id WHERE name = ? "
        "ORDER BY run_number",
        [experiment],
    )
    return [OldRun(number, state) for number, state in rows if not numbers or number in numbers]


def old_files(db: Readable, experiment: str, before: float, numbers: Collection[int]) -> list[OldFile]:
    """Return the files of complete runs that ended, and files that were filed, before a time; without those removed.

    With `numbers`, only those of these runs.
    """
    limit = to_text(before)
    condition = "runs.state = ? AND purged_at IS NULL AND moved_at < ? AND coalesce(stopped_at, reserved_at) < ?"
    return _old_files(db, experiment, numbers, condition, DocumentState.Complete.value, limit, limit)


def copied_files(db: Readable, experiment: str, numbers: Collection[int]) -> list[OldFile]:
    """Return the files of runs that have ended, also those removed; with `numbers`, only those of these runs."""
    return _old_files(db, experiment, numbers, f"runs.state IN ({_FINAL})")


def _old_files(
    db: Readable, experiment: str, numbers: Collection[int], condition: str, *parameters: str
) -> list[OldFile]:
    rows = db.execute(
        "SELECT files.id, runs.id, run_number, router, host, path, files.bytes, checksum, checksummed_at "  # noqa: S608
        "FROM files JOIN runs ON runs.id = run_id JOIN experiments ON experiments.id = experiment_id "
        f"WHERE experiments.name = ? AND {condition} ORDER BY run_number, files.id",
        [experiment, *parameters],
    ).fetchall()
    chosen = [row for row in rows if not numbers or row[2] in numbers]
    copies = _copies(db, [row[0] for row in chosen])
    return [
        OldFile(
            file_id,
            run_id,
            RunId(experiment, number),
            router,
            host,
            path,
            size,
            checksum,
            from_text(checksummed_at) if checksum and checksummed_at else 0.0,
            copies.get(file_id, ()),
        )
        for file_id, run_id, number, router, host, path, size, checksum, checksummed_at in chosen
    ]


def _copies(db: Readable, file_ids: Sequence[int]) -> Mapping[int, tuple[Copy, ...]]:
    found: dict[int, tuple[Copy, ...]] = {}
    for start in range(0, len(file_ids), 500):
        some = file_ids[start : start + 500]
        for file_id, destination, path, state, verified, message in db.execute(
            f"SELECT file_id, destination, file_copies.path, state, coalesce({_VERIFIED}, 0), message "  # noqa: S608
            f"FROM file_copies JOIN files ON files.id = file_id WHERE file_id IN ({_marks(some)}) ORDER BY destination",
            some,
        ):
            reason = message if state == "failed" else "it was verified before the file changed"
            reason = "it is not verified yet" if state in {"copying", "copied"} else reason
            copy = Copy(destination, path, bool(verified), "" if verified else reason)
            found[file_id] = (*found.get(file_id, ()), copy)
    return found


def still_old(db: Readable, files: Sequence[OldFile]) -> list[OldFile]:
    """Return those of these files that are as they were read: of a complete run, not removed, with these copies."""
    ids = [file.file_id for file in files]
    copies = _copies(db, ids)
    present: dict[int, tuple[Any, ...]] = {}
    for file in files:
        row = db.execute(
            "SELECT path, host, files.bytes, checksum FROM files JOIN runs ON runs.id = run_id "
            "WHERE files.id = ? AND state = ? AND purged_at IS NULL",
            [file.file_id, DocumentState.Complete.value],
        ).fetchone()
        if row is not None:
            present[file.file_id] = row
    return [
        file
        for file in files
        if present.get(file.file_id) == (file.path, file.host, file.size, file.checksum)
        and copies.get(file.file_id, ()) == file.copies
    ]


def save_purged(db: Database, run_id: int, file_ids: Iterable[int], message: str, client: Client) -> None:
    """These files of a run no longer exist; the event says so."""
    now = to_text(time.time())
    for file_id in file_ids:
        db.table("files").update(file_id, {"purged_at": now})
    db.table("events").insert(
        {
            "occurred_at": now,
            "severity": int(Severity.NO_ALARM),
            "source": "runs purge",
            "message": storable(message),
            "run_id": run_id,
            "user": storable(client.user),
            "host": client.host,
        }
    )
