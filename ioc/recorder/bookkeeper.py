"""Brings the figures of runs into the database, whatever that takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from ioc.errors import PeerError, PeerTimeout
from ioc.model import RunId
from ioc.recorder.needs import RecorderStore
from ioc.recorder.run_figures import RunFigures
from ioc.rundb import SavedSetting

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 10.0
_RETRY_SECONDS = 1.0
"""After a failure."""
_SETTINGS_SECONDS = 0.5
"""How long a manual value waits for a slow disk; a locked file or a full disk is known sooner."""
_PATIENCE_SECONDS = 10.0
"""How long the end of a run waits for the samples that another process has left to be read."""


class Bookkeeper:
    """Stores the figures of the open run every ten seconds, those of ended runs and manual values until that is done.

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
        self._settings: dict[str, SavedSetting] = {}
        """Manual values that could not be stored yet."""
        self._missed: set[RunId] = set()
        """Runs of which somebody was told that their figures are not stored."""
        self._failed = False
        self._storing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.made_up: Callable[[RunId], None] = lambda run: None
        """Told when the figures of such a run are stored after all."""

    @property
    def unsaved(self) -> Mapping[str, SavedSetting]:
        """Manual values that are newer than those in the database."""
        return self._settings

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
        try:
            await self._store.save_measurements(figures.run, figures.measurements(self._now()))
        except PeerError:
            self._missed.add(figures.run)
            self._failed = True
            raise

    async def save_settings(self, settings: Mapping[str, str]) -> None:
        """Store manual values; on disk when this returns, unless the database fails: then they follow by themselves."""
        now = self._now()
        self._settings.update({name: SavedSetting(value, now) for name, value in settings.items()})
        with contextlib.suppress(PeerError, TimeoutError):
            async with asyncio.timeout(_SETTINGS_SECONDS):
                await self._save_settings()

    async def _save_settings(self) -> None:
        settings = dict(self._settings)
        if settings:
            await self._store.save_settings({name: saved.value for name, saved in settings.items()})
            self._settings = {name: saved for name, saved in self._settings.items() if settings.get(name) is not saved}

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
        finally:
            self._missed.update(figures.run for figures in self._ended)

    async def save(self) -> None:
        """Store what is not stored of ended runs, the open one, and manual values.

        Raises:
            PeerError: the database does not work; what is not stored is kept.
        """
        failure: PeerError | None = None
        async with self._storing:
            try:
                await self._save_settings()
            except PeerError as error:
                failure = error
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
        self._failed = failure is not None
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
        if figures.run in self._missed and (ended or figures is self.open):
            self._missed.remove(figures.run)
            self.made_up(figures.run)
        return ended

    async def _save_now_and_then(self) -> None:
        while True:
            began = time.monotonic()
            while True:
                await asyncio.sleep(_RETRY_SECONDS)
                late = self._failed or self._ended or self._settings
                if late or time.monotonic() - began >= _SAVE_SECONDS:
                    break
            try:
                await self.save()
            except PeerError as error:
                _log.debug("statistics are stored later: %s", error)
