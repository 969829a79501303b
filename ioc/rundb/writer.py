# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The one thread that writes the run database."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from ioc.errors import PeerError
from ioc.model import Event, PutRecord, Severity
from ioc.right_of_way import RightOfWay
from ioc.rundb.connection import peer_error
from ioc.rundb.lock import FileLock
from ioc.rundb.row_queue import RowQueue
from ioc.rundb.rows import RowWriter, Sample, UnknownRowError, by_series
from ioc.rundb.session import Durability, Session
from ioc.rundb.times import to_text

_log = logging.getLogger(__name__)

Result = TypeVar("Result")
Row = TypeVar("Row")
LogRow = Event | PutRecord

FLUSH_SECONDS = 0.4
"""Queued rows are committed this often; with the time of the commit no row is older than a second."""
_BATCH = 20_000
_PIECE = 200
"""Rows of one transaction: so many are written before a job has its turn. Of a large batch it is a twentieth, for each
transaction has to get the interpreter's lock some times, which takes long while much comes."""
_BAD_ROW = (
    UnknownRowError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
)
"""Errors that are about a row, not about the file: trying again cannot help."""
_ROWS_BUSY_SECONDS = 0.25
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class StoreHealth:
    """How the writing of the run database goes."""

    queued: int
    """Rows that are not on disk yet."""
    written_per_second: float
    """Queued rows that reached the disk, over the last seconds."""
    dropped: int
    """Rows lost since the start because the queue was full, or because they could not be stored."""
    error: str
    """Why the last write failed, in a sentence; empty since a write succeeded."""


