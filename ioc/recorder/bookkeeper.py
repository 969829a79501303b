"""Brings the figures of runs into the database, whatever that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ioc.errors import PeerError, PeerTimeout
from ioc.recorder.needs import RecorderStore
from ioc.recorder.run_figures import RunFigures

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 10.0
_PATIENCE_SECONDS = 10.0
"""How long the end of a run waits for the samples that another process has left to be read."""


class Bookkeeper:
    """Stores the figures of the open run every ten seconds, and those of ended runs until they are stored.

    Owns one task.
    """

    def __init__(self, store: RecorderStore, now: Callable[[], float], completed: Callable[[RunFigures], None]) -> None:
        """`completed` is told when what another process has recorded of a run was added to its figures."""
        self._store = store
        self._now = now
        self._completed = completed
        self.open: RunFigures | None = None
        """Those of the run that is recorded."""
        self._ended: list[RunFigures] = []
        self._storing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to store now and then."""
        self._task = asyncio.create_task(self._save_now_and_then(), name="recorder")

    async def close(self) -> None:
        """End the task; what is not stored stays for `save_in_time`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def begin(self, figures: RunFigures) -> None:
        """Store those of the run that begins, without waiting for others.

        Raises:
            PeerError: the database does not work; they are stored later.
        """
        await self._store.save_measurements(figures.run, figures.measurements(self._now()))

    def end(self, figures: RunFigures) -> None:
        """These are of a run that has ended."""
        if figures is self.open:
            self.open = None
        self._ended.append(figures)

    async def save_in_time(self) -> None:
        """As `save`, but do not wait for a long past of a run that another process began: that follows by itself.

        Raises:
            PeerError: the database does not work, or it takes too long; what is not stored is kept.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.save()
        except TimeoutError:
            raise PeerTimeout("statistics follow when the samples of an earlier process have been read") from None

    async def save(self) -> None:
        """Store what is not stored of ended runs, and the open one.

        Raises:
            PeerError: the database does not work; what is not stored is kept.
        """
        failure: PeerError | None = None
        async with self._storing:
            for figures in (*self._ended, *([self.open] if self.open else ())):
                final = True
                try:
                    final = await self._save(figures)
                except PeerError as error:
                    failure, final = error, False
                except Exception:
                    _log.exception("the statistics of run %d cannot be stored", figures.run.number)
                if final and figures in self._ended:
                    self._ended.remove(figures)
        if failure is not None:
            raise failure

    async def _save(self, figures: RunFigures) -> bool:
        """Store them; whether these were the last: the run may end while the database works."""
        if not figures.whole:
            await figures.complete(
                self._store, lambda gaps: self._store.add_samples(figures.run.experiment, figures.run, gaps)
            )
            self._completed(figures)
        ended = figures.ended_at is not None
        await self._store.save_measurements(figures.run, figures.measurements(self._now()))
        return ended

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            try:
                await self.save()
            except PeerError as error:
                _log.debug("statistics are stored later: %s", error)
