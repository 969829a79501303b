"""Stores the statistics of runs and manual values, with retries until it succeeds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from ioc.errors import PeerError, PeerTimeout
from ioc.model import RunId
from ioc.recorder.recorded_run import RecordedRun, load_earlier
from ioc.recorder.statistics import RunStatistics
from ioc.rundb import Measurement, SqliteRunStore

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 10.0
_RETRY_SECONDS = 1.0
"""After a failure."""
_SETTINGS_SECONDS = 0.5
"""How long a manual value waits for a slow disk; a locked file or a full disk is detected sooner."""
_PATIENCE_SECONDS = 10.0
"""How long the end of a run waits for the samples of an earlier process to be read."""


class Saver:
    """Stores the open run every ten seconds, and ended runs and manual values until it succeeds.

    Owns one task. `measure` returns the current rows of a run, `complete` adds the part recorded by an earlier process;
    both belong to the recorder, whose lock guards the statistics.
    """

    def __init__(
        self,
        store: SqliteRunStore,
        measure: Callable[[RecordedRun], Sequence[Measurement]],
        complete: Callable[[RecordedRun, Sequence[RunStatistics], float], None],
    ) -> None:
        self._store = store
        self._measure = measure
        self._complete = complete
        self._runs: list[RecordedRun] = []
        """The open run, and ended ones that are not stored yet."""
        self._settings: dict[str, str] = {}
        """Manual values that are not stored yet."""
        self._due = 0.0
        self._saving = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.stored_late: Callable[[RunId], None] = lambda run: None
        """Called when the statistics of a run are stored after a failure was reported."""

    def start(self) -> None:
        """Start saving periodically."""
        self._due = time.monotonic() + _SAVE_SECONDS
        self._task = asyncio.create_task(self._save_now_and_then(), name="recorder")

    async def close(self) -> None:
        """End the task; what is not stored stays for `save_in_time`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, run: RecordedRun) -> None:
        """Save this run until it has ended and is stored; an open run replaces another open one."""
        if run.ended_at is None:
            self._runs = self._ended()
        self._runs.append(run)

    async def begin(self, run: RecordedRun) -> None:
        """Store a starting run, without waiting for others.

        Raises:
            PeerError: the database does not work; the run is stored later.
        """
        try:
            await self._store.save_measurements(run.run, self._measure(run))
        except PeerError:
            run.failure_told = True
            self._due = 0.0
            raise

    async def save_settings(self, settings: Mapping[str, str]) -> None:
        """Store manual values; on disk when this returns, unless the database fails: then they are stored later."""
        self._settings.update(settings)
        with contextlib.suppress(PeerError, TimeoutError):
            async with asyncio.timeout(_SETTINGS_SECONDS):
                await self._save_settings()

    async def _save_settings(self) -> None:
        settings = dict(self._settings)
        if settings:
            await self._store.save_settings(settings)
            self._settings = {name: value for name, value in self._settings.items() if settings.get(name) != value}

    async def save_in_time(self) -> None:
        """As `save`, but do not wait for a long earlier part of a run to be read: it is stored later automatically.

        Raises:
            PeerError: the database does not work, or it takes too long; everything not stored is kept.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.save()
        except TimeoutError:
            raise PeerTimeout("statistics follow when the samples of an earlier process have been read") from None
        finally:
            for run in self._ended():
                run.failure_told = True

    async def save(self) -> None:
        """Store ended runs, the open one, and manual values.

        Raises:
            PeerError: the database does not work; what is not stored is kept.
        """
        failure: PeerError | None = None
        async with self._saving:
            try:
                await self._save_settings()
            except PeerError as error:
                failure = error
            for run in tuple(self._runs):
                try:
                    await self._save(run)
                except PeerError as error:
                    failure = error
                except Exception:
                    _log.exception("the statistics of run %d cannot be stored", run.run.number)
                    if run.ended_at is not None:
                        self._runs.remove(run)
        self._due = 0.0 if failure else time.monotonic() + _SAVE_SECONDS
        if failure is not None:
            raise failure

    async def _save(self, run: RecordedRun) -> None:
        if run.earlier is not None:
            self._complete(run, *await load_earlier(self._store, run.run, run.earlier))
        final = run.ended_at is not None
        await self._store.save_measurements(run.run, self._measure(run))
        if final and run in self._runs:
            self._runs.remove(run)
        elif run.ended_at is not None:
            return  # it ended while the database was busy: the stored rows are not final
        if run.failure_told:
            run.failure_told = False
            self.stored_late(run.run)

    def _ended(self) -> list[RecordedRun]:
        return [run for run in self._runs if run.ended_at is not None]

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            if self._settings or self._ended() or time.monotonic() >= self._due:
                try:
                    await self.save()
                except PeerError as error:
                    _log.debug("statistics are stored later: %s", error)
