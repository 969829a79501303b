"""Stores, in order, everything that must be on disk before it is acknowledged.

Theory of operation. Records and answers share one queue; an answer is sent when its turn comes, after all records
before it have been stored. Files that are recorded while an earlier entry is being stored share one entry, and so one
transaction, because all routers are filed at the same time; so do settings, because all servers are configured at the
same time.

The database must not block a command, however: the queue waits half a second at most for an entry, then the entry stays
in `_kept`, where a newer one with the same key replaces it, and the queue continues. While the database accepts nothing
(`_down`), nothing waits. Kept entries are retried every second, oldest first, until they are stored or the IOC ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from ioc.errors import PeerError
from ioc.model import FiledFile, RunId
from ioc.ports import RunStore
from ioc.runlogic.effects import Answer, SaveInterval, SaveRun, SaveRunConfigs, SaveSetting, SaveVerdict

log = logging.getLogger(__name__)


@dataclass(eq=False)
class SaveFiles:
    run: RunId
    files: list[FiledFile] = field(default_factory=list[FiledFile])
    """Grows while the entry is the last one in the queue."""


@dataclass(eq=False)
class SaveSettings:
    values: dict[str, str]
    """By name. Grows while the entry is the last one in the queue."""


Save = SaveRun | SaveVerdict | SaveRunConfigs | SaveInterval | SaveSettings | SaveFiles
_RETRY_PERIOD = 1.0
_PATIENCE = 0.5
"""Seconds that an answer waits for a slow disk; a locked file or a full disk is detected sooner."""
_LAST_PATIENCE = 1.0
"""Seconds that the end of the IOC waits for kept entries."""


class Ledger:
    """Stores and answers, one after the other.

    A separate task stores, and continues when its caller no longer waits: a cancelled entry may be stored or not.
    """

    def __init__(self, store: RunStore, answer: Callable[[Answer], None]) -> None:
        self._store = store
        self._answer = answer
        self._queue: asyncio.Queue[Save | Answer | asyncio.Event] = asyncio.Queue()
        self._open: SaveFiles | SaveSettings | None = None
        """The entry that further files or settings may join: nothing that must be stored or answered is behind it."""
        self._kept: dict[Hashable, Save] = {}
        """Not stored yet, oldest first."""
        self._storing: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._down = False
        """The database accepts nothing: no answer waits for it until it does."""
        self._handling = False
        self._failing = False
        self._problem = ""

    def put(self, entry: Save | SaveSetting | Answer) -> None:
        if not isinstance(entry, SaveSetting):
            self._open = entry if isinstance(entry, SaveFiles | SaveSettings) else None
            self._queue.put_nowait(entry)
        elif isinstance(self._open, SaveSettings):
            self._open.values[entry.name] = entry.value
        else:
            self.put(SaveSettings({entry.name: entry.value}))

    def settled(self) -> asyncio.Event:
        """Return an event that is set when all earlier entries have been stored or are kept for later."""
        mark = asyncio.Event()
        if self._queue.empty() and not self._handling:
            mark.set()
        else:
            self._queue.put_nowait(mark)
        return mark

    @property
    def behind(self) -> bool:
        """Whether the database lacks something that was acknowledged or is about to be."""
        return bool(self._kept) or self._handling or not self._queue.empty()

    async def record(self, run: RunId, file: FiledFile) -> None:
        """Record a filed file. When this returns it is on disk, or kept ahead of all later entries."""
        if not isinstance(files := self._open, SaveFiles) or files.run != run:
            self.put(files := SaveFiles(run))
        files.files.append(file)
        await self.settled().wait()

    async def run(self) -> None:
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
                    if entry is self._open:
                        self._open = None
                    self._keep(entry)
                    if not self._down:
                        await self._store_soon(entry)
            self._handling = False

    async def finish(self) -> None:
        """Store the remaining entries after `run` was cancelled; those now rejected are lost and logged."""
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
        """Keep an entry after the others; it replaces an older one with the same key."""
        older = self._kept.pop(_key(entry), None)
        if isinstance(entry, SaveSettings) and isinstance(older, SaveSettings):
            entry.values = older.values | entry.values
        self._kept[_key(entry)] = entry

    async def _store_soon(self, entry: Save) -> None:
        """Store one kept entry, waiting no longer than a command may."""
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
        """Store these and all that arrive meanwhile, in order, until the database rejects one."""
        tried: list[Save] = []
        while entries:
            for entry in entries:
                tried.append(entry)
                if not await self._stored(entry) and self._store.problem():
                    self._down = True
                    return
            # While it is down no new entry is stored.
            entries = [each for each in self._kept.values() if self._down and id(each) not in map(id, tried)]
        self._down = False

    async def _stored(self, entry: Save) -> bool:
        """Store one kept entry; return whether it succeeded."""
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
                log.info("all records that could not be stored earlier are now in the run database")
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
            case SaveVerdict(run=run, comment=comment, quality=quality):
                await self._store.save_verdict(run, comment=comment, quality=quality)
            case SaveRunConfigs(run=run, configs=configs):
                await self._store.save_run_configs(run, configs)
            case SaveInterval(interval=interval):
                await self._store.save_interval(interval)
            case SaveSettings(values=values):
                await self._store.save_settings(values)
            case SaveFiles(run=run, files=files):
                await self._store.add_files(run, *files)


def _key(entry: Save) -> Hashable:
    """Key of an entry that a newer one with the same key replaces."""
    match entry:
        case SaveRun(record=record):
            return ("run", record.run)
        case SaveVerdict(run=run, comment=comment):
            return ("quality" if comment is None else "comment", run)
        case SaveRunConfigs(run=run):
            return ("configs", run)
        case SaveInterval(interval=interval):
            return ("interval", interval.run, interval.interlock, interval.began_at)
        case SaveSettings():
            return "settings"
        case SaveFiles():
            return entry
