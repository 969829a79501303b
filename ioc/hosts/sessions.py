"""How many sessions may be open on a connection at the same time."""

from __future__ import annotations

import threading
import time
from collections import deque


class Sessions:
    """Counts sessions and learns from refusals how many the server allows (``MaxSessions`` in its sshd_config).

    Who cannot have one waits for his turn, first come, first served: a filing must not keep the look waiting for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._limit = 0
        """0: not known yet."""
        self._waiting: deque[threading.Event] = deque()

    @property
    def scarce(self) -> bool:
        """The server has refused one, so that an idle one is best ended."""
        return self._limit > 0

    def enter(self, seconds: float) -> bool:
        """Wait for permission to open one; False if there was none in time."""
        with self._lock:
            if not self._waiting and (not self._limit or self._open < self._limit):
                self._open += 1
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(seconds):
            return True
        with self._lock:
            if turn.is_set():
                return True
            self._waiting.remove(turn)
        return False

    def leave(self) -> None:
        """One has ended, or was not opened after all."""
        with self._lock:
            self._open -= 1
            self._pass_on()

    def refused(self) -> None:
        """The server opened none although `enter` permitted it; the caller's is given back."""
        with self._lock:
            self._open -= 1
            self._limit = max(1, self._open)
            self._pass_on()

    def reset(self) -> None:
        """The connection is a new one, to a server that may have another limit."""
        with self._lock:
            self._limit = 0
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting and (not self._limit or self._open < self._limit):
            self._open += 1
            self._waiting.popleft().set()


def pause(deadline: float) -> bool:
    """Wait a little for the server to notice that a session has ended; False if the time is over."""
    time.sleep(0.02)
    return time.monotonic() < deadline
