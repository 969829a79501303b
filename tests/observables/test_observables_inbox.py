"""The inbox without Channel Access."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from ioc.observables.inbox import Inbox
from tests.epics import eventually


async def test_updates_are_handled_in_order() -> None:
    """Each handler gets its updates in the order they came."""
    inbox = Inbox()
    first: list[int] = []
    second: list[int] = []
    for number in range(100):
        inbox.put(first.append, number)
        inbox.put(second.append, -number)
    await eventually(lambda: len(second) == 100)
    assert first == list(range(100))
    assert second == [-number for number in range(100)]


async def test_a_flood_leaves_time_for_others() -> None:
    """While updates come faster than they are handled, the loop goes on and every handler has its turn."""
    inbox = Inbox()
    handled: dict[str, int] = {"a": 0, "b": 0}

    def slow(name: str) -> Any:
        def handle(_: int) -> None:
            handled[name] += 1
            time.sleep(0.001)
            inbox.put(handlers[name], 0)  # one more for each that is done

        return handle

    handlers = {name: slow(name) for name in handled}
    for handler in handlers.values():
        for number in range(100):
            inbox.put(handler, number)
    longest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - begun)
    assert longest < 0.2
    assert min(handled.values()) > 20
    inbox.close()


async def test_the_newest_update_is_never_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit the oldest of a handler give way, and the log says how many."""
    inbox = Inbox(limit=10)
    flood: list[int] = []
    other: list[int] = []
    for number in range(100):
        inbox.put(flood.append, number)
    inbox.put(other.append, 1)
    await eventually(lambda: other)
    assert flood == list(range(90, 100))
    assert [record.getMessage() for record in caplog.records] == [
        "observables: 90 readings came too fast to be taken, and were dropped"
    ]


async def test_nothing_is_handled_for_who_has_left() -> None:
    """What waits for a handler that is forgotten is not handled."""
    inbox = Inbox()
    gone: list[int] = []
    stays: list[int] = []
    inbox.put(gone.append, 1)
    inbox.put(stays.append, 2)
    inbox.forget(gone.append)
    await eventually(lambda: stays)
    assert gone == []
