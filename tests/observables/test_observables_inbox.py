"""The inbox without Channel Access."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.observables.inbox import Inbox
from tests.epics import eventually


class Taker:
    """Receives numbers as text; `also` is called with each."""

    def __init__(self, also: Callable[[int], Any] = lambda _: None) -> None:
        self.closed = False
        self.taken: list[int] = []
        self._also = also

    def take(self, update: bytes | None) -> None:
        assert update is not None
        self.taken.append(int(update))
        self._also(int(update))


class Hearer:
    """Receives everything as it comes."""

    def __init__(self) -> None:
        self.closed = False
        self.heard: list[bytes | None] = []

    def take(self, update: bytes | None) -> None:
        self.heard.append(update)


def opened(**limit: int) -> Inbox:
    inbox = Inbox(**limit)
    inbox.open()
    return inbox


def put(inbox: Inbox, taker: Taker, *numbers: int) -> None:
    for number in numbers:
        inbox.put(taker, str(number).encode())


async def test_updates_are_handled_in_order() -> None:
    """Each receiver gets its updates in the order they came."""
    inbox = opened()
    first, second = Taker(), Taker()
    for number in range(100):
        put(inbox, first, number)
        put(inbox, second, -number)
    await eventually(lambda: len(second.taken) == 100)
    assert first.taken == list(range(100))
    assert second.taken == [-number for number in range(100)]


async def test_any_thread_may_put() -> None:
    """Of updates that many threads put at once none is lost, and those of one thread keep their order."""
    inbox = opened()
    takers = [Taker() for _ in range(8)]
    threads = [threading.Thread(target=put, args=(inbox, taker, *range(2000))) for taker in takers]
    for thread in threads:
        thread.start()
    await eventually(lambda: all(len(taker.taken) == 2000 for taker in takers))
    for thread in threads:
        thread.join()
    assert all(taker.taken == list(range(2000)) for taker in takers)
    assert (inbox.received, inbox.dropped) == (16_000, 0)


async def test_a_flood_leaves_time_for_others() -> None:
    """While updates come faster than they are handled, the loop goes on and every receiver has its turn."""
    inbox = opened()

    def one_more(index: int) -> Callable[[int], None]:
        def also(_: int) -> None:
            time.sleep(0.001)
            put(inbox, takers[index], 0)

        return also

    takers = [Taker(one_more(index)) for index in range(2)]
    for taker in takers:
        put(inbox, taker, *range(100))
    longest = 0.0
    while min(len(taker.taken) for taker in takers) < 150:
        begun = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - begun)
    assert longest < 0.2
    inbox.close()


async def test_the_newest_update_is_never_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit a receiver's newer updates replace one another; what is lost is counted, and said once."""
    inbox = opened(limit=10)
    flood, other = Taker(), Taker()
    put(inbox, flood, *range(100))
    put(inbox, other, 1)
    await eventually(lambda: other.taken)
    inbox.report()
    inbox.report()
    assert flood.taken == [*range(10), 99]
    assert (inbox.received, inbox.dropped) == (101, 89)
    assert [record.getMessage() for record in caplog.records] == [
        "observables: 89 readings could not be taken and were dropped"
    ]


async def test_the_news_that_there_are_no_more_is_never_replaced() -> None:
    """Beyond the limit, too, a receiver hears that its source went away, whatever came after."""
    inbox = opened(limit=1)
    put(inbox, Taker(), 1)
    lost = Hearer()
    for update in (b"2", None, b"3"):
        inbox.put(lost, update)
    await eventually(lambda: lost.heard)
    assert lost.heard == [None]


async def test_nothing_is_handled_for_who_has_left() -> None:
    """What waits for a receiver that was closed is not handled."""
    inbox = opened()
    gone, stays = Taker(), Taker()
    put(inbox, gone, 1)
    put(inbox, stays, 2)
    gone.closed = True
    await eventually(lambda: stays.taken)
    assert gone.taken == []


async def test_a_receiver_that_fails_loses_its_update_only(caplog: pytest.LogCaptureFixture) -> None:
    """An error while an update is handled is logged once and counted; all others are handled."""
    inbox = opened()
    handled: list[int] = []

    def fail_on_odd(number: int) -> None:
        if number % 2:
            raise ValueError(number)
        handled.append(number)

    put(inbox, Taker(fail_on_odd), *range(1000))
    await eventually(lambda: len(handled) == 500)
    assert inbox.dropped == 500
    assert len(caplog.records) == 1


async def test_an_interrupt_in_a_receiver_stops_nothing() -> None:
    """What is no ordinary error reaches the loop, and the next updates are handled all the same."""
    inbox = opened()
    caught: list[dict[str, Any]] = []

    def cancelled(number: int) -> None:
        if number == 1:
            raise asyncio.CancelledError

    taker = Taker(cancelled)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
    put(inbox, taker, *range(4))
    await eventually(lambda: taker.taken == [0, 1, 2, 3])
    put(inbox, taker, 5)
    await eventually(lambda: taker.taken == [0, 1, 2, 3, 5])


@pytest.mark.parametrize(("call", "expected"), [("leave", [0, 1]), ("close", [0, 1]), ("put", [0, 1, 2, 9])])
async def test_a_receiver_may_call_the_inbox(call: str, expected: list[int]) -> None:
    """Leaving, closing and putting while an update is handled take effect at once and keep the order."""
    inbox = opened()

    def leave() -> None:
        taker.closed = True

    calls: dict[str, Callable[[], None]] = {"leave": leave, "close": inbox.close, "put": lambda: put(inbox, taker, 9)}

    def on_one(number: int) -> None:
        if number == 1:
            calls[call]()

    taker, last = Taker(on_one), Taker()
    put(inbox, taker, *range(3))
    put(inbox, last, 0)
    if call == "close":
        done: list[int] = []
        asyncio.get_running_loop().call_later(0.1, done.append, 1)
        await eventually(lambda: done)
    else:
        await eventually(lambda: last.taken and len(taker.taken) == len(expected))
    assert taker.taken == expected


async def test_a_closed_inbox_takes_nothing() -> None:
    """Before opening and after closing nothing is handled or scheduled, even if an update comes."""
    inbox = Inbox()
    taker = Taker()
    put(inbox, taker, 0)
    inbox.open()
    put(inbox, taker, 1)
    inbox.close()
    put(inbox, taker, 2)
    last: list[int] = []
    asyncio.get_running_loop().call_later(0.1, last.append, 1)
    await eventually(lambda: last)
    assert taker.taken == []


@given(st.integers(1, 8), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=60))
@settings(deadline=None, max_examples=60)
def test_every_update_is_handled_or_counted(limit: int, puts: list[tuple[str, int]]) -> None:
    """Whatever comes, however fast: each receiver gets its newest updates in order, and the others are counted."""

    async def run() -> None:
        inbox = opened(limit=limit)
        takers = {name: Taker() for name in "abc"}
        sent: dict[str, list[int]] = {name: [] for name in "abc"}
        for number, (name, pause) in enumerate(puts):
            sent[name].append(number)
            put(inbox, takers[name], number)
            for _ in range(pause):
                await asyncio.sleep(0)
        await eventually(
            lambda: sum(len(taker.taken) for taker in takers.values()) + inbox.dropped == len(puts), timeout=5
        )
        for name, taker in takers.items():
            assert taker.taken == sorted(taker.taken)
            assert set(taker.taken) <= set(sent[name])
            assert taker.taken[-1:] == sent[name][-1:]
        assert inbox.received == len(puts)
        inbox.close()

    asyncio.run(run())
