"""The end of the process: on a signal, and in time even if something hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

log = logging.getLogger(__name__)

_SECONDS = 4.5
_FAILED = 1


def signals() -> tuple[signal.Signals, ...]:
    """The signals that end an IOC; not SIGHUP if it was started with ``nohup``."""
    asked = (signal.SIGINT, signal.SIGTERM)
    return asked if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*asked, signal.SIGHUP)


class Ending:
    """Handles SIGINT, SIGTERM and SIGHUP in the process of an IOC. Repeated signals have no effect."""

    def __init__(self) -> None:
        self._begun = False

    def listen(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call `stop` on a signal to end. The process ends within a few seconds, even if `stop` hangs.

        The handlers stay installed until the process ends.
        """

        def asked() -> None:
            stop()
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._end_in_time, name="end in time", daemon=True).start()

        for number in signals():
            loop.add_signal_handler(number, asked)

    def leave(self, code: int) -> NoReturn:
        """End the process at once, even if one of its threads still waits for something."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed by the parent process
                stream.flush()
        os._exit(code)

    def _end_in_time(self) -> None:
        time.sleep(_SECONDS)
        log.critical("something hangs, the IOC has not ended within %g s: killing it", _SECONDS)
        self.leave(_FAILED)
