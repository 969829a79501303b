"""How long samples wait for commands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.right_of_way import RightOfWay
from tests.stopped_clock import StoppedClock

LONGEST = 0.02


def test_samples_wait_until_the_command_has_ended() -> None:
    """Without a command samples never wait; with one they wait for what is left of 20 ms, or until it ends."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    assert commands.seconds() == 0
    with commands.command():
        assert commands.seconds() == pytest.approx(LONGEST)
        clock.now = 0.005
        assert commands.seconds() == pytest.approx(LONGEST - 0.005)
    assert commands.seconds() == 0


def test_a_command_that_fails_gives_way_too() -> None:
    """Samples do not wait for what has ended with an error."""
    commands = RightOfWay(StoppedClock())
    with contextlib.suppress(KeyError), commands.command():
        raise KeyError
    assert commands.seconds() == 0


def test_a_command_that_follows_waits_its_turn() -> None:
    """After a command samples go for as long as they have waited, whatever comes; the next command then stops them."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    with commands.command():
        clock.now = 0.004
    clock.now = 0.007
    with commands.command():
        assert commands.seconds() == 0
    clock.now = 0.008
    with commands.command():
        assert commands.seconds() == pytest.approx(LONGEST)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["begin", "end", "nothing"])), max_size=200))
def test_samples_have_half_of_the_time(story: list[tuple[int, str]]) -> None:
    """Whatever commands come: samples never wait for more than 20 ms at once, nor for more than half of the time."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    under_way: list[contextlib.ExitStack] = []
    waited = at_once = 0.0
    for milliseconds, what in story:
        for _ in range(milliseconds):
            held = commands.seconds() > 1e-9
            waited += held / 1000
            at_once = at_once + 0.001 if held else 0.0
            clock.now += 0.001
            assert at_once <= LONGEST + 1e-6
            assert waited <= clock.now / 2 + LONGEST
        if what == "begin":
            under_way.append(contextlib.ExitStack())
            under_way[-1].enter_context(commands.command())
        elif what == "end" and under_way:
            under_way.pop(0).close()
