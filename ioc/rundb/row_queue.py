"""Rows waiting to be written."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

Row = TypeVar("Row")


class RowQueue(Generic[Row]):
    """A bounded queue between any thread and the writer; rows that do not fit are counted, and logged once."""

    def __init__(self, kind: str, limit: int) -> None:
        """`kind` names the rows in the log; `limit` is their maximum number."""
        self._kind = kind
        self._limit = limit
        self._lock = threading.Lock()
        self._rows: deque[Row] = deque()
        self._dropping = 0
        self.accepted = 0
        """Total rows ever queued, without the dropped ones."""
        self.removed = 0
        """Those of them that are on disk. For the writer's thread."""
        self.dropped = 0
        """Rows lost since the start of the program."""

    def __len__(self) -> int:
        """Rows not on disk."""
        return len(self._rows)

    def put(self, rows: Sequence[Row]) -> None:
        """Append rows; those beyond the limit are dropped (older ones are kept, so that there is a single gap)."""
        with self._lock:
            accepted = rows[: max(0, self._limit - len(self._rows))]
            self._rows.extend(accepted)
            self.accepted += len(accepted)
            lost = len(rows) - len(accepted)
            begins = lost > 0 and not self._dropping
            self._dropping += lost
            self.dropped += lost
        if begins:
            _log.error("run database: %d %s wait to be written, new ones are dropped", self._limit, self._kind)

    def oldest(self, count: int) -> list[Row]:
        """The oldest rows, at most `count`, to be written and then removed."""
        with self._lock:
            return list(itertools.islice(self._rows, count))

    def remove(self, count: int) -> None:
        """Remove the oldest rows: they are on disk."""
        with self._lock:
            for _ in range(count):
                self._rows.popleft()
            self.removed += count

    def lost(self) -> int:
        """Number of rows dropped, returned and logged once when the queue is half empty again; else 0."""
        with self._lock:
            if len(self._rows) > self._limit / 2:
                return 0
            dropped, self._dropping = self._dropping, 0
        if dropped:
            _log.warning("run database: writing continues; %d %s were dropped", dropped, self._kind)
        return dropped
