# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The run database as the engine sees it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from ioc.errors import PeerTimeout
from ioc.model import (
    Event,
    FiledFile,
    PutRecord,
    Reading,
    RunClass,
    RunConfig,
    RunId,
    RunInterval,
    RunQuality,
    RunRecord,
)
from ioc.rundb import documents, intervals, samples
from ioc.rundb.condition import StoreHealth
from ioc.rundb.documents import Measurement
from ioc.rundb.reader import Reader
from ioc.rundb.rows import UnknownRowError
from ioc.rundb.run_sheet import SheetRows, last_rows
from ioc.rundb.writer import Writer

if TYPE_CHECKING:
    from sqlite_utils import Database

    from ioc.topology.schema import Observable

Result = TypeVar("Result")

_CALL_SECONDS = 10.0
"""Longest wait for one transaction. Only a slow disk takes that long; a locked file or a full disk fails sooner."""
_CLOSE_SECONDS = 2.0
_PAGE = 10_000
"""Samples read back in one transaction, which takes 50 ms; nothing else is written meanwhile."""
_SAMPLE_LIMIT = 200_000
_LOG_LIMIT = 20_000


class SqliteRunStore:
    """`ioc.ports.RunStore` in one SQLite file, with further methods for the recorder.

    Every awaited call is one transaction and on disk when it returns. It raises `PeerError` within `call_seconds` on
    failure: then nothing has changed, except after `PeerTimeout`, when the outcome is unknown.
    """

    def __init__(
        self,
        path: Path,
        *,
        call_seconds: float = _CALL_SECONDS,
        sample_limit: int = _SAMPLE_LIMIT,
        log_limit: int = _LOG_LIMIT,
    ) -> None:
        """`sample_limit` and `log_limit` are the maximum numbers of rows kept while none can be written."""
        self._path = path
        self._call_seconds = call_seconds
        self._started = False
        self._writer = Writer(path, sample_limit=sample_limit, log_limit=log_limit)
        self._reader = Reader(path)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, creating or migrating it as needed.

        No other IOC can use it until `close`.

        Raises:
            PeerError: it cannot be opened, is not a run database, is too new, or is in use by another IOC.
        """
        store = cls(path)
        await store.start()
        return store

    async def start(self) -> None:
        """As `open`, but wait while another program has locked the file or its disk is full; `problem` reports that."""
        if not self._started:
            self._started = True
            self._writer.start()
        await asyncio.shield(asyncio.wrap_future(self._writer.opened))

    def health(self) -> StoreHealth:
        """Condition of the database; thread-safe."""
        return self._writer.health()

    async def last_run(self, experiment: str) -> RunRecord | None:
        return await self.transaction(lambda db: documents.last_run(db, experiment))

    async def last_runs(self, experiment: str, most: int) -> tuple[RunRecord, ...]:
        """Return the newest runs of an experiment, newest first."""
        return await self.transaction(lambda db: documents.last_runs(db, experiment, most))

    async def last_rows(self, experiment: str, most: int) -> SheetRows:
        """Return the newest runs of an experiment as on the run sheet."""
        return await self.transaction(lambda db: last_rows(db, experiment, most))

    async def get_run(self, run: RunId) -> RunRecord | None:
        return await self.transaction(lambda db: documents.get_run(db, run))

    async def unfinished_runs(self) -> tuple[RunRecord, ...]:
        return await self.transaction(documents.unfinished_runs)

    async def reserve_run(
        self, experiment: str, title: str, run_class: RunClass, config_name: str, *, at_least: int = 0
    ) -> RunRecord:
        def reserve(db: Database) -> RunRecord:
            # What was remembered for earlier runs is hardly used again, and would grow with each: ids, and pages of
            # the file.
            self._writer.rows.forget()
            db.execute("PRAGMA shrink_memory")
            return documents.reserve_run(db, experiment, title, run_class, config_name, at_least=at_least)

        return await self.transaction(reserve)

    def problem(self) -> str:
        """As in `RunStore`; thread-safe."""
        return self._writer.condition.problem()

    async def save_run(self, record: RunRecord) -> None:
        await self.transaction(lambda db: documents.save_run(db, record))

    async def save_verdict(self, run: RunId, *, comment: str | None, quality: RunQuality | None) -> None:
        await self._of_run(run, lambda db, run_id: documents.save_verdict(db, run_id, comment, quality))

    def changes_elsewhere(self) -> int:
        """As in `RunStore`; thread-safe."""
        return self._writer.condition.changes_elsewhere

    async def save_run_configs(self, run: RunId, configs: Sequence[RunConfig]) -> None:
        await self._of_run(run, lambda db, run_id: documents.save_run_configs(db, run_id, configs))

    async def save_interval(self, interval: RunInterval) -> None:
        rows, name = self._writer.rows, interval.observable

        def save(db: Database) -> None:
            try:
                observable_id = rows.observable_id(db, interval.run.experiment, name) if name else None
            except UnknownRowError:  # it was removed from the topology since
                observable_id = None
            intervals.save_interval(db, rows.run_id(db, interval.run), observable_id, interval)

        await self.transaction(save)

    async def add_files(self, run: RunId, *files: FiledFile) -> None:
        await self._of_run(run, lambda db, run_id: documents.add_files(db, run_id, files))

    async def load_settings(self) -> Mapping[str, str]:
        return {name: saved.value for name, saved in (await self.load_saved_settings()).items()}

    async def load_saved_settings(self) -> Mapping[str, documents.SavedSetting]:
        """The settings, each with its time of saving."""
        return await self.transaction(documents.load_saved_settings)

    async def save_settings(self, settings: Mapping[str, str]) -> None:
        """Save all of them or none."""
        await self.transaction(lambda db: documents.save_settings(db, settings))

    async def define_observables(self, experiment: str, observables: Sequence[Observable]) -> dict[str, int]:
        """Make these the observables of an experiment, in this order; returns their ids by name.

        Others are retired; their values stay. One whose type, units or source has changed is also retired: samples
        queued before belong to it, later ones to the new observable of the same name.
        """

        def define(db: Database) -> dict[str, int]:
            self._writer.rows.forget()
            return documents.define_observables(db, experiment, observables)

        return await self.transaction(define, behind_rows=True)

    async def save_measurements(self, run: RunId, measurements: Sequence[Measurement]) -> None:
        """Store or replace the statistics of observables in a run, after the samples queued before."""
        rows = self._writer.rows

        def save(db: Database) -> None:
            keyed = [
                (each.observable_id or rows.observable_id(db, run.experiment, each.observable), each)
                for each in measurements
            ]
            documents.save_measurements(db, rows.run_id(db, run), keyed)

        await self.transaction(save, behind_rows=True)

    async def load_measurements(self, run: RunId) -> tuple[Measurement, ...]:
        """The stored statistics of a run; empty if there are none."""
        return await self._of_run(run, documents.load_measurements)

    async def survey_samples(self, run: RunId, until: float, before: float | None) -> samples.SampleSurvey:
        """Overview of the stored samples of a run (those `before` a time, if given), with the last time up to
        `until`."""
        return await self._of_run(run, lambda db, run_id: samples.survey_samples(db, run_id, until, before))

    async def load_samples(
        self, run: RunId, observable_id: int, begin: tuple[int, int], until_us: int
    ) -> samples.SamplePage:
        """A page of the stored samples of an observable in a run, by time, from `begin` on."""
        return await self._of_run(
            run, lambda db, run_id: samples.load_samples(db, run_id, observable_id, begin, until_us, _PAGE)
        )

    async def flush(self) -> None:
        """Write the queued rows now, if possible."""
        await self.transaction(lambda _: None, behind_rows=True)

    def add_samples(self, experiment: str, run: RunId | None, readings: Iterable[Reading]) -> None:
        """Queue samples of defined observables; thread-safe, never blocks, never raises. `run` is None between runs."""
        owner = (experiment, run)
        self._writer.samples.put([(owner, reading) for reading in readings])

    def add_event(self, event: Event) -> None:
        self._writer.log.put([event])

    def add_put(self, put: PutRecord) -> None:
        self._writer.log.put([put])

    async def close(self) -> None:
        """Write the queued rows, then close and release the file.

        Raises:
            PeerTimeout: the disk hangs; the process can still end.
        """
        self._reader.close()
        if not self._started:
            return
        self._writer.stop()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.shield(asyncio.wrap_future(self._writer.closed))
        except TimeoutError:
            raise PeerTimeout(
                f"the run database {self._path} was not closed within {_CLOSE_SECONDS:g} s: check its disk"
            ) from None
        self._writer.join()

    async def read(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a function that only reads, and may take seconds, beside everything else; takes as long as it takes.

        Raises:
            PeerError: the database cannot be read, or is closed.
        """
        return await self._reader.read(function)

    async def _of_run(self, run: RunId, function: Callable[[Database, int | None], Result]) -> Result:
        """Run a function that needs the id of a run in a transaction."""
        return await self.transaction(lambda db: function(db, self._writer.rows.run_id(db, run)))

    async def transaction(self, function: Callable[[Database], Result], *, behind_rows: bool = False) -> Result:
        """Run a function in a transaction of the writer's thread; `behind_rows`: after the rows queued until now."""
        if self._writer.condition.hangs:
            raise PeerTimeout(self.problem() or f"the run database {self._path} does not answer")
        future = self._writer.submit(function, behind_rows=behind_rows)
        try:
            async with asyncio.timeout(self._call_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise PeerTimeout(
                f"the run database {self._path} did not answer within {self._call_seconds:g} s: check its disk"
            ) from None
