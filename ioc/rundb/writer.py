# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The one thread that writes the run database."""

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
from typing import Any, TypeVar

from sqlite_utils import Database

from ioc.errors import PeerError
from ioc.model import Event, Severity
from ioc.rundb import documents
from ioc.rundb.condition import Condition, StoreHealth
from ioc.rundb.connection import peer_error
from ioc.rundb.opening import open_session
from ioc.rundb.pieces import BAD_ROW, LogRow, Piece, insert, insert_what_can_be, pieces_of
from ioc.rundb.row_queue import RowQueue
from ioc.rundb.rows import RowWriter, Sample, UnknownRowError
from ioc.rundb.session import Durability, Session

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

FLUSH_SECONDS = 0.4
"""Queued rows are committed this often; with the time of the commit no row is older than a second."""
_BATCH = 20_000
_PATIENCE_SECONDS = 0.25
"""How long a lock of another program is waited for, but once: while nothing can be written, nobody waits again."""
_ASK_SECONDS = 0.5
"""While the file cannot be opened, it is tried again so often."""
_BEAT_SECONDS = 1.0
"""Where nothing was written for so long, something is, to know whether it can be."""
_LOG_BYTES = 48_000_000
"""So large -wal is only if it could not be moved into the database for a while, which is done from 33 MB on."""
_LARGE_LOG_BYTES = 100_000_000
_DRAIN_SECONDS = 1.5


@dataclass
class _Job:
    """A transaction that somebody waits for."""

    function: Callable[[Database], Any]
    future: Future[Any]
    after: tuple[int, int] | None = None
    """How many samples and other rows had been queued, if it is to follow them."""


