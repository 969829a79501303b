"""How long samples wait for commands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.right_of_way import RightOfWay
from tests.stopped_clock import StoppedClock

LONGEST = 0.02
ASK_AGAIN = 0.002


def test_samples_wait_until_the_command_has_ended() -> None:
    """Without a command samples never wait; with one they ask again and again until it ends, but not after 20 ms."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    assert commands.seconds() == 0
    with commands.command():
        assert commands.seconds() == pytest.approx(ASK_AGAIN)
        clock.now = LONGEST - 0.001
        assert commands.seconds() == pytest.approx(0.001)
        clock.now = LONGEST
        assert commands.seconds() == 0
    clock.now = 1.0
    with commands.command():
        clock.now = 1.001
    assert commands.seconds() == 0


def test_a_command_that_fails_gives_way_too() -> None:
    """Samples do not wait for what has ended with an error."""
    commands = RightOfWay(StoppedClock())
    with contextlib.suppress(KeyError), commands.command():
        raise KeyError
    assert commands.seconds() == 0


def test_a_command_that_follows_waits_its_turn() -> None:
    """After a command samples go as long as they have waited, 4 ms at least; then the next command has the right."""
    for lasts, share in ((0.001, 0.004), (0.004, 0.004), (0.009, 0.009), (0.02, 0.02)):
        clock = StoppedClock()
        commands = RightOfWay(clock)
        with commands.command():
            clock.now = lasts
        clock.now = lasts + share - 0.0005
        with commands.command():
            assert commands.seconds() == 0
        clock.now = lasts + share + 0.0005
        with commands.command():
            assert commands.seconds() == pytest.approx(ASK_AGAIN)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["begin", "end", "nothing"])), max_size=200))
def test_samples_have_their_share(story: list[tuple[int, str]]) -> None:
    """Whatever commands come: who asks again when told to never waits over 22 ms, and has a quarter of the time."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    under_way: list[contextlib.ExitStack] = []
    ask_at = worked = 0.0
    worked_at = 0.0
    for milliseconds, what in story:
        for _ in range(milliseconds):
            if clock.now >= ask_at - 1e-9:
                wait = commands.seconds()
                if not wait:
                    worked, worked_at = worked + 0.001, clock.now
                ask_at = clock.now + (wait or 0.001)
            clock.now += 0.001
            assert clock.now - worked_at <= LONGEST + ASK_AGAIN + 0.001 + 1e-9
            assert worked >= clock.now / 4 - LONGEST - ASK_AGAIN
        if what == "begin":
            under_way.append(contextlib.ExitStack())
            under_way[-1].enter_context(commands.command())
        elif what == "end" and under_way:
            under_way.pop(0).close()


@pytest.mark.parametrize("lasts", [0.0005, 0.001, 0.002, 0.003, 0.007, 0.02, 0.05])
def test_a_stream_of_commands_leaves_room(lasts: float) -> None:
    """While one command follows the other without a pause, who asks again when told to has a quarter of the time."""
    clock = StoppedClock()
    commands = RightOfWay(clock)
    ask_at = worked = 0.0
    while clock.now < 1.0:
        with commands.command():
            until = clock.now + lasts
            while clock.now < until:
                if clock.now >= ask_at:
                    wait = commands.seconds()
                    worked += 0.0 if wait else 0.00025
                    ask_at = clock.now + (wait or 0.00025)
                clock.now += 0.00025
    assert worked > 0.25
