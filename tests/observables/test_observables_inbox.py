"""The inbox without Channel Access."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    """Beyond the limit the oldest of a handler give way; they are counted, and said once."""
    inbox = Inbox(limit=10)
    flood: list[int] = []
    other: list[int] = []
    for number in range(100):
        inbox.put(flood.append, number)
    inbox.put(other.append, 1)
    await eventually(lambda: other)
    inbox.report()
    inbox.report()
    assert flood == list(range(90, 100))
    assert (inbox.received, inbox.dropped) == (101, 90)
    assert [record.getMessage() for record in caplog.records] == [
        "observables: 90 readings could not be taken and were dropped"
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


async def test_a_handler_that_fails_loses_its_update_only(caplog: pytest.LogCaptureFixture) -> None:
    """An error while an update is handled is logged once and counted; all others are handled."""
    inbox = Inbox()
    handled: list[int] = []

    def fail_on_odd(number: int) -> None:
        if number % 2:
            raise ValueError(number)
        handled.append(number)

    for number in range(1000):
        inbox.put(fail_on_odd, number)
    await eventually(lambda: len(handled) == 500)
    assert inbox.dropped == 500
    assert len(caplog.records) == 1


async def test_an_interrupt_in_a_handler_stops_nothing() -> None:
    """What is no ordinary error reaches the loop, and the next updates are handled all the same."""
    inbox = Inbox()
    handled: list[int] = []
    caught: list[dict[str, Any]] = []

    def cancelled(number: int) -> None:
        if number == 1:
            raise asyncio.CancelledError
        handled.append(number)

    asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
    for number in range(4):
        inbox.put(cancelled, number)
    await eventually(lambda: handled == [0, 2, 3])
    inbox.put(cancelled, 5)
    await eventually(lambda: handled == [0, 2, 3, 5])


@pytest.mark.parametrize("call", ["forget", "close", "put"])
async def test_a_handler_may_call_the_inbox(call: str) -> None:
    """Forgetting, closing and putting from within a handler take effect at once and keep the order."""
    inbox = Inbox()
    handled: list[int] = []

    def handle(number: int) -> None:
        handled.append(number)
        if number == 1:
            {"forget": lambda: inbox.forget(handle), "close": inbox.close, "put": lambda: inbox.put(handle, 9)}[call]()

    for number in range(3):
        inbox.put(handle, number)
    last: list[int] = []
    asyncio.get_running_loop().call_later(0.05, last.append, 1)
    await eventually(lambda: last)
    assert handled == ([0, 1, 2, 9] if call == "put" else [0, 1])


async def test_a_closed_inbox_takes_nothing() -> None:
    """After closing nothing is handled or scheduled, even if an update still comes."""
    inbox = Inbox()
    handled: list[int] = []
    inbox.put(handled.append, 1)
    inbox.close()
    inbox.put(handled.append, 2)
    last: list[int] = []
    asyncio.get_running_loop().call_later(0.05, last.append, 1)
    await eventually(lambda: last)
    assert handled == []


async def test_a_forgotten_handler_that_comes_back_gets_what_is_new() -> None:
    """A source that is followed again gets only updates of the new subscription, all of them and in order."""
    inbox = Inbox()
    handled: list[int] = []
    for number in range(5):
        inbox.put(handled.append, number)
    inbox.forget(handled.append)
    for number in range(10, 18):
        inbox.put(handled.append, number)
    await eventually(lambda: len(handled) == 8)
    assert handled == list(range(10, 18))


@given(st.integers(1, 8), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=60))
@settings(deadline=None, max_examples=60)
def test_every_update_is_handled_or_counted(limit: int, puts: list[tuple[str, int]]) -> None:
    """Whatever comes, however fast: each handler gets its newest updates in order, and the others are counted."""

    async def run() -> None:
        inbox = Inbox(limit)
        handled: dict[str, list[int]] = {name: [] for name in "abc"}
        sent: dict[str, list[int]] = {name: [] for name in "abc"}
        handlers = {name: handled[name].append for name in "abc"}
        for number, (name, pause) in enumerate(puts):
            sent[name].append(number)
            inbox.put(handlers[name], number)
            for _ in range(pause):
                await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)
        for name in "abc":
            assert handled[name] == sorted(handled[name])
            assert set(handled[name]) <= set(sent[name])
            assert handled[name][-1:] == sent[name][-1:]
        assert sum(map(len, handled.values())) + inbox.dropped == inbox.received == len(puts)

    asyncio.run(run())
