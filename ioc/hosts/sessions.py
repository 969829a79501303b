"""How many sessions may be open on a connection at the same time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Session = TypeVar("Session")


@dataclass(eq=False)
class _Turn(Generic[Session]):
    """Somebody who waits."""

    any_session: bool
    """It takes one that another has done with."""
    session: Session | None = None
    come: threading.Event = field(default_factory=threading.Event)


class Sessions(Generic[Session]):
    """Counts sessions and learns from refusals how many the server allows (``MaxSessions`` in its sshd_config).

    Who cannot have one waits for his turn, first come, first served: a filing must not keep the look waiting for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._limit = 0
        """0: not known yet."""
        self._waiting: deque[_Turn[Session]] = deque()

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    def enter(
        self, seconds: float, make_room: Callable[[], None], *, any_session: bool = False
    ) -> tuple[bool, Session | None]:
        """Wait for permission to open one, or for one that another has done with; False if neither came in time.

        `make_room` is called if there is none free; it ends those that nobody uses.
        """
        with self._lock:
            if not self._waiting and (not self._limit or self._open < self._limit):
                self._open += 1
                return True, None
            turn = _Turn[Session](any_session)
            self._waiting.append(turn)
        make_room()
        if not turn.come.wait(seconds):
            with self._lock:
                if not turn.come.is_set():
                    self._waiting.remove(turn)
                    return False, None
        return True, turn.session

    def pass_on(self, session: Session) -> bool:
        """Give a session to who waits longest, if he takes it; False if it is in nobody's way."""
        with self._lock:
            if self._waiting and self._waiting[0].any_session:
                turn = self._waiting.popleft()
                turn.session = session
                turn.come.set()
                return True
        return False

    @property
    def waited_for(self) -> bool:
        """Somebody waits."""
        return bool(self._waiting)

    def leave(self) -> None:
        """One has ended, or was not opened after all."""
        with self._lock:
            self._open -= 1
            self._permit()

    def refused(self) -> None:
        """The server opened none although `enter` permitted it; the caller's is given back."""
        with self._lock:
            self._open -= 1
            self._limit = max(1, self._open)
            self._permit()

    def _permit(self) -> None:
        while self._waiting and (not self._limit or self._open < self._limit):
            self._open += 1
            self._waiting.popleft().come.set()


def pause(deadline: float) -> bool:
    """Wait a little for the server to notice that a session has ended; False if the time is over."""
    time.sleep(0.02)
    return time.monotonic() < deadline
