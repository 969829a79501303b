# pyright: reportUnknownMemberType=false
"""The writer's connection, with error handling and reconnection."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ioc.errors import PeerError
from ioc.rundb.connection import PassingError, error_kind, peer_error
from ioc.rundb.lock import FileLock
from ioc.rundb.migrations import migrate
from ioc.rundb.writing import open_for_writing

if TYPE_CHECKING:
    from sqlite_utils import Database

_PASSING = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_CONSTRAINT"}
"""Errors after which the connection is still usable."""


class Session:
    """One file, used only by this process; reopened as needed, but never recreated, or run numbers would be used twice.

    Belongs to one thread. Each transaction is on disk (fsync) when it ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._db: Database | None = None
        self._file: tuple[int, int] | None = None
        self._log = path

    def open(self, busy_seconds: float) -> None:
        """Lock and open the file, creating or migrating it; may be called again after a `PassingError`.

        Raises:
            PassingError: it is locked, or its disk is full.
            PeerError: it belongs to another program, is too new, or cannot be opened; waiting does not help.
        """
        try:
            self._lock = self._lock or FileLock(self._path)
            self._disconnect()
            self._db = self._connect(busy_seconds, create=True)
            migrate(self._db, str(self._path))
        except PassingError:
            raise
        except sqlite3.Error as error:
            raise peer_error(self._path, error) from error
        self._file = self._identity()
        self._log = Path(f"{self._path.resolve()}-wal")  # beside the target of a link

    @contextlib.contextmanager
    def transaction(self, busy_seconds: float) -> Generator[Database]:
        """One transaction, rolled back on any error; waits for a lock at most `busy_seconds`.

        Raises:
            PeerError: the file is not the one that was opened.
            sqlite3.Error: SQLite failed.
        """
        db = self._connected(busy_seconds)
        db.conn.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        try:
            db.conn.execute("BEGIN IMMEDIATE")
            yield db
            db.conn.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.conn.execute("ROLLBACK")
            raise

    @property
    def changes(self) -> int:
        """Number of rows written; a new connection starts again from 0."""
        return 0 if self._db is None else self._db.conn.total_changes

    def log_bytes(self) -> int:
        """Size of the file ``-wal``."""
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def empty_log(self) -> None:
        """Move the file ``-wal`` into the database and truncate it, unless a reader uses an old state."""
        if self._db is not None:
            self._db.conn.execute("PRAGMA busy_timeout = 0")
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def recover_from(self, error: sqlite3.Error) -> None:
        """Drop the connection if it may have caused the error: the next transaction opens a new one."""
        if error_kind(error) not in _PASSING:
            self._disconnect()

    def close(self) -> None:
        """Close the file and release it for other processes."""
        self._disconnect()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _disconnect(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.conn.close()
            self._db = None

    def _connected(self, busy_seconds: float) -> Database:
        if self._identity() != self._file:
            raise PeerError(
                f"the run database {self._path} was removed or replaced while in use: "
                "put the old file back, or restart the IOC"
            )
        if self._db is None:
            self._db = self._connect(busy_seconds, create=False)
        return self._db

    def _connect(self, busy_seconds: float, *, create: bool) -> Database:
        db = open_for_writing(self._path, create=create, busy_seconds=busy_seconds)
        db.conn.execute("PRAGMA synchronous = FULL")
        return db

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
