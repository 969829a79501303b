"""Everything that must be on disk before it is acknowledged, in order.

The database never blocks a command for long: what cannot be stored is kept here and tried again until it can, and the
command is answered all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable

from ioc.errors import PeerError
from ioc.ports import RunStore
from ioc.runlogic.effects import Answer, SaveRun, SaveRunConfigs, SaveSetting

log = logging.getLogger(__name__)

Save = SaveRun | SaveRunConfigs | SaveSetting
_RETRY_PERIOD = 5.0
_PATIENCE = 1.0
"""Seconds: a database that fails later than this is locked or hangs, and is left alone until the next retry."""


class Ledger:
    """Stores and answers, one after the other."""

    def __init__(self, store: RunStore, answer: Callable[[Answer], None]) -> None:
        self._store = store
        self._answer = answer
        self._queue: asyncio.Queue[Save | Answer | asyncio.Event] = asyncio.Queue()
        self._kept: dict[Hashable, Save] = {}
        """Not stored yet, oldest first."""
        self._retry_at = 0.0
        self._writing = False
        self._failing = False
        self._hangs = False

    def put(self, entry: Save | Answer) -> None:
        """Add an entry behind all that are there."""
        self._queue.put_nowait(entry)

    def settled(self) -> asyncio.Event:
        """Return an event that is set when all that was put before has been done."""
        mark = asyncio.Event()
        if self._queue.empty() and not self._writing:
            mark.set()
        else:
            self._queue.put_nowait(mark)
        return mark

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(self._retry_at if self._kept else None):
                    entry = await self._queue.get()
            except TimeoutError:
                await self._try_kept()
                continue
            match entry:
                case Answer():
                    self._answer(entry)
                case asyncio.Event():
                    entry.set()
                case _:
                    if not self._kept:
                        self._retry_at = loop.time() + _RETRY_PERIOD
                    self._kept[_key(entry)] = entry
                    if not self._hangs:
                        await self._try(entry)

    async def finish(self) -> None:
        """Store what is left, after `run` was cancelled; what the database does not take now is lost, and said so."""
        while not self._queue.empty():
            entry = self._queue.get_nowait()
            if not isinstance(entry, Answer | asyncio.Event):
                self._kept[_key(entry)] = entry
        problem = await self._try_kept()
        if self._kept:
            log.error("%d records are lost, the IOC ends before they could be stored: %s", len(self._kept), problem)

    async def _try_kept(self) -> str:
        """Try all that is kept, but wait for a database that hangs only once; returns the last problem."""
        problem = ""
        for entry in list(self._kept.values()):
            problem = await self._try(entry) or problem
            if self._hangs:
                break
        self._retry_at = asyncio.get_running_loop().time() + _RETRY_PERIOD
        return problem

    async def _try(self, entry: Save) -> str:
        """Store one entry that is kept; returns why that failed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._writing = True
        try:
            await self._write(entry)
        except PeerError as error:
            problem = str(error)
        except Exception as error:
            if not self._failing:
                log.exception("storing %s", type(entry).__name__)
            problem = f"internal error: {error!r}"
        else:
            self._stored(entry)
            return ""
        finally:
            self._writing = False
        self._hangs = loop.time() - began > _PATIENCE
        if not self._failing:
            log.error("not stored, will be tried again: %s", problem)
        self._failing = True
        return problem

    def _stored(self, entry: Save) -> None:
        del self._kept[_key(entry)]
        self._hangs = False
        if self._failing and not self._kept:
            log.info("all that could not be stored before is in the run database now")
            self._failing = False

    async def _write(self, entry: Save) -> None:
        match entry:
            case SaveRun(record=record):
                await self._store.save_run(record)
            case SaveRunConfigs(run=run, configs=configs):
                await self._store.save_run_configs(run, configs)
            case SaveSetting(name=name, value=value):
                await self._store.save_setting(name, value)


def _key(entry: Save) -> Hashable:
    """What a newer entry of the same key makes superfluous."""
    match entry:
        case SaveRun(record=record):
            return ("run", record.run)
        case SaveRunConfigs(run=run):
            return ("configs", run)
        case SaveSetting(name=name):
            return ("setting", name)
