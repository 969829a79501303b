"""Commands go before samples: who handles samples asks here whether to wait for a moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator

_LONGEST_SECONDS = 0.02
_ASK_SECONDS = 0.002
"""Who waits asks again after this at the latest: most commands end soon."""
_SHARE_SECONDS = 2 * _ASK_SECONDS
"""So long samples go between two commands at least, or they might ask in vain each time."""


class RightOfWay:
    """Given to a command that begins when samples have had their share, until none is under way, but at most for 20 ms.

    The share of the samples is as long as they have waited, and 4 ms at least. Commands are of the event loop's thread;
    any thread may ask whether to wait.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._commands = 0
        self._since = 0.0
        self._until = 0.0
        self._not_before = 0.0

    @contextlib.contextmanager
    def command(self) -> Generator[None]:
        """While a command is under way."""
        now = self._clock()
        self._commands += 1
        if now >= self._not_before:
            self._since, self._until = now, now + _LONGEST_SECONDS
            self._not_before = self._until + _LONGEST_SECONDS
        try:
            yield
        finally:
            self._commands -= 1
            now = self._clock()
            if not self._commands and now < self._until:
                self._until, self._not_before = now, now + max(_SHARE_SECONDS, now - self._since)

    def seconds(self) -> float:
        """0 if samples may go on, else after how long to ask again."""
        return max(0.0, min(_ASK_SECONDS, self._until - self._clock()))
