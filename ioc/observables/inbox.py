"""Updates between libca's threads, which may bring them faster than they can be handled, and the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Protocol

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.02
"""Updates are left to gather for this long: together they cost a fraction of what they cost one by one."""
_TURN_SECONDS = 0.00025
"""How long updates are handled before the loop's other work goes on."""
_REST_SECONDS = 0.001
"""Between two turns: a command takes several turns of the loop, which should not have one of these each."""
_MANY = 2000
"""When more wait, they are handled without a rest."""
_LIMIT = 200_000


class Receiver(Protocol):
    """Who an update is for."""

    @property
    def closed(self) -> bool:
        """Whether it wants no more."""
        ...

    def take(self, update: bytes | None, /) -> None:
        """Handle an update, on the event loop; may call everything of the inbox."""
        ...


class Inbox:
    """Hands updates to their receivers in the order they came, for a moment at a time before the loop goes on.

    When `limit` updates wait, a receiver's newer ones replace one another, so that its last value is always kept.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        """`commands` go before updates."""
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        """None while nothing is taken."""
        self._lock = threading.Lock()
        self._waiting: list[tuple[Receiver, bytes | None]] = []
        self._late: dict[Receiver, bytes | None] = {}
        """The newest update of each receiver since the limit was reached."""
        self._batch: deque[tuple[Receiver, bytes | None]] = deque()
        """What is being handed out."""
        self._awake = False
        self._reported = 0
        self._failing = False
        self.received = 0
        """Updates since the start."""
        self.dropped = 0
        """Of them those that were lost here: too many waited, or the receiver failed."""

    def open(self) -> None:
        """Take updates from now on, and hand them out on the running event loop."""
        self._loop = asyncio.get_running_loop()

    def put(self, receiver: Receiver, update: bytes | None) -> None:
        """Take an update; it is handled soon. For any thread, and quick: libca waits for it."""
        with self._lock:
            if self._loop is None:
                return
            self.received += 1
            if receiver in self._late:
                self.dropped += 1
                # Behind the news that there are no more, nothing counts.
                self._late[receiver] = update if self._late[receiver] is not None else None
            elif len(self._waiting) < self._limit:
                self._waiting.append((receiver, update))
            else:
                self._late[receiver] = update
            if self._awake:
                return
            self._awake = True
            self._loop.call_soon_threadsafe(self._pause)

    def report(self) -> None:
        """Say in the log how many were lost since the last report, if any; called now and then."""
        lost = self.dropped - self._reported
        if lost:
            self._reported = self.dropped
            self._failing = False
            _log.warning("observables: %d readings could not be taken and were dropped", lost)

    def close(self) -> None:
        """Drop everything, now and from now on."""
        with self._lock:
            self._loop = None
            self._awake = False
            self._waiting.clear()
            self._late.clear()
        self._batch.clear()

    def _pause(self) -> None:
        if self._loop is not None:
            self._loop.call_later(_PAUSE_SECONDS, self._begin)

    def _begin(self) -> None:
        with self._lock:
            self._batch.extend(self._waiting)
            self._batch.extend(self._late.items())
            self._waiting.clear()
            self._late.clear()
            self._awake = bool(self._batch)
        if self._batch:
            self._hand_out()

    def _hand_out(self) -> None:
        if self._loop is None:
            return
        try:
            until = time.monotonic() + _TURN_SECONDS
            while self._batch and time.monotonic() < until:
                self._hand_over(*self._batch.popleft())
        finally:
            if not self._batch:
                self._pause()
            elif len(self._batch) > _MANY:
                self._loop.call_soon(self._hand_out)
            else:
                self._loop.call_later(_REST_SECONDS, self._hand_out)

    def _hand_over(self, receiver: Receiver, update: bytes | None) -> None:
        if receiver.closed:
            return
        try:
            receiver.take(update)
        except Exception:
            self.dropped += 1
            if not self._failing:
                _log.exception("observables: a reading could not be taken")
            self._failing = True
