"""The log: every line goes to stderr, the run database and the ``Log:`` PVs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Generator

from ioc.model import Event, RunId, Severity

_LEVELS = {
    Severity.NO_ALARM: logging.INFO,
    Severity.MINOR: logging.WARNING,
    Severity.MAJOR: logging.ERROR,
    Severity.INVALID: logging.ERROR,
}
_RUN_LOG = logging.getLogger("ioc.run")


def set_up_stderr(level: str) -> None:
    """Log to stderr, one line per event, suitable for journald. `level` does not affect what the run database keeps."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(level.upper())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("ioc").setLevel(min(handler.level, logging.WARNING))
    logging.captureWarnings(capture=True)


class _OneLine(logging.Formatter):
    """Keeps an event on one line, even with a traceback, which only a bug causes."""

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


class Journal(logging.Handler):
    """Records the lines of the core, and messages of adapters from WARNING up.

    It is a handler of the logger ``ioc``; its own lines, logged to ``ioc.run``, are not recorded twice.
    """

    def __init__(self, keep: Callable[[Event], None], show: Callable[[Event], None]) -> None:
        """`keep` may be called from any thread; `show` is called on the event loop given to `attached`."""
        super().__init__(level=logging.WARNING)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keep = keep
        self._show = show

    def add(self, event: Event) -> None:
        who = f" [{event.client.user}@{event.client.host}]" if event.client.host else ""
        _RUN_LOG.log(_LEVELS[event.severity], "%s: %s%s", event.source, event.message, who)
        self._keep(event)
        self._show(event)

    @contextlib.contextmanager
    def attached(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        """Listen to the logger ``ioc`` while in the context."""
        logger = logging.getLogger("ioc")
        self._loop = loop
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            self._loop = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of an adapter (any thread). It belongs to a run if its `extra` names one."""
        if record.name == _RUN_LOG.name:
            return
        severity = Severity.MAJOR if record.levelno >= logging.ERROR else Severity.MINOR
        run: RunId | None = getattr(record, "run", None)
        event = Event(record.created, severity, "IOC", record.getMessage(), run=run)
        self._keep(event)
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while a thread was still logging
                loop.call_soon_threadsafe(self._show, event)
