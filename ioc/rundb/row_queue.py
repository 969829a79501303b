"""Rows that wait to be written."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

Row = TypeVar("Row")


class RowQueue(Generic[Row]):
    """A bounded queue between any thread and the writer; what does not fit is counted, and said once."""

    def __init__(self, kind: str, limit: int) -> None:
        """`kind` names the rows in the log; `limit` is their greatest number."""
        self._kind = kind
        self._limit = limit
        self._lock = threading.Lock()
        self._rows: deque[Row] = deque()
        self._taken = 0
        self._dropping = 0
        self.accepted = 0
        """Rows that were ever put, without those that were dropped."""
        self.given = 0
        """Rows that were ever taken."""
        self.dropped = 0
        """Rows that were lost since the start of the program."""

    def __len__(self) -> int:
        """Rows that are not on disk, those included that were taken."""
        return len(self._rows) + self._taken

    def put(self, rows: Sequence[Row]) -> None:
        """Append rows; those beyond the limit are dropped (the older ones are kept, so that a gap is at one place)."""
        begins = False
        with self._lock:
            room = max(0, self._limit - len(self))
            lost = len(rows) - room
            self._rows.extend(rows if lost <= 0 else rows[:room])
            self.accepted += min(len(rows), room)
            if lost > 0:
                begins = not self._dropping
                self._dropping += lost
                self.dropped += lost
        if begins:
            _log.error("run database: %d %s wait to be written, new ones are dropped", self._limit, self._kind)

    def take(self, count: int) -> list[Row]:
        """Take out the oldest rows, at most `count`, to write them; `settle` tells when that is done."""
        with self._lock:
            rows = [self._rows.popleft() for _ in range(min(count, len(self._rows)))]
            self._taken += len(rows)
            self.given += len(rows)
        return rows

    def settle(self, count: int) -> None:
        """So many of those that were taken are on disk."""
        with self._lock:
            self._taken -= count

    def lost(self) -> int:
        """How many new rows were dropped since the last call; said in the log."""
        with self._lock:
            dropped, self._dropping = self._dropping, 0
        if dropped:
            _log.warning("run database: writing goes on; %d %s were dropped", dropped, self._kind)
        return dropped
