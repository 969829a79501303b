"""Carries out puts, and records the client, value and result of each.

The work belongs to the server: it continues when its client disconnects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from ioc.ca.encoding import PutData
from ioc.ca.pv import Client, PutFailed, PutHandler, Pv, Refused

logger = logging.getLogger("ioc.ca")

_WINDOW = 0.2
_SINGLE = 50
"""Puts per window with a record each; a client that sends thousands must not fill the disk."""


@dataclass(slots=True)
class PutRecord:
    """One put, granted or not."""

    occurred_at: float
    """When it arrived, POSIX seconds."""
    pv: str
    old_value: str
    new_value: str
    client: Client
    result: str
    """``ok``, ``refused``, ``failed`` or ``denied``."""
    message: str = ""
    """The reason, if it was not granted; else a remark, usually empty."""
    count: int = 1
    """Number of puts of one client to the PV in this record; of a burst, only the first have a record each."""
    logged: bool = False
    """`message` is already in the log."""


@dataclass(slots=True)
class Put:
    """One put that its PV has accepted."""

    pv: Pv[Any]
    handler: PutHandler[Any]
    value: Any
    data: PutData
    client: Client
    answer: Callable[[str], None]
    """Called at its end: with an empty text = done, else with the reason of the failure."""
    came_at: float = field(default_factory=time.time)


class Puts:
    """Validates puts, runs their handlers as tasks and records them.

    Puts to one PV are carried out in the order of arrival, except that a command is refused while it is Busy.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._loop: asyncio.AbstractEventLoop | None = None
        """Kept, because asking for it is a system call."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Pv[Any], deque[Put]] = {}
        """Puts waiting for an earlier put to the same PV."""

    def start(
        self, pv: Pv[Any], handler: PutHandler[Any], data: PutData, client: Client, answer: Callable[[str], None]
    ) -> None:
        """Begin a put; it is answered when it has ended, or at once if it is refused."""
        try:
            value = pv.accept(data)
        except Refused as error:
            self.journal.note(pv.name, pv.label(pv.value), pv.written(data), client, "refused", str(error))
            answer(str(error))
            return
        put = Put(pv, handler, value, data, client, answer)
        if (waiting := self._waiting.get(pv)) is not None:
            waiting.append(put)
            return
        waiting = deque((put,))
        if pv.serial:
            self._waiting[pv] = waiting
        self._own(self._carry_out(pv, waiting))

    async def close(self) -> None:
        """End the work under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop = self._loop or asyncio.get_running_loop()
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, pv: Pv[Any], waiting: deque[Put]) -> None:
        """Carry out these puts to one PV, also those that come meanwhile."""
        try:
            while waiting:
                put, old = waiting.popleft(), pv.value
                result, message, logged = "ok", "", False
                try:
                    await put.handler(put.client, put.value)
                except PutFailed as error:
                    result, message = "refused" if isinstance(error, Refused) else "failed", str(error)
                    logged = error.logged
                except asyncio.CancelledError:
                    self._end(put, old, "failed", f"the IOC ended while {pv.name} was being set")
                    raise
                except Exception as error:
                    logger.exception("internal error in the put to %s", pv.name)
                    result = "failed"
                    message = f"internal error in the put to {pv.name}: {type(error).__name__}: {error}"
                self._end(put, old, result, message, logged)
        finally:
            self._waiting.pop(pv, None)
            for put in waiting:
                self._end(put, pv.value, "failed", f"the IOC ended before {pv.name} could be set")

    def _end(self, put: Put, old: Any, result: str, message: str, logged: bool = False) -> None:
        put.answer(message)
        self.journal.record(_record, put, old, result, message, logged)


def _record(put: Put, old: Any, result: str, message: str, logged: bool) -> PutRecord:
    pv, new = put.pv, put.value if isinstance(put.value, str) else put.pv.written(put.data)
    values, remark = (pv.label(old), new), message or pv.remark(put.data)
    return PutRecord(put.came_at, pv.name, *values, put.client, result, remark, logged=logged)


@dataclass
class _Burst:
    """Puts of one client to one PV with the same result and message in one window."""

    timer: asyncio.TimerHandle
    recorded: int = 0
    merged: int = 0
    first: PutRecord | None = None
    last: PutRecord | None = None
    """Of the merged ones."""


class Journal:
    """Passes on each put; of a burst, more than 50 within 0.2 s that differ only in the value, it merges the rest.

    A merged record has the first old value, the newest new one, and the number of puts. Puts not granted are logged,
    one line per record, unless they were already logged. All this is done after the answers have been sent, because no
    client waits for it.
    """

    def __init__(self, write: Callable[[PutRecord], None]) -> None:
        self._write = write
        self._ended: list[tuple[Callable[..., PutRecord], tuple[Any, ...]]] = []
        """The puts since the last turn of the event loop."""
        self._bursts: dict[tuple[object, ...], _Burst] = {}

    def note(  # noqa: PLR0917 - in the order of the record
        self, pv: str, old: str, new: str, client: Client, result: str, message: str
    ) -> None:
        """Record a put that is answered at once."""
        self.record(PutRecord, time.time(), pv, old, new, client, result, message)

    def record(self, put: Callable[..., PutRecord], *args: Any) -> None:
        """Record a put in the next turn of the event loop."""
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._record_ended)
        self._ended.append((put, args))

    def _record_ended(self) -> None:
        ended, self._ended = self._ended, []
        for put, args in ended:
            self._sort(put(*args))

    def _sort(self, put: PutRecord) -> None:
        """Pass a put on, or merge it with others of its burst."""
        key = put.pv, put.client, put.result, put.message
        burst = self._bursts.get(key) or self._open(key)
        if burst.recorded < _SINGLE:
            burst.recorded += 1
            self._pass_on(put)
        else:
            burst.merged += 1
            burst.first, burst.last = burst.first or put, put

    def close(self) -> None:
        """Pass on the records held back."""
        self._record_ended()
        for burst in self._bursts.values():
            burst.timer.cancel()
            self._pass_on_merged(burst)
        self._bursts.clear()

    def _open(self, key: tuple[object, ...]) -> _Burst:
        burst = _Burst(asyncio.get_running_loop().call_later(_WINDOW, self._expire, key))
        return self._bursts.setdefault(key, burst)

    def _expire(self, key: tuple[object, ...]) -> None:
        burst = self._bursts.pop(key)
        if burst.merged:
            self._open(key).recorded = _SINGLE  # the burst may continue
        self._pass_on_merged(burst)

    def _pass_on_merged(self, burst: _Burst) -> None:
        if burst.first is not None and burst.last is not None:
            self._pass_on(replace(burst.last, old_value=burst.first.old_value, count=burst.merged))

    def _pass_on(self, put: PutRecord) -> None:
        if put.message and not put.logged:
            logger.warning("put by %s@%s %s: %s", put.client.user or "?", put.client.host, put.result, put.message)
        self._write(put)
