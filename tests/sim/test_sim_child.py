"""The owner of child processes, with children that behave badly."""

from __future__ import annotations

import sys
import time

import pytest

from ioc.sim import SimulatorError
from ioc.sim.processes import Child


async def test_child_that_ignores_the_end_is_killed() -> None:
    """A child that floods its stdout and ignores the end of stdin is killed after a while, and waited for."""
    child = Child("test child")
    flood = "while True: print('x' * 10000, flush=True)"
    assert await child.launch(sys.executable, "-I", "-S", "-c", flood) == "x" * 10000
    began = time.monotonic()
    await child.close(within=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert not child.pid


async def test_child_with_a_long_answer() -> None:
    """An answer longer than asyncio's default limit arrives: the addresses of three hundred parts are one line."""
    child = Child("test child")
    assert await child.launch(sys.executable, "-I", "-S", "-c", "print('x' * 300_000)") == "x" * 300_000
    await child.close()


async def test_child_that_dies_at_once() -> None:
    """A child that ends without a word raises an error that names it; so does asking it later."""
    child = Child("test child")
    with pytest.raises(SimulatorError, match="test child is not running"):
        await child.launch(sys.executable, "-I", "-S", "-c", "")
    with pytest.raises(SimulatorError, match="test child is not running"):
        await child.ask("hello")
    await child.close()


async def test_child_that_runs_is_not_started_again() -> None:
    """A second launch is refused while the first process runs, and works after it was killed."""
    child, echo = Child("test child"), [sys.executable, "-I", "-S", "-c", "while True: print(input(), flush=True)"]
    assert await child.launch(*echo, first_line="one") == "one"
    with pytest.raises(SimulatorError, match="runs already"):
        await child.launch(*echo)
    await child.kill()
    assert await child.launch(*echo, first_line="two") == "two"
    await child.close()
