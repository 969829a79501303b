# pyright: reportUnknownMemberType=false
"""A thread that reads the run database beside the writer, for queries that look at all files.

In a database of 600,000 files such a query takes 0.2 to 0.8 s. In the writer's thread a start of a run would wait for
it; here nothing waits: in WAL mode readers and the writer do not lock each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ioc.errors import PeerError
from ioc.rundb.connection import open_for_reading, peer_error

Result = TypeVar("Result")

_STEPS = 100_000
"""Instructions of SQLite, some milliseconds, after which a query looks whether it must end."""

LOOK_SHARE = 20
"""A repeated query waits this many times the duration of the last one, so a large database is queried less often."""


class Reader:
    """Owns the thread and the connection of the query that is under way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="run database reader")
        self._over = threading.Event()

    async def read(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a function in a transaction that cannot write; one after the other.

        Raises:
            PeerError: the database cannot be read, or is closed.
        """
        try:
            future = self._threads.submit(self._read, function)
        except RuntimeError:
            raise self._is_closed() from None
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the query that is under way, and the thread."""
        self._over.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_closed(self) -> PeerError:
        return PeerError(f"the run database {self._path} is closed")

    def _read(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        # A connection for each query: it sees the file that has the name now, and none is left open.
        db = open_for_reading(self._path)
        try:
            db.set_progress_handler(self._over.is_set, _STEPS)
            db.execute("BEGIN")
            return function(db)
        except sqlite3.Error as error:
            raise peer_error(self._path, error) from error
        finally:
            with contextlib.suppress(sqlite3.Error):
                db.close()
