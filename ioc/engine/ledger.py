"""Everything that must be on disk before it is acknowledged, in order.

The database never blocks a command: what cannot be stored is kept here and tried again until it can, and the command
is answered all the same.
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


class Ledger:
    """Stores and answers, one after the other."""

    def __init__(self, store: RunStore, answer: Callable[[Answer], None]) -> None:
        self._store = store
        self._answer = answer
        self._queue: asyncio.Queue[Save | Answer | asyncio.Event] = asyncio.Queue()
        self._unsaved: dict[Hashable, Save] = {}

    def put(self, entry: Save | Answer) -> None:
        """Add an entry behind all that are there."""
        self._queue.put_nowait(entry)

    def settled(self) -> asyncio.Event:
        """Return an event that is set when all that was put before has been done."""
        mark = asyncio.Event()
        if self._queue.empty():
            mark.set()
        else:
            self._queue.put_nowait(mark)
        return mark

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_RETRY_PERIOD if self._unsaved else None):
                    entry = await self._queue.get()
            except TimeoutError:
                await self._try_again()
                continue
            match entry:
                case Answer():
                    self._answer(entry)
                case asyncio.Event():
                    entry.set()
                case _:
                    await self._save(entry)

    async def _save(self, entry: Save) -> None:
        key = _key(entry)
        try:
            await self._write(entry)
        except PeerError as error:
            if key not in self._unsaved:
                log.error("not stored, will be tried again: %s", error)  # noqa: TRY400 - a peer's fault, no traceback
            self._unsaved[key] = entry
        else:
            self._unsaved.pop(key, None)

    async def _try_again(self) -> None:
        for entry in list(self._unsaved.values()):
            await self._save(entry)
            if _key(entry) in self._unsaved:
                return
        log.info("all that could not be stored before is in the run database now")

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
