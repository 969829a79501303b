"""Whether the run database can be written now; thread-safe."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ioc.rundb.times import to_text

_log = logging.getLogger(__name__)

_HANGS_SECONDS = 1.5
_RATE_SECONDS = 5.0


@dataclass(frozen=True)
class StoreHealth:
    """Condition of the run database."""

    queued: int
    """Rows not on disk yet."""
    written_per_second: float
    """Queued rows written to disk per second, over the last seconds."""
    dropped: int
    """Rows lost since the start because the queue was full, or because they could not be stored."""
    error: str
    """Why it cannot be written now, in a sentence; empty if it can."""
    warning: str = ""
    """What has to be done before writing becomes impossible, in a sentence; empty if nothing."""
    log_bytes: int = 0
    """Size of the file ``-wal`` beside it."""


class Condition:
    """The latest observations of the writer's thread, which sets them; other threads read them."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._error = ""
        self._failing_since = 0.0
        self._opened = False
        self._busy_since: float | None = time.monotonic()
        self._written: deque[tuple[float, int]] = deque()
        """When rows were written in the last seconds, and how many."""
        self.wrote_at = time.monotonic()
        """Time of the last successful write, on the monotonic clock."""
        self.warning = ""
        self.log_bytes = 0
        self.changes_elsewhere = 0
        """SQLite's number for what other programs have written; another one after each of their transactions."""

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return bool(self._error)

    @property
    def hangs(self) -> bool:
        """Whether a transaction has taken so long that waiting for another one is pointless."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > _HANGS_SECONDS

    def problem(self) -> str:
        """Why nothing can be written now, in a sentence; empty if it can."""
        if self._error:
            return self._error
        if self.hangs:
            what = "does not answer" if self._opened else "is not open yet"
            return f"the run database {self._path} {what}: check its disk"
        return ""

    @contextlib.contextmanager
    def at_work(self) -> Generator[None]:
        """Marks the time during which the thread waits for the disk."""
        self._busy_since = time.monotonic()
        try:
            yield
        finally:
            self._busy_since = None

    def opened(self) -> None:
        """Note that the file is open."""
        self._opened = True

    def failed(self, text: str) -> None:
        """Note that nothing can be written, for this reason."""
        if not self._error:
            self._failing_since = time.time()
            _log.error("%s (rows are kept until it works again)", text)
        elif text != self._error:
            _log.error("%s", text)
        self._error = text

    def works(self) -> str:
        """Note a successful write. After a failure, returns a sentence with its begin; else empty."""
        self.wrote_at = time.monotonic()
        if not self._error:
            return ""
        self._error = ""
        _log.warning("the run database %s works again", self._path)
        return f"the run database could not be written since {to_text(self._failing_since)}; it works again"

    def wrote_rows(self, count: int) -> None:
        """Note that this number of queued rows is on disk."""
        now = self._now()
        self._written.append((now, count))
        while self._written[0][0] <= now - _RATE_SECONDS:
            self._written.popleft()

    def health(self, queued: int, dropped: int) -> StoreHealth:
        """Return the condition, with the numbers of the queues."""
        now = self._now()
        recent = sum(count for moment, count in list(self._written) if now - moment < _RATE_SECONDS)
        return StoreHealth(queued, recent / _RATE_SECONDS, dropped, self.problem(), self.warning, self.log_bytes)
