"""What a run keeps of what went wrong in it, however much that is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioc.runlogic.state import About, Trouble
from ioc.runlogic.troubles import FIRST, LAST, line
from tests.runlogic.world import World

SERVERS = ("CoBo0", "CoBo1", "MuTAnT")


@dataclass
class Book:
    """Everything that ever went wrong in the open run of a world."""

    world: World
    earlier: list[str] = field(default_factory=list[str])
    """The lines of earlier processes."""
    known: dict[tuple[About, str, float], Trouble] = field(default_factory=dict[tuple[About, str, float], Trouble])
    """What this process reported, in order."""

    def server(self, name: str, *, reachable: bool) -> None:
        self.world.servers[name].reachable = reachable
        self.world.poll_server(name)
        now = {(each.about, each.name, each.at): each for each in self.world.state.run.troubles}
        # What is left out has ended.
        self.known = {key: now.get(key, replace(each, standing=False)) for key, each in self.known.items()} | now

    def restart(self) -> None:
        for name in SERVERS:
            self.server(name, reachable=True)
        self.earlier += map(line, self.known.values())
        self.known.clear()
        self.world.restart()

    def message(self) -> str:
        """The first and the last lines; between them whether there were others, and those that last."""
        every = [(text, False) for text in self.earlier]
        every += [(line(each), each.standing) for each in self.known.values()]
        end = max(FIRST, len(every) - LAST)
        lasting = [text for text, lasts in every[FIRST:end] if lasts]
        said = ["… and more: see the events of this run"] if end - FIRST > len(lasting) else []
        return "\n".join([*(text for text, _ in every[:FIRST]), *said, *lasting, *(text for text, _ in every[end:])])


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    nights=st.lists(
        st.tuples(st.sampled_from(SERVERS), st.integers(1, 60), st.booleans(), st.sampled_from([False, False, True])),
        max_size=8,
    )
)
def test_a_run_keeps_the_first_and_the_last_of_what_went_wrong(nights: list[tuple[str, int, bool, bool]]) -> None:
    """The message of a run is bounded, and so is the core's state: the first, the last, and all that lasts."""
    world = World()
    world.start_run()
    book = Book(world)
    for name, times, stays_away, restarts in nights:
        for _ in range(times):
            book.server(name, reachable=False)
            book.server(name, reachable=True)
        if stays_away:
            book.server(name, reachable=False)
        if restarts:
            book.restart()
        assert world.record.message == book.message()
        lasting = sum(each.standing for each in book.known.values())
        assert len(world.state.run.troubles) <= FIRST + LAST + lasting
        assert len(world.record.message.splitlines()) <= FIRST + LAST + 1 + lasting


def test_the_next_run_begins_with_nothing_left_out() -> None:
    """What was left out of a run is not mentioned in the next one."""
    world = World()
    world.start_run()
    book = Book(world)
    for _ in range(FIRST + LAST + 10):
        book.server("CoBo1", reachable=False)
        book.server("CoBo1", reachable=True)
    assert "… and more: see the events of this run" in world.record.message.splitlines()
    world.run("Stop")
    world.settle()
    world.ready()
    world.poll()
    world.start_run()
    assert world.record.run.number == 1
    assert world.record.message == ""
    assert world.state.run.troubles == ()
