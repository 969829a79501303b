"""The record of puts: who set what, and what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from ioc.model import PutRecord

logger = logging.getLogger("ioc.ca")

_WINDOW = 0.2


class Journal:
    """Passes on the first put at once and merges what follows within 0.2 s of the same PV, client, result and message.

    A merged record has the first old value and the newest new one. Puts that were not granted are logged, one line
    each, and so are those of which something is to be said.
    """

    def __init__(self, write: Callable[[PutRecord], None]) -> None:
        self._write = write
        self._held: dict[tuple[object, ...], PutRecord | None] = {}
        self._timers: dict[tuple[object, ...], asyncio.TimerHandle] = {}

    def record(self, put: PutRecord) -> None:
        key = put.pv, put.client, put.result, put.message
        if key not in self._held:
            self._pass_on(put)
            self._open(key)
        else:
            first = self._held[key] or put
            self._held[key] = replace(put, old_value=first.old_value)

    def close(self) -> None:
        """Pass on what is held back."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for put in self._held.values():
            if put is not None:
                self._pass_on(put)
        self._held.clear()

    def _open(self, key: tuple[object, ...]) -> None:
        self._held[key] = None
        self._timers[key] = asyncio.get_running_loop().call_later(_WINDOW, self._expire, key)

    def _expire(self, key: tuple[object, ...]) -> None:
        del self._timers[key]
        put = self._held.pop(key)
        if put is not None:
            self._pass_on(put)
            self._open(key)

    def _pass_on(self, put: PutRecord) -> None:
        if put.message:
            logger.warning("put by %s@%s %s: %s", put.client.user or "?", put.client.host, put.result, put.message)
        self._write(put)
