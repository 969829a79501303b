"""Polls the sockets for a moment instead of sleeping, while a client sends one request after another.

A sleeping process takes some 20 µs to wake up, and by then its code and data have left the processor's caches. A script
that gets or puts one PV after another pays this for each of them. So requests that closely follow others of the same
client keep the event loop awake until the next ones may have come. Neither a client that sends a request now and then
nor updates cause this. docs/decisions/0015 tells what it brings and costs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

POLL_SECONDS = 300e-6
"""How soon requests must follow to count as one after another, and how long the next ones are awaited."""
BUSY_SECONDS = 1.0
"""There is no polling for this time after other programs have needed the processor."""


class BusyPoll:
    """Keeps a server's event loop awake.

    `now` gives seconds; uvloop's own clock has only milliseconds. `give_way` lets other programs have the processor.
    """

    def __init__(
        self, now: Callable[[], float] = time.perf_counter, give_way: Callable[[], None] = os.sched_yield
    ) -> None:
        self._now = now
        self._give_way = give_way
        self._end = 0.0
        self._not_before = 0.0
        self._polling = False

    def answered(self, previous: float, loop: asyncio.AbstractEventLoop) -> float:
        """Note that requests of a client were answered; returns the time, to be passed as `previous` at the next."""
        now = self._now()
        if now - previous <= POLL_SECONDS and now >= self._not_before:
            self._end = now + POLL_SECONDS
            if not self._polling:
                self._polling = True
                loop.call_soon(self._poll, loop)
        return now

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take another turn; a loop that has one to take looks at its sockets without waiting for them."""
        before = self._now()
        self._give_way()  # the client may wait for this processor
        now = self._now()
        if now - before > POLL_SECONDS:  # others do too, and who sleeps comes before who polls
            self._not_before = now + BUSY_SECONDS
        self._polling = now < self._end and now >= self._not_before
        if self._polling:
            loop.call_soon(self._poll, loop)
