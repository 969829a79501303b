"""Everything that must be on disk before it is acknowledged, in order.

Theory of operation. What to store and what to answer stand in one queue; an answer is given when its turn comes, so
that all that was put before it has been stored. The database must not block a command, however: an entry is waited for
half a second at most, then it stays in `_kept`, where a newer one with the same key replaces it, and the queue goes on.
As long as the database takes nothing (`_down`), nobody waits at all. What is kept is retried every second, oldest
first, until it is stored, or until the IOC ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ioc.errors import PeerError
from ioc.model import FiledFile, RunId
from ioc.ports import RunStore
from ioc.runlogic.effects import Answer, SaveRun, SaveRunConfigs, SaveSetting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SaveFile:
    """Record one file that was filed."""

    run: RunId
    file: FiledFile


Save = SaveRun | SaveRunConfigs | SaveSetting | SaveFile
_RETRY_PERIOD = 1.0
_PATIENCE = 0.5
"""Seconds that an answer waits for a slow disk; a locked file or a full disk is known sooner."""
_LAST_PATIENCE = 1.0
"""Seconds that the end of the IOC waits for what is kept."""


class Ledger:
    """Stores and answers, one after the other.

    A separate task stores, and continues when nobody waits for it any more: what is cancelled may be stored or not.
    """

    def __init__(self, store: RunStore, answer: Callable[[Answer], None]) -> None:
        self._store = store
        self._answer = answer
        self._queue: asyncio.Queue[Save | Answer | asyncio.Event] = asyncio.Queue()
        self._kept: dict[Hashable, Save] = {}
        """Not stored yet, oldest first."""
        self._storing: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._down = False
        """The database takes nothing: no answer waits for it until it does."""
        self._handling = False
        self._failing = False
        self._problem = ""

    def put(self, entry: Save | Answer) -> None:
        """Add an entry behind all that are there."""
        self._queue.put_nowait(entry)

    def settled(self) -> asyncio.Event:
        """Return an event that is set when all that was put before has been done, or is kept for later."""
        mark = asyncio.Event()
        if self._queue.empty() and not self._handling:
            mark.set()
        else:
            self._queue.put_nowait(mark)
        return mark

    async def record(self, run: RunId, file: FiledFile) -> None:
        """Record a file that was filed. When this returns it is on disk; or kept, before all that is put later."""
        self.put(SaveFile(run, file))
        await self.settled().wait()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                async with asyncio.timeout_at(self._retry_at if self._kept else None):
                    entry = await self._queue.get()
            except TimeoutError:
                self._begin_storing(list(self._kept.values()))
                continue
            self._handling = True
            match entry:
                case Answer():
                    self._answer(entry)
                case asyncio.Event():
                    entry.set()
                case _:
                    self._keep(entry)
                    if not self._down:
                        await self._store_soon(entry)
            self._handling = False

    async def finish(self) -> None:
        """Store what is left, after `run` was cancelled; what the database does not take now is lost, and said so."""
        while not self._queue.empty():
            entry = self._queue.get_nowait()
            if not isinstance(entry, Answer | asyncio.Event):
                self._keep(entry)
        until = asyncio.get_running_loop().time() + _LAST_PATIENCE
        await self._under_way(until)
        self._begin_storing(list(self._kept.values()))
        await self._under_way(until)
        if self._storing is not None:
            self._storing.cancel()
        if self._kept:
            problem = self._problem or self._store.problem()
            log.error("%d records lost, the IOC ended before they could be stored: %s", len(self._kept), problem)

    def _keep(self, entry: Save) -> None:
        """Keep it behind all that are kept; it takes the place of an older one of its kind."""
        self._kept.pop(_key(entry), None)
        self._kept[_key(entry)] = entry

    async def _store_soon(self, entry: Save) -> None:
        """Store one entry that is kept, but wait for that no longer than a command may."""
        until = asyncio.get_running_loop().time() + _PATIENCE
        await self._under_way(until)
        self._begin_storing([entry])
        await self._under_way(until)
        self._down = self._down or (self._storing is not None and not self._storing.done())

    async def _under_way(self, until: float) -> None:
        if self._storing is not None and not self._storing.done():
            await asyncio.wait([self._storing], timeout=until - asyncio.get_running_loop().time())

    def _begin_storing(self, entries: list[Save]) -> None:
        self._retry_at = asyncio.get_running_loop().time() + _RETRY_PERIOD
        if entries and (self._storing is None or self._storing.done()):
            self._storing = asyncio.create_task(self._store_all(entries), name="ledger storing")

    async def _store_all(self, entries: list[Save]) -> None:
        """Store these, and all that come meanwhile, in their order, until the database takes nothing."""
        tried: list[Save] = []
        while entries:
            for entry in entries:
                tried.append(entry)
                if not await self._stored(entry) and self._store.problem():
                    self._down = True
                    return
            # While it is down nobody begins to store what comes.
            entries = [each for each in self._kept.values() if self._down and id(each) not in map(id, tried)]
        self._down = False

    async def _stored(self, entry: Save) -> bool:
        """Store one entry that is kept; whether that went well."""
        try:
            await self._write(entry)
        except PeerError as error:
            self._problem = str(error)
        except Exception as error:
            if not self._failing:
                log.exception("storing %s", type(entry).__name__)
            self._problem = f"internal error: {error!r}"
        else:
            if self._kept.get(_key(entry)) is entry:
                del self._kept[_key(entry)]
            if self._failing and not self._kept:
                log.info("everything that could not be stored earlier is now in the run database")
                self._failing = False
            return True
        if not self._failing:
            log.error("not stored, will be retried: %s", self._problem)
        self._failing = True
        return False

    async def _write(self, entry: Save) -> None:
        match entry:
            case SaveRun(record=record):
                await self._store.save_run(record)
            case SaveRunConfigs(run=run, configs=configs):
                await self._store.save_run_configs(run, configs)
            case SaveSetting(name=name, value=value):
                await self._store.save_setting(name, value)
            case SaveFile(run=run, file=file):
                await self._store.add_file(run, file)


def _key(entry: Save) -> Hashable:
    """What a newer entry of the same key makes superfluous."""
    match entry:
        case SaveRun(record=record):
            return ("run", record.run)
        case SaveRunConfigs(run=run):
            return ("configs", run)
        case SaveSetting(name=name):
            return ("setting", name)
        case SaveFile(run=run, file=file):
            return ("file", run, file.host, file.path)
