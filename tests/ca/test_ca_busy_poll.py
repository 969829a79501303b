"""The event loop stays awake between requests that follow each other closely, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from ioc.ca.busy_poll import BUSY_SECONDS, POLL_SECONDS, BusyPoll

SOON, LATER = POLL_SECONDS / 2, POLL_SECONDS * 2


class Loop:
    """An event loop whose turns the test takes one by one; each takes a tenth of the polling time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.others_take = 0.0
        """Seconds for which other programs keep the processor when they get it."""
        self.poll = BusyPoll(lambda: self.now, self._give_way)
        self._due: list[Callable[[], None]] = []

    def _give_way(self) -> None:
        self.now += self.others_take

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self._due.append(lambda: call(*arguments))

    def answered(self, previous: float) -> float:
        """A client's requests are answered; its previous ones were at `previous`."""
        return self.poll.answered(previous, cast(asyncio.AbstractEventLoop, self))

    def sleep(self, seconds: float) -> float:
        """Let time pass; returns the seconds of it for which the loop was awake."""
        end, awake = self.now + seconds, 0.0
        while self._due and self.now < end:
            (call,) = self._due  # a second turn at a time would only cost CPU
            self._due = []
            self.now += POLL_SECONDS / 10
            awake += POLL_SECONDS / 10
            call()
        self.now = end
        return awake


@pytest.mark.parametrize(
    ("gaps", "awake"),
    [
        ((LATER, LATER), 0),
        ((SOON, LATER), POLL_SECONDS),
        ((LATER, SOON, LATER), POLL_SECONDS),
        ((SOON, SOON, SOON, LATER), 2 * SOON + POLL_SECONDS),
        ((SOON, LATER, LATER), POLL_SECONDS),
    ],
)
def test_awake_after_close_requests(gaps: tuple[float, ...], awake: float) -> None:
    """A request that closely follows another of its client keeps the loop awake for the polling time, others do not."""
    loop, previous, seconds = Loop(), 0.0, 0.0
    for gap in gaps:
        previous = loop.answered(previous)
        seconds += loop.sleep(gap)
    assert seconds == pytest.approx(awake, abs=POLL_SECONDS / 5)


def test_requests_of_different_clients() -> None:
    """Many clients that each ask now and then do not keep the loop awake, however close to each other they come."""
    loop = Loop()
    previous = [0.0] * 100
    for client in [*range(100)] * 2:
        previous[client] = loop.answered(previous[client])
        assert loop.sleep(SOON) == 0


def test_a_busy_machine() -> None:
    """When other programs need the processor, the loop sleeps as usual for a second: who sleeps is served first."""
    loop = Loop()
    previous = loop.answered(0.0)
    loop.sleep(SOON)
    loop.others_take = LATER
    previous = loop.answered(previous)
    assert loop.sleep(2 * LATER) <= POLL_SECONDS / 5
    loop.others_take = 0
    for _ in range(int(BUSY_SECONDS / SOON) - 10):
        previous = loop.answered(previous)
        assert loop.sleep(SOON) == 0
    loop.sleep(20 * SOON)
    previous = loop.answered(previous)
    loop.sleep(SOON)
    loop.answered(previous)
    assert loop.sleep(LATER) > 0