class Writer:
    """Owns the thread, its connection and the lock of the file.

    Each job is one transaction, on disk (fsync) before its future is done. Rows are gathered for a moment and committed
    piece by piece, with the jobs between: nobody waits for a whole batch. A piece that fails is tried again; what comes
    behind it waits.
    """

    def __init__(self, path: Path, *, sample_limit: int, log_limit: int) -> None:
        """Queued rows are not written while `commands` have the right of way."""
        self._path = path
        self._session = Session(path)
        self.rows = RowWriter()
        self.samples: RowQueue[Sample] = RowQueue("samples", sample_limit)
        self.log: RowQueue[LogRow] = RowQueue("events and puts", log_limit)
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._held: deque[_Job] = deque()
        """Those that follow rows which are still to be written."""
        self._pieces: deque[Piece] = deque()
        """What is left of the present batch."""
        self._closing = False
        self._rejected = 0
        self.condition = Condition(path)
        self._looked_at = 0.0
        self.opened: Future[None] = Future()
        """Done when the database is open and up to date, or with the reason why it cannot be."""
        self.closed: Future[None] = Future()
        """Done when all is written, the file closed and the lock free."""
        self._thread = threading.Thread(target=self._run, name="run database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, function: Callable[[Database], Result], *, after_rows: bool = False) -> Future[Result]:
        """Queue a transaction; `after_rows`: after what was queued before, and before what is queued later.

        It fails with `PeerError` if those rows cannot be written.
        """
        future: Future[Result] = Future()
        with self._wake:
            if self._closing:
                future.set_exception(PeerError(f"the run database {self._path} is closed"))
            else:
                queued = (self.samples.accepted, self.log.accepted) if after_rows else None
                self._jobs.append(_Job(function, future, queued))
                self._wake.notify()
        return future

    def stop(self) -> None:
        """Ask the thread to write what is queued and to end; `closed` tells when."""
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
            lock = open_session(self._session, self._path, self.condition, _PATIENCE_SECONDS, self._wait_for_file)
        except Exception as error:
            self._end_jobs(str(error))
            self.opened.set_exception(error)
            self.closed.set_result(None)
            return
        try:
            if lock is None:
                self._say_lost()
                self.opened.set_exception(PeerError(self.condition.problem()))
            else:
                self._report(self.condition.works())
                self.opened.set_result(None)
                self._serve()
        except Exception:
            _log.exception("the writer of the run database ends")
            self.condition.failed(f"the run database {self._path} is written no more, see the log: restart the IOC")
        finally:
            self._session.close()
            if lock is not None:
                lock.release()
            self.stop()
            self._end_jobs(f"the run database {self._path} is closed")
            self.closed.set_result(None)

    def _wait_for_file(self, reason: str) -> bool:
        """Wait until the file is to be tried again; False if this is to end."""
        with self._wake:
            if not self._closing:
                self._wake.wait(_ASK_SECONDS)
            closing = self._closing
        self._end_jobs(reason)
        return not closing

    def _end_jobs(self, reason: str) -> None:
        with self._wake:
            jobs = [*self._held, *self._jobs]
            self._jobs.clear()
        self._held.clear()
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(PeerError(reason))

    def _serve(self) -> None:
        due = time.monotonic() + FLUSH_SECONDS
        while True:
            with self._wake:
                if not self._jobs and not self._held and not self._closing:
                    self._wake.wait(max(due - time.monotonic(), 0.0))
                jobs = list(self._jobs)
                self._jobs.clear()
                closing = self._closing
            for job in jobs:
                if job.after is None:
                    self._perform(job)
                else:
                    self._held.append(job)
            while self._held and self._may_follow(self._held[0]):
                self._perform(self._held.popleft())
            if self._held or time.monotonic() >= due:
                written = self._write_piece()
                if not written:
                    self._give_up_held()
                elif not self._pieces:
                    self._beat()
                more = written and (self._pieces or len(self.samples) + len(self.log) >= _BATCH)
                due = time.monotonic() + (0.0 if more else FLUSH_SECONDS)
            if closing and not self._jobs and not self._held:
                break
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (self.samples or self.log) and time.monotonic() < deadline:
            if not self._write_piece():
                time.sleep(0.1)
        self._say_lost()

    def _say_lost(self) -> None:
        if lost := len(self.samples) + len(self.log):
            self._rejected += lost
            reason = self.condition.problem()
            _log.error("%s: %d rows are lost, the program ends before they could be written", reason, lost)

    def _beat(self) -> None:
        """Write something now and then, to know whether it can be; see whether the log of the file grows."""
        now = time.monotonic()
        if now >= self._looked_at + _BEAT_SECONDS:
            self._looked_at = now
            self._look_at_log()
        if now >= self.condition.wrote_at + _BEAT_SECONDS or self.condition.failing:
            try:
                with self._transaction(Durability.PROCESS) as db:
                    documents.save_settings(db, {documents.HEARTBEAT: ""})
            except PeerError as error:
                self.condition.failed(str(error))
            except sqlite3.Error as error:
                self._failed(error)
            else:
                self._report(self.condition.works())

    def _look_at_log(self) -> None:
        size = self._session.log_bytes()
        if size >= _LOG_BYTES:
            with contextlib.suppress(sqlite3.Error), self.condition.at_work():
                self._session.empty_log()
            size = self._session.log_bytes()
        self.condition.log_bytes = size
        self.condition.warning = (
            f"the log of the run database {self._path} (-wal) grows: a program that reads it does not end its "
            "transaction: end that one"
            if size > _LARGE_LOG_BYTES
            else ""
        )

    def _may_follow(self, job: _Job) -> bool:
        """Whether all rows that it follows are written."""
        assert job.after is not None
        return not self._pieces and self.samples.given >= job.after[0] and self.log.given >= job.after[1]

    def _give_up_held(self) -> None:
        while self._held:
            job = self._held.popleft()
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(PeerError(self.condition.problem()))

    def _perform(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        before = self._session.changes
        try:
            with self._transaction(Durability.POWER_CUT) as db:
                result = job.function(db)
        except UnknownRowError as error:
            job.future.set_exception(error)
        except PeerError as error:
            self.condition.failed(str(error))
            job.future.set_exception(error)
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.IntegrityError):  # that one is about the data, not about the file
                self._failed(error)
            job.future.set_exception(peer_error(self._path, error))
        except BaseException as error:
            job.future.set_exception(error)
        else:
            # Where rows could not be written, those say when they can be: what is small fits on a disk that is full.
            if self._session.changes != before and not self._pieces:
                self._report(self.condition.works())
            job.future.set_result(result)

    def _write_piece(self) -> bool:
        """Write some of the oldest rows; False if they have to be tried again."""
        if not self._pieces:
            self._begin_batch()
        if not self._pieces:
            return True
        piece = self._pieces[0]
        try:
            self._insert(piece)
        except PeerError as error:
            self.condition.failed(str(error))
            return False
        except sqlite3.Error as error:
            self._failed(error)
            return False
        self._pieces.popleft()
        self.samples.settle(len(piece.samples))
        self.log.settle(len(piece.log))
        self.condition.wrote_rows(len(piece))
        self._report(self.condition.works())
        if not self._pieces and (dropped := self.samples.lost() + self.log.lost()):
            self._report(f"{dropped} rows were dropped while the run database could not be written")
        return True

    def _begin_batch(self) -> None:
        """Take the oldest rows, but none that were queued after a job that follows rows."""
        samples, log = _BATCH, _BATCH
        with self._wake:
            first = next((job.after for job in (*self._held, *self._jobs) if job.after is not None), None)
            if first is not None:
                samples, log = min(samples, first[0] - self.samples.given), min(log, first[1] - self.log.given)
            taken, entries = self.samples.take(samples), self.log.take(log)
        self._pieces.extend(pieces_of(taken, entries))

    def _insert(self, piece: Piece) -> None:
        try:
            with self._transaction(self._durability()) as db:
                insert(self.rows, db, piece)
        except BAD_ROW:
            with self._transaction(self._durability()) as db:
                rejected = insert_what_can_be(self.rows, db, piece)
            self._rejected += len(rejected)
            _log.error("run database: %d rows cannot be stored and were dropped: %s", len(rejected), rejected[-1:])

    def _durability(self) -> Durability:
        """A batch ends on disk (fsync), or the next job would have to bring all of it there."""
        return Durability.POWER_CUT if len(self._pieces) == 1 else Durability.PROCESS

    @contextlib.contextmanager
    def _transaction(self, durability: Durability) -> Generator[Database]:
        patience = 0.0 if self.condition.failing else _PATIENCE_SECONDS
        try:
            with self.condition.at_work(), self._session.transaction(durability, patience) as db:
                yield db
        except BaseException:
            self.rows.forget()
            raise

    def _failed(self, error: sqlite3.Error) -> None:
        self.condition.failed(str(peer_error(self._path, error)))
        self._session.recover_from(error)

    def _report(self, message: str) -> None:
        if message:
            self.log.put([Event(time.time(), Severity.MAJOR, "Database", message)])
