"""The end of the process: asked for by a signal, and there in time whatever hangs."""

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
    """Those that end an IOC; not SIGHUP where it was started with ``nohup``."""
    asked = (signal.SIGINT, signal.SIGTERM)
    return asked if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*asked, signal.SIGHUP)


class Ending:
    """What SIGINT, SIGTERM and SIGHUP do in the process of an IOC. One that comes again changes nothing."""

    def __init__(self) -> None:
        self._begun = False

    def listen(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call `stop` when the process is to end. It ends a few seconds later, also if `stop` does not lead there.

        The signals are listened to until the process is gone.
        """

        def asked() -> None:
            stop()
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._end_in_time, name="end in time", daemon=True).start()

        for number in signals():
            loop.add_signal_handler(number, asked)

    def leave(self, code: int) -> NoReturn:
        """End the process at once: whatever a thread of it may still wait for, there is nothing more to be done."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed by whoever started us
                stream.flush()
        os._exit(code)

    def _end_in_time(self) -> None:
        time.sleep(_SECONDS)
        log.critical("something hangs, the IOC has not ended within %g s: killing it", _SECONDS)
        self.leave(_FAILED)
