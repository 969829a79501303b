"""Updates between Channel Access, which may bring them faster than they can be handled, and the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

Handler = Callable[[Any], None]

_SLICE_SECONDS = 0.01
_LIMIT = 20_000


class Inbox:
    """Hands updates to their handlers, each handler's in order, for at most 10 ms before the loop's other work goes on.

    aioca calls back until no update is left, which never comes when they arrive as fast as they are handled; putting
    one here is so quick that it always comes. When `limit` updates wait, a handler's oldest give way to its newest.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._waiting: dict[Handler, deque[Any]] = {}
        self._size = 0
        self._scheduled: asyncio.Handle | None = None
        self._dropped = 0

    def put(self, handler: Handler, update: Any) -> None:
        """Take an update; it is handled soon."""
        updates = self._waiting.get(handler)
        if updates is None:
            updates = self._waiting[handler] = deque()
        elif self._size >= self._limit:
            updates.popleft()
            self._size -= 1
            self._dropped += 1
        updates.append(update)
        self._size += 1
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._hand_out)

    def forget(self, handler: Handler) -> None:
        """Drop what waits for a handler."""
        self._size -= len(self._waiting.pop(handler, ()))

    def close(self) -> None:
        """Drop everything."""
        self._waiting.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()

    def _hand_out(self) -> None:
        self._scheduled = None
        until = time.monotonic() + _SLICE_SECONDS
        try:
            while self._waiting and time.monotonic() < until:
                self._hand_to(next(iter(self._waiting)), until)
        finally:
            if self._waiting and self._scheduled is None:
                self._scheduled = asyncio.get_running_loop().call_soon(self._hand_out)
        if not self._waiting and self._dropped:
            _log.warning("observables: %d readings came too fast to be taken, and were dropped", self._dropped)
            self._dropped = 0

    def _hand_to(self, handler: Handler, until: float) -> None:
        updates = self._waiting.pop(handler)
        try:
            while updates and time.monotonic() < until:
                self._size -= 1
                handler(updates.popleft())
        finally:
            if updates:  # behind the others
                updates.extend(self._waiting.pop(handler, ()))
                self._waiting[handler] = updates
