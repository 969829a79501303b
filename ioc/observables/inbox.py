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

_TURN_SECONDS = 0.01
"""How long updates are handled before the loop's other work goes on."""
_LIMIT = 200_000


class Inbox:
    """Hands updates to their handlers in the order they came, for at most 10 ms before the loop goes on.

    aioca calls back until no update is left, which never comes when they arrive as fast as they are handled; putting
    one here is so quick that it always comes. When `limit` updates wait, a handler's oldest gives way to its newest,
    so that the last value of a source is always kept. A handler may call everything here.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._waiting: dict[Handler, deque[Any]] = {}
        self._order: deque[Handler] = deque()
        """A handler for each update that waits; one that was forgotten may have more entries than updates."""
        self._scheduled: asyncio.Handle | None = None
        self._reported = 0
        self._failing = False
        self._closed = False
        self.received = 0
        """Updates since the start."""
        self.dropped = 0
        """Of them those that were lost here: too many waited, or the handler failed."""

    def put(self, handler: Handler, update: Any) -> None:
        """Take an update; it is handled soon."""
        if self._closed:
            return
        self.received += 1
        updates = self._waiting.get(handler)
        if updates is None:
            updates = self._waiting[handler] = deque()
        if updates and len(self._order) >= self._limit:
            updates.popleft()  # the newest takes its place in the order
            self.dropped += 1
        else:
            self._order.append(handler)
        updates.append(update)
        if self._scheduled is None:
            self._schedule()

    def forget(self, handler: Handler) -> None:
        """Drop what waits for a handler that wants no more."""
        self._waiting.pop(handler, None)

    def report(self) -> None:
        """Say in the log how many were lost since the last report, if any; called now and then."""
        lost = self.dropped - self._reported
        if lost:
            self._reported = self.dropped
            self._failing = False
            _log.warning("observables: %d readings could not be taken and were dropped", lost)

    def close(self) -> None:
        """Drop everything, now and from now on."""
        self._closed = True
        self._waiting.clear()
        self._order.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _schedule(self) -> None:
        self._scheduled = asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        try:
            until = time.monotonic() + _TURN_SECONDS
            while self._order and time.monotonic() < until:
                self._hand_to(self._order.popleft())
        finally:
            self._scheduled = None
            if self._order:
                self._schedule()

    def _hand_to(self, handler: Handler) -> None:
        updates = self._waiting.get(handler)
        if not updates:
            return
        try:
            handler(updates.popleft())
        except Exception:
            self.dropped += 1
            if not self._failing:
                _log.exception("observables: a reading could not be taken")
            self._failing = True
