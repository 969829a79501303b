# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The one thread that writes the run database.

Theory of operation: the thread handles jobs and rows. *Jobs* are transactions with a caller that waits, such as
reserving a run number: each is carried out at once and is on disk when its future is done. *Rows* (samples, events,
puts) are queued without waiting, and all queued rows are written in one transaction every 0.4 s. A job may be queued
*behind rows*: it is carried out after the rows queued before it and before those queued later, so that a new definition
of an observable separates earlier from later samples.

While the file is locked, its disk is full or the like, writing is retried indefinitely: a job fails with the reason,
and rows stay in their bounded queues; when these are full, new rows are dropped and counted. So no caller waits for the
disk longer than one attempt takes. An invalid row is dropped.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ioc.errors import PeerError
from ioc.model import Event, Severity
from ioc.rundb import documents
from ioc.rundb.condition import Condition, StoreHealth
from ioc.rundb.connection import PassingError, peer_error
from ioc.rundb.row_queue import RowQueue
from ioc.rundb.rows import BAD_ROW, LogRow, RowWriter, Sample, UnknownRowError
from ioc.rundb.session import Session

if TYPE_CHECKING:
    from sqlite_utils import Database

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

FLUSH_SECONDS = 0.4
"""Period of writing queued rows; including the commit, no unwritten row is older than a second."""
_ROWS = 10_000
"""Maximum rows of one transaction, for which a job may have to wait."""
_PATIENCE_SECONDS = 0.25
"""How long to wait for a lock of another program; only once: while nothing can be written, there is no further wait."""
_REOPEN_SECONDS = 0.5
_HEARTBEAT_SECONDS = 1.0
"""After this time without a write, a heartbeat is written, to check whether writing works."""
_LOG_BYTES = 48_000_000
"""The file -wal gets this large only if it could not be moved into the database, which is done from 33 MB on."""
_LARGE_LOG_BYTES = 100_000_000
_DRAIN_SECONDS = 1.5


@dataclass
class _Job:
    """A transaction with a caller that waits."""

    function: Callable[[Database], Any]
    future: Future[Any]
    samples_before: int
    """Number of samples queued before it, since the start of the program."""
    log_before: int
    """The same of other rows."""


