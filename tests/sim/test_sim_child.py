"""The owner of child processes, with children that behave badly."""

from __future__ import annotations

import sys
import time

import pytest

from ioc.errors import PeerError
from ioc.sim.child import Child


async def child_of(script: str) -> Child:
    """A Python process that runs `script`."""
    return await Child.start("test child", [sys.executable, "-I", "-S", "-c", script])


async def test_child_that_ignores_the_end_is_killed() -> None:
    """A child that floods its stdout and does not mind the end of stdin is killed after a while, and waited for."""
    child = await child_of("while True: print('x' * 10000, flush=True)")
    began = time.monotonic()
    await child.end(within=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert not child.running


async def test_child_that_dies_at_once_is_told() -> None:
    """A child that ends without a word raises an error that names it; writing to it fails too."""
    child = await child_of("")
    with pytest.raises(PeerError, match="test child"):
        await child.answer()
    with pytest.raises(PeerError, match="does not run any more"):
        await child.send("hello")
    await child.end()
