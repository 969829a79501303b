"""How long the event loop stands still, on a machine that does much else.

A wall clock would also count the time in which the machine ran other programs. So two clocks are read that stand still
then: a thread of this process that wakes up every five milliseconds, for a loop that waits for something, and the
processor time of the loop's thread, for one that computes, when the other thread may not get its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Generator
from typing import Self

_PERIOD = 0.005


class Laps:
    """Measures laps; a context manager."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds of the longest one."""
        self._wakings = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def _count(self) -> None:
        while not self._end.wait(_PERIOD):
            self._wakings += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextlib.contextmanager
    def lap(self) -> Generator[None]:
        """What is done inside is one lap."""
        began, computed = self._wakings, time.thread_time()
        yield
        self.longest = max(self.longest, (self._wakings - began) * _PERIOD, time.thread_time() - computed)

    async def turn(self) -> None:
        """One turn of the event loop, as a lap."""
        with self.lap():
            await asyncio.sleep(_PERIOD)
