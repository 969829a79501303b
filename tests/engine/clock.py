"""An event loop whose time passes only while nothing can be done: hours of polling take milliseconds, exactly."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Patience(selectors.DefaultSelector):
    """Waits for nobody: time that would be spent waiting is added to the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("every task waits for something that will never happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class ClockLoop(asyncio.SelectorEventLoop):
    """Has its own time, which begins at 0."""

    def __init__(self) -> None:
        self._patience = _Patience()
        super().__init__(self._patience)

    def time(self) -> float:
        return self._patience.now