class Writer:
    """Owns the thread, its connection and the queues."""

    def __init__(self, path: Path, *, sample_limit: int, log_limit: int) -> None:
        self._path = path
        self._session = Session(path)
        self.rows = RowWriter()
        self.samples: RowQueue[Sample] = RowQueue("samples", sample_limit)
        self.log: RowQueue[LogRow] = RowQueue("events and puts", log_limit)
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._behind_rows: deque[_Job] = deque()
        """Jobs that wait for rows to be written."""
        self._closing = False
        self._rejected = 0
        self.condition = Condition(path)
        self._log_checked_at = 0.0
        self.opened: Future[None] = Future()
        """Done when the database is open and up to date; has the exception if that fails."""
        self.closed: Future[None] = Future()
        """Done when everything is written, the file closed and the lock free."""
        self._thread = threading.Thread(target=self._run, name="run database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, function: Callable[[Database], Result], *, behind_rows: bool = False) -> Future[Result]:
        """Queue a transaction. With `behind_rows` it fails with `PeerError` if those rows cannot be written."""
        future: Future[Result] = Future()
        with self._wake:
            if self._closing:
                future.set_exception(PeerError(f"the run database {self._path} is closed"))
            else:
                job = _Job(function, future, self.samples.accepted, self.log.accepted)
                (self._behind_rows if behind_rows else self._jobs).append(job)
                self._wake.notify()
        return future

    def stop(self) -> None:
        """Let the thread write the queued rows and end; `closed` is done then."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def join(self) -> None:
        """Wait for the thread, which ends just after `closed`."""
        self._thread.join(1.0)

    def health(self) -> StoreHealth:
        """Thread-safe."""
        return self.condition.health(
            queued=len(self.samples) + len(self.log),
            dropped=self.samples.dropped + self.log.dropped + self._rejected,
        )

    def _run(self) -> None:
        try:
            self._open()
            self._report(self.condition.works())
            self.opened.set_result(None)
            self._serve()
        except PeerError as error:
            self._fail_jobs(str(error))
            self.opened.set_exception(error)
        except Exception as error:
            _log.exception("the writer of the run database ends")
            self.condition.failed(f"the run database {self._path} is no longer written, see the log: restart the IOC")
            if not self.opened.done():
                self.opened.set_exception(error)
        finally:
            self._session.close()
            self.stop()
            self._fail_jobs(f"the run database {self._path} is closed")
            self.closed.set_result(None)

    def _open(self) -> None:
        """Open the file; wait while it is locked or its disk is full.

        Raises:
            PeerError: it cannot be opened, and waiting does not help or is over.
        """
        while True:
            try:
                with self.condition.at_work():
                    self._session.open(_PATIENCE_SECONDS)
            except PassingError as error:
                self.condition.failed(str(error))
            else:
                self.condition.opened()
                return
            with self._wake:
                if not self._closing:
                    self._wake.wait(_REOPEN_SECONDS)
                closing = self._closing
            self._fail_jobs(self.condition.problem())
            if closing:
                self._count_lost()
                raise PeerError(self.condition.problem())

    def _serve(self) -> None:
        due = time.monotonic() + FLUSH_SECONDS
        while True:
            with self._wake:
                if not self._jobs and not self._behind_rows and not self._closing:
                    self._wake.wait(max(due - time.monotonic(), 0.0))
                jobs, self._jobs = self._jobs, deque()
                closing = self._closing
            for job in jobs:
                self._perform(job)
            if self._behind_rows or time.monotonic() >= due:
                written = self._write_rows()
                if not written:
                    self._fail_jobs(self.condition.problem(), only_behind_rows=True)
                while self._behind_rows and self._rows_before(self._behind_rows[0]) == (0, 0):
                    self._perform(self._behind_rows.popleft())
                more = written and len(self.samples) >= _ROWS
                due = time.monotonic() + (0.0 if more else FLUSH_SECONDS)
            if closing and not self._jobs and not self._behind_rows:
                break
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (self.samples or self.log) and time.monotonic() < deadline:
            if not self._write_rows():
                time.sleep(0.1)
        self._count_lost()

    def _rows_before(self, job: _Job) -> tuple[int, int]:
        """Numbers of samples and other rows to be written before a job."""
        return job.samples_before - self.samples.removed, job.log_before - self.log.removed

    def _perform(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        before = self._session.changes
        try:
            with self._transaction() as db:
                result = job.function(db)
        except UnknownRowError as error:
            job.future.set_exception(error)
        except sqlite3.IntegrityError as error:  # about the data, not about the file
            job.future.set_exception(peer_error(self._path, error))
        except (PeerError, sqlite3.Error) as error:
            job.future.set_exception(self._failed(error))
        except BaseException as error:
            job.future.set_exception(error)
        else:
            # While rows cannot be written, only they show when writing works again: a small job may fit on a full disk.
            if self._session.changes != before and not (self.condition.failing and (self.samples or self.log)):
                self._report(self.condition.works())
            job.future.set_result(result)

    def _write_rows(self) -> bool:
        """Write the oldest rows, the log first, or the heartbeat if there are none; False if that failed."""
        with self._wake:  # until rows are taken: a job that is queued meanwhile must not be before some of them
            before = self._rows_before(self._behind_rows[0]) if self._behind_rows else (_ROWS, _ROWS)
            samples, log = self.samples.oldest(min(_ROWS, before[0])), self.log.oldest(min(_ROWS, before[1]))
        self._check_log()
        try:
            if samples or log:
                self._rejected += self._insert(samples, log)
            elif self.condition.failing or time.monotonic() >= self.condition.wrote_at + _HEARTBEAT_SECONDS:
                with self._transaction() as db:
                    documents.save_settings(db, {documents.HEARTBEAT: ""})
            else:
                return True
        except (PeerError, sqlite3.Error) as error:
            self._failed(error)
            return False
        self.samples.remove(len(samples))
        self.log.remove(len(log))
        self.condition.wrote_rows(len(samples) + len(log))
        self._report(self.condition.works())
        if dropped := self.samples.lost() + self.log.lost():
            self._report(f"{dropped} rows were dropped while the run database could not be written fast enough")
        return True

    def _insert(self, samples: list[Sample], log: list[LogRow]) -> int:
        """Insert rows in one transaction; returns the number of those that could not be stored."""
        try:
            with self._transaction() as db:
                self.rows.insert(db, samples, log)
        except BAD_ROW:
            with self._transaction() as db:
                reasons = self.rows.insert_each(db, samples, log)
            _log.error("run database: %d rows cannot be stored and were dropped: %s", len(reasons), reasons[-1:])
            return len(reasons)
        return 0

    def _check_log(self) -> None:
        """Check once a second whether the log of the file (-wal) grows because of a reader with an old state."""
        now = time.monotonic()
        if now < self._log_checked_at + _HEARTBEAT_SECONDS:
            return
        self._log_checked_at = now
        size = self._session.log_bytes()
        if size >= _LOG_BYTES:
            with contextlib.suppress(sqlite3.Error), self.condition.at_work():
                self._session.empty_log()
            size = self._session.log_bytes()
        self.condition.log_bytes = size
        self.condition.warning = (
            f"the log of the run database {self._path} (-wal) grows: a program keeps a read transaction open: end "
            f"that program"
            if size > _LARGE_LOG_BYTES
            else ""
        )

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Database]:
        patience = 0.0 if self.condition.failing else _PATIENCE_SECONDS
        try:
            with self.condition.at_work(), self._session.transaction(patience) as db:
                self.condition.changes_elsewhere = db.execute("PRAGMA data_version").fetchone()[0]
                yield db
        except BaseException:
            self.rows.forget()
            raise

    def _failed(self, error: PeerError | sqlite3.Error) -> PeerError:
        """Note that nothing can be written now; returns the reason for operators."""
        reason = error if isinstance(error, PeerError) else peer_error(self._path, error)
        self.condition.failed(str(reason))
        if isinstance(error, sqlite3.Error):
            self._session.recover_from(error)
        return reason

    def _fail_jobs(self, reason: str, *, only_behind_rows: bool = False) -> None:
        with self._wake:
            queues = (self._behind_rows,) if only_behind_rows else (self._behind_rows, self._jobs)
            jobs = [job for queue in queues for job in queue]
            for queue in queues:
                queue.clear()
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(PeerError(reason))

    def _count_lost(self) -> None:
        if lost := len(self.samples) + len(self.log):
            self._rejected += lost
            reason = self.condition.problem()
            _log.error("%s: %d rows are lost, the program ends before they could be written", reason, lost)

    def _report(self, message: str) -> None:
        if message:
            self.log.put([Event(time.time(), Severity.MAJOR, "Database", message)])
