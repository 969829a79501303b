"""A thread for blocking calls, with a bounded number of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_CLOSE_SECONDS = 1.0


class LaneFullError(Exception):
    """As many calls are waiting as the lane takes, or it was closed."""


class Lane:
    """Does blocking calls one after another in a thread of its own, at most `capacity` at a time.

    The thread starts with the first call and is a daemon: a call that cannot be interrupted does not keep the program
    from ending. All methods are called on the event loop.
    """

    def __init__(self, name: str, capacity: int) -> None:
        self._capacity = capacity
        self._unfinished = 0
        self._closed = False
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def submit(self, call: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Queue a call; the future has its result. Cancelling the future does not stop the call.

        Raises:
            LaneFullError: if there is no room.
        """
        if self._closed or self._unfinished >= self._capacity:
            raise LaneFullError
        self._unfinished += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            self._unfinished -= 1
            # A future that is done was given up: its late result is dropped.
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def perform() -> None:
            result, error = None, None
            try:
                result = call()
            except Exception as raised:  # carried over to the waiting task
                error = raised
            _notify(loop, settle, result, error)

        if not self._thread.is_alive():
            self._thread.start()
        self._calls.put(perform)
        return future

    async def close(self) -> None:
        """End the thread after the calls it has, waiting a second at most."""
        self._closed = True
        if not self._thread.is_alive():
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._calls.put(lambda: _notify(loop, ended.set))
        self._calls.put(None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await ended.wait()
            self._thread.join()

    def _run(self) -> None:
        while (perform := self._calls.get()) is not None:
            perform()


def _notify(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    # The loop may have been closed while a call could not be interrupted: then nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
