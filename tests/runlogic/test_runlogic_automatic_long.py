"""A long sequence of automatic runs with random faults and restarts."""

from __future__ import annotations

from ioc.model import RunState
from tests.runlogic.long_sequence import files, take
from tests.runlogic.peers import UNFINISHED


def test_nothing_is_lost_in_a_long_sequence() -> None:
    """No number is missing or used twice, no file is lost, no run stays open, and the core's state does not grow."""
    world, sizes = take(150, seed=1)
    numbers = [run.number for run in world.database.runs]
    assert numbers == list(range(len(numbers)))
    assert [record for record in world.database.runs.values() if record.state in UNFINISHED][1:] == []
    assert world.state.run.state is not RunState.Failed or world.state.run.message.text
    found = files(world)
    assert found == list(range(1, len(found) + 1))
    assert max(sizes[len(sizes) // 2 :]) < 3 * max(sizes[: len(sizes) // 2])