@dataclass
class _Piece:
    """Rows that are written in one transaction."""

    samples: Sequence[Sample] = ()
    log: Sequence[LogRow] = ()

    def __len__(self) -> int:
        return len(self.samples) + len(self.log)


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

    def __init__(
        self, path: Path, *, busy_seconds: float, sample_limit: int, log_limit: int, commands: RightOfWay
    ) -> None:
        """`busy_seconds` is how long a job waits for another program that has the file locked.

        Queued rows are not written while `commands` have the right of way.
        """
        self._path = path
        self._commands = commands
        self._busy_seconds = busy_seconds
        self._session = Session(path)
        self.rows = RowWriter()
        self.samples: RowQueue[Sample] = RowQueue("samples", sample_limit)
        self.log: RowQueue[LogRow] = RowQueue("events and puts", log_limit)
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._held: deque[_Job] = deque()
        """Those that follow rows which are still to be written."""
        self._pieces: deque[_Piece] = deque()
        """What is left of the present batch."""
        self._closing = False
        self._rejected = 0
        self._error = ""
        self._failing_since = 0.0
        self._written: deque[tuple[float, int]] = deque(maxlen=2048)
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
        written = list(self._written)
        now = time.monotonic()
        recent = sum(count for moment, count in written if now - moment < 5.0)
        return StoreHealth(
            queued=len(self.samples) + len(self.log),
            written_per_second=recent / 5.0,
            dropped=self.samples.dropped + self.log.dropped + self._rejected,
            error=self._error,
        )

    def _run(self) -> None:
        try:
            lock = FileLock(self._path)
        except PeerError as error:
            self.opened.set_exception(error)
            self.closed.set_result(None)
            return
        try:
            self._session.open(self._busy_seconds)
        except (PeerError, sqlite3.Error) as error:
            self._session.close()
            lock.release()
            self.opened.set_exception(peer_error(self._path, error) if isinstance(error, sqlite3.Error) else error)
            self.closed.set_result(None)
            return
        self.opened.set_result(None)
        try:
            self._serve()
        finally:
            self._session.close()
            lock.release()
            self.closed.set_result(None)

    def _serve(self) -> None:
        due = time.monotonic() + FLUSH_SECONDS
        while True:
            with self._wake:
                if not self._jobs and not self._held and not self._closing:
                    self._wake.wait(max(due - time.monotonic(), self._commands.seconds(), 0.0))
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
            if self._held or (time.monotonic() >= due and not self._commands.seconds()):
                written = self._write_piece()
                if not written:
                    self._give_up_held()
                more = written and (self._pieces or len(self.samples) + len(self.log) >= _BATCH)
                due = time.monotonic() + (0.0 if more else FLUSH_SECONDS)
            if closing and not self._jobs and not self._held:
                break
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (self.samples or self.log) and time.monotonic() < deadline:
            if not self._write_piece():
                time.sleep(0.1)
        if lost := len(self.samples) + len(self.log):
            self._rejected += lost
            _log.error("%s: %d rows are lost, the program ends before they could be written", self._error, lost)

    def _may_follow(self, job: _Job) -> bool:
        """Whether all rows that it follows are written."""
        assert job.after is not None
        return not self._pieces and self.samples.given >= job.after[0] and self.log.given >= job.after[1]

    def _give_up_held(self) -> None:
        while self._held:
            job = self._held.popleft()
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(PeerError(self._error))

    def _perform(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            with self._transaction(Durability.POWER_CUT, self._busy_seconds) as db:
                result = job.function(db)
        except UnknownRowError as error:
            job.future.set_exception(error)
        except PeerError as error:
            self._note_failure(str(error))
            job.future.set_exception(error)
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.IntegrityError):  # that one is about the data, not about the file
                self._failed(error)
            job.future.set_exception(peer_error(self._path, error))
        except BaseException as error:
            job.future.set_exception(error)
        else:
            self._succeeded()
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
            self._note_failure(str(error))
            return False
        except sqlite3.Error as error:
            self._failed(error)
            return False
        self._pieces.popleft()
        self.samples.settle(len(piece.samples))
        self.log.settle(len(piece.log))
        self._written.append((time.monotonic(), len(piece)))
        self._succeeded()
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
        self._pieces.extend(_Piece(log=rows) for rows in _cut(entries))
        self._pieces.extend(_Piece(samples=rows) for rows in _cut(by_series(taken)))

    def _insert(self, piece: _Piece) -> None:
        try:
            # Somebody may wait for these rows.
            busy_seconds = self._busy_seconds if self._held else _ROWS_BUSY_SECONDS
            with self._transaction(self._durability(), busy_seconds) as db:
                self._insert_into(db, piece)
        except _BAD_ROW:
            self._insert_each(piece)

    def _durability(self) -> Durability:
        """A batch ends on disk (fsync), or the next job would have to bring all of it there."""
        return Durability.POWER_CUT if len(self._pieces) == 1 else Durability.PROCESS

    def _insert_each(self, piece: _Piece) -> None:
        """Store what can be stored of a piece and give up the rest, which would block the queue for ever."""
        rows = [_Piece(samples=[sample]) for sample in piece.samples] + [_Piece(log=[row]) for row in piece.log]
        with self._transaction(self._durability(), _ROWS_BUSY_SECONDS) as db:
            reasons = [self._insert_one(db, row) for row in rows]
        rejected = [reason for reason in reasons if reason]
        self._rejected += len(rejected)
        _log.error("run database: %d rows cannot be stored and were dropped: %s", len(rejected), rejected[-1:])

    def _insert_one(self, db: Database, row: _Piece) -> str:
        db.conn.execute("SAVEPOINT one_row")
        try:
            self._insert_into(db, row)
        except _BAD_ROW as error:
            self.rows.forget()
            db.conn.execute("ROLLBACK TO one_row")
            return str(error) or type(error).__name__
        finally:
            db.conn.execute("RELEASE one_row")
        return ""

    def _insert_into(self, db: Database, piece: _Piece) -> None:
        self.rows.insert_samples(db, piece.samples)
        self.rows.insert_events(db, [row for row in piece.log if isinstance(row, Event)])
        self.rows.insert_puts(db, [row for row in piece.log if isinstance(row, PutRecord)])

    @contextlib.contextmanager
    def _transaction(self, durability: Durability, busy_seconds: float) -> Generator[Database]:
        try:
            with self._session.transaction(durability, busy_seconds) as db:
                yield db
        except BaseException:
            self.rows.forget()
            raise

    def _failed(self, error: sqlite3.Error) -> None:
        self._note_failure(str(peer_error(self._path, error)))
        self._session.recover_from(error)

    def _note_failure(self, text: str) -> None:
        if not self._error:
            self._failing_since = time.time()
            _log.error("%s (rows are kept until it works again)", text)
        self._error = text

    def _succeeded(self) -> None:
        if self._error:
            _log.warning("the run database %s works again", self._path)
            self._report(f"the run database could not be written since {to_text(self._failing_since)}; it works again")
        self._error = ""

    def _report(self, message: str) -> None:
        self.log.put([Event(time.time(), Severity.MAJOR, "Database", message)])


def _cut(rows: list[Row]) -> Iterator[list[Row]]:
    size = max(_PIECE, len(rows) // 20)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
