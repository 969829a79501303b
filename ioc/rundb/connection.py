# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Opens the database file for reading, and explains its errors to operators."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from ioc.errors import PeerError
from ioc.rundb.migrations import check_present_version

if TYPE_CHECKING:
    from sqlite_utils import Database

Opened = TypeVar("Opened", "Database", sqlite3.Connection)


def try_writing(path: Path, *, busy_seconds: float) -> None:
    """Take the right to write for a moment, and write nothing.

    Raises:
        sqlite3.Error: the file cannot be opened or written.
    """
    connection = sqlite3.connect(uri(path, "rw"), uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def open_for_reading(path: Path, *, busy_seconds: float = 5.0) -> sqlite3.Connection:
    """Open the database read-only, whether an IOC writes to it or not; the caller closes it.

    A locked database is waited for at most `busy_seconds`.

    Raises:
        PeerError: there is no such file, it is no run database, or its version is not the program's.
    """
    return checked(path, os.R_OK, lambda: connect_for_reading(path, busy_seconds=busy_seconds))


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Open the database as `open_for_reading`, and close it; errors of its queries become those for operators."""
    with closing(open_for_reading(path)) as db:
        try:
            yield db
        except sqlite3.Error as error:
            raise peer_error(path, error) from error


def connect_for_reading(path: Path, *, busy_seconds: float = 5.0) -> sqlite3.Connection:
    """Open a connection that cannot write, and that leaves no files beside the database when it is closed.

    Raises:
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    connection = sqlite3.connect(uri(path, _reading_mode(path)), uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _reading_mode(path: Path) -> str:
    """Return a URI that leaves no files behind that the IOC, as another user, could not write.

    The first program that opens a database in WAL mode creates -wal and -shm, even for reading; the last one that
    closes it removes them, but only if it may write. Without -wal and without write permission nothing is being
    written, and only the file itself is read.
    """
    file = path.resolve()  # the other files are beside the target of a link
    log, shared = Path(f"{file}-wal"), Path(f"{file}-shm")
    if all(os.access(each, os.W_OK) for each in (file.parent, file, log, shared) if each.exists()):
        return "rw"
    return "ro" if log.exists() else "ro&immutable=1"


def checked(path: Path, access: int, connect: Callable[[], Opened]) -> Opened:
    """Connect to a run database that is there, has the present version and grants this access (as in `os.access`).

    Raises:
        PeerError: something of that is not so.
    """
    try:
        present = path.is_file()
    except OSError:  # its directory cannot be read
        present = True
    if not present:
        raise PeerError(f"there is no run database {path}: the IOC creates it when it first starts")
    if not os.access(path, os.R_OK):
        raise PeerError(f"the run database {path} cannot be read: give the user of this program permission to read it")
    if not os.access(path, access):  # SQLite would still open it, and leave files behind
        raise PeerError(f"the run database {path} {_REASONS['SQLITE_READONLY']}")
    try:
        db = connect()
        try:
            check_present_version(db, str(path))
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    return db


def uri(path: Path, mode: str) -> str:
    """Return a database as SQLite takes it, with the mode of access."""
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"


_LOCKED = "is locked by another program: close the one that writes to it"
_FULL = "cannot grow because its disk is full: free space on that disk"
_READ_ONLY_DISK = "cannot be written because its file system is mounted read-only: mount it for writing"
_REASONS = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_PROTOCOL": _LOCKED,
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": "cannot be written: give the user of this program write permission on it and its directory",
    "SQLITE_CANTOPEN": "cannot be opened: its directory must exist and be writable for the user of this program",
    "SQLITE_NOTADB": "is not an SQLite database: name another file as `database` in the topology",
    "SQLITE_CORRUPT": "is damaged: restore it from a backup, or name another file as `database` in the topology",
    "SQLITE_INTERRUPT": "did not answer in time: the query was cancelled",
    "SQLITE_IOERR": "cannot be read or written (input/output error): check its disk",
}
_OF_THE_DISK = {"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR"}
"""Errors possibly caused by the disk, for example when the files beside the database cannot grow."""
_PASSES = {_LOCKED, _FULL}
_PAGE_BYTES = 4096


class PassingError(PeerError):
    """The cause may go away without action: waiting can help."""


def error_kind(error: sqlite3.Error) -> str:
    """Primary name of an SQLite error, such as ``SQLITE_BUSY`` (extended names begin with it)."""
    name = str(getattr(error, "sqlite_errorname", "") or "")
    return "_".join(name.split("_")[:2])


def peer_error(path: Path, error: sqlite3.Error) -> PeerError:
    """Return an SQLite error as an error for operators; a `PassingError` for a lock or a full disk."""
    kind = error_kind(error)
    reason = (kind in _OF_THE_DISK and _disk_reason(path)) or _REASONS.get(kind, f"failed: {error}")
    return (PassingError if reason in _PASSES else PeerError)(f"the run database {path} {reason}")


def _disk_reason(path: Path) -> str:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return _READ_ONLY_DISK
    return _FULL if disk.f_bavail * disk.f_frsize < _PAGE_BYTES else ""
