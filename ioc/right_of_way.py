"""Commands go before samples: who handles samples asks here whether to wait for a moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator

_LONGEST_SECONDS = 0.02


class RightOfWay:
    """Held while commands are under way, but at most 20 ms; then samples have as long before it is given again.

    Commands are of the event loop's thread; any thread may ask how long to wait.
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
                self._until, self._not_before = now, now + (now - self._since)

    def seconds(self) -> float:
        """How long samples have to wait, at most; 0 if they may go on."""
        return max(0.0, self._until - self._clock())
