"""Carrying out puts. The work belongs to the server: it goes on when the client that asked for it goes away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ioc.ca.errors import PutFailed, Refused
from ioc.ca.journal import Journal, PutRecord
from ioc.ca.putdata import PutData
from ioc.ca.pv import Client, PutHandler, Pv

logger = logging.getLogger("ioc.ca")


@dataclass
class Put:
    """One request to set a PV."""

    pv: Pv[Any]
    handler: PutHandler[Any]
    data: PutData
    client: Client
    answer: Callable[[str], None]
    """Told how it ended: the empty text = done, else the reason why not."""
    text: str | None = None
    """What was to be set, if that is a text."""
    came_at: float = field(default_factory=time.time)


class Puts:
    """Validates puts, runs their handlers as tasks and writes the journal.

    Puts to one PV are carried out in the order in which they came, except that a command is refused while it is Busy.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Pv[Any], deque[tuple[Put, Any]]] = {}
        """Puts to a PV that has another one under way."""

    def start(self, put: Put) -> None:
        """Begin a put to a writable PV; it is answered when it has ended, at once if it is refused."""
        try:
            value = put.pv.accept(put.data)
            put.text = value if isinstance(value, str) else None
        except Refused as error:
            self._end(put, put.pv.value, "refused", str(error))
            return
        if not put.pv.serial:
            self._own(self._carry_out(put, value))
        elif (waiting := self._waiting.get(put.pv)) is not None:
            waiting.append((put, value))
        else:
            self._waiting[put.pv] = deque([(put, value)])
            self._own(self._carry_out_all(put.pv))

    def turn_away(self, pv: Pv[Any], new: str, client: Client, result: str, reason: str) -> None:
        """Write down a put that is answered at once, for it does not get as far as to be judged by the PV."""
        self._journal.record(PutRecord(time.time(), pv.name, pv.label(pv.value), new, client, result, reason))

    def acknowledged(self, field_name: str, old: int, new: int, client: Client, denied: str) -> None:
        """Write down that an alarm was acknowledged; `denied` = why the client may not, empty if it may."""
        result = "denied" if denied else "ok"
        self._journal.record(PutRecord(time.time(), field_name, str(old), str(new), client, result, denied))

    async def close(self) -> None:
        """End the work that is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out_all(self, pv: Pv[Any]) -> None:
        waiting = self._waiting[pv]
        try:
            while waiting:
                await self._carry_out(*waiting.popleft())
        finally:
            del self._waiting[pv]
            for put, _ in waiting:
                self._end(put, pv.value, "failed", f"the IOC ended before {pv.name} could be set")

    async def _carry_out(self, put: Put, value: Any) -> None:
        pv, old = put.pv, put.pv.value
        result, message = "ok", ""
        try:
            await put.handler(put.client, value)
        except Refused as error:
            result, message = "refused", str(error)
        except PutFailed as error:
            result, message = "failed", str(error)
        except asyncio.CancelledError:
            self._end(put, old, "failed", f"the IOC ended while {pv.name} was being set")
            raise
        except Exception as error:
            logger.exception("internal error in the put to %s", pv.name)
            result, message = "failed", f"internal error in the put to {pv.name}: {type(error).__name__}: {error}"
        self._end(put, old, result, message)

    def _end(self, put: Put, old: Any, result: str, message: str) -> None:
        remark = message or put.pv.remark(put.data)
        new = str(put.data) if put.text is None else put.text
        self._journal.record(PutRecord(put.came_at, put.pv.name, put.pv.label(old), new, put.client, result, remark))
        put.answer(message)
