"""Says which observables have changed, without keeping the event loop from its other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

_SECONDS = 0.1
_SLICE = 25
"""Observables that the listener gets at a time, so that commands need not wait for a thousand."""
_SLICE_SECONDS = 0.0025

ChangeListener = Callable[[frozenset[str]], None]
"""Takes the names of the observables whose view has changed; called at most ten times a second for each."""


class Teller:
    """Gathers names for a moment, then tells the listener of them, some at a time."""

    def __init__(self, listener: ChangeListener) -> None:
        self._listener = listener
        self._changed: set[str] = set()
        self._telling: list[str] = []
        """Of those that had changed, who is still to be told of."""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def tell(self, names: Iterable[str]) -> None:
        """These have changed."""
        self._changed.update(names)
        if self._timer is None and self._changed and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._tell_some)

    def close(self) -> None:
        """Tell no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _tell_some(self) -> None:
        if not self._telling:
            self._telling, self._changed = list(self._changed), set()
        names, self._telling = frozenset(self._telling[:_SLICE]), self._telling[_SLICE:]
        self._timer = None
        if self._telling or self._changed:
            pause = _SLICE_SECONDS if self._telling else _SECONDS
            self._timer = asyncio.get_running_loop().call_later(pause, self._tell_some)
        self._listener(names)
