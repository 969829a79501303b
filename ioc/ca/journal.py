"""The record of puts: who set what, and what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ioc.ca.pv import Client

logger = logging.getLogger("ioc.ca")

_WINDOW = 0.2
_SINGLE = 50
"""So many puts of a window have a record each; a client that sends thousands shall not fill the disk."""


@dataclass(frozen=True)
class PutRecord:
    """One put, granted or not."""

    occurred_at: float
    """When it came, POSIX seconds."""
    pv: str
    old_value: str
    new_value: str
    client: Client
    result: str
    """``ok``, ``refused``, ``failed`` or ``denied``."""
    message: str = ""
    """The reason, if it was not granted; else what is to be said of it, if anything."""
    count: int = 1
    """How many puts of one client to the PV it stands for: of a burst only so many are kept one by one."""


class _Burst:
    """Puts of one client to one PV, with one result and message, in one window."""

    def __init__(self) -> None:
        self.passed_on = 0
        self.held: PutRecord | None = None


class Journal:
    """Passes on each put; of a burst, more than 50 within 0.2 s that are alike but for the value, merges what follows.

    A merged record has the first old value and the newest new one, and says of how many puts it is. Puts not granted
    are logged, one line a record.
    """

    def __init__(self, write: Callable[[PutRecord], None]) -> None:
        self._write = write
        self._bursts: dict[tuple[object, ...], _Burst] = {}
        self._timers: dict[tuple[object, ...], asyncio.TimerHandle] = {}

    def record(self, put: PutRecord) -> None:
        key = put.pv, put.client, put.result, put.message
        burst = self._bursts.get(key) or self._open(key)
        if burst.passed_on < _SINGLE:
            burst.passed_on += 1
            self._pass_on(put)
        elif burst.held is None:
            burst.held = put
        else:
            burst.held = replace(put, old_value=burst.held.old_value, count=burst.held.count + put.count)

    def close(self) -> None:
        """Pass on what is held back."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for burst in self._bursts.values():
            if burst.held is not None:
                self._pass_on(burst.held)
        self._bursts.clear()

    def _open(self, key: tuple[object, ...]) -> _Burst:
        self._timers[key] = asyncio.get_running_loop().call_later(_WINDOW, self._expire, key)
        return self._bursts.setdefault(key, _Burst())

    def _expire(self, key: tuple[object, ...]) -> None:
        del self._timers[key]
        burst = self._bursts.pop(key)
        if burst.held is not None:
            self._pass_on(burst.held)
            self._open(key).passed_on = _SINGLE  # it goes on

    def _pass_on(self, put: PutRecord) -> None:
        if put.message:
            logger.warning("put by %s@%s %s: %s", put.client.user or "?", put.client.host, put.result, put.message)
        self._write(put)
