# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Queued rows in the portions in which they are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlite_utils import Database

from ioc.model import Event, PutRecord
from ioc.rundb.rows import RowWriter, Sample, UnknownRowError, by_series

Row = TypeVar("Row")
LogRow = Event | PutRecord

_PIECE = 200
"""Rows of one transaction: so many are written before a job has its turn. Of a large batch it is a twentieth, for each
transaction has to get the interpreter's lock some times, which takes long while much comes."""
BAD_ROW = (
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


@dataclass
class Piece:
    """Rows that are written in one transaction."""

    samples: Sequence[Sample] = ()
    log: Sequence[LogRow] = ()

    def __len__(self) -> int:
        return len(self.samples) + len(self.log)


def pieces_of(samples: list[Sample], log: list[LogRow]) -> Iterator[Piece]:
    """All of these rows, the log first, samples by observable."""
    yield from (Piece(log=rows) for rows in _cut(log))
    yield from (Piece(samples=rows) for rows in _cut(by_series(samples)))


def insert(writer: RowWriter, db: Database, piece: Piece) -> None:
    """Part of the caller's transaction.

    Raises:
        BAD_ROW: a row cannot be stored.
    """
    writer.insert_samples(db, piece.samples)
    writer.insert_events(db, [row for row in piece.log if isinstance(row, Event)])
    writer.insert_puts(db, [row for row in piece.log if isinstance(row, PutRecord)])


def insert_what_can_be(writer: RowWriter, db: Database, piece: Piece) -> list[str]:
    """Store what can be stored of a piece and give up the rest, which would block the queue for ever; returns why."""
    rows = [Piece(samples=[sample]) for sample in piece.samples] + [Piece(log=[row]) for row in piece.log]
    return [reason for row in rows if (reason := _insert_one(writer, db, row))]


def _insert_one(writer: RowWriter, db: Database, row: Piece) -> str:
    db.conn.execute("SAVEPOINT one_row")
    try:
        insert(writer, db, row)
    except BAD_ROW as error:
        writer.forget()
        db.conn.execute("ROLLBACK TO one_row")
        return str(error) or type(error).__name__
    finally:
        db.conn.execute("RELEASE one_row")
    return ""


def _cut(rows: list[Row]) -> Iterator[list[Row]]:
    size = max(_PIECE, len(rows) // 20)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
