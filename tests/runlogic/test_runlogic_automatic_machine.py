"""The state machine of `test_runlogic_machine` with automatic runs: restarts, faults and commands at any step.

On top of the rules that hold there, the core never wants to be woken in the past, a Stop always ends the sequence, no
run starts without somebody asking while it is off, and a sequence that is on never stalls once all peers are well.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from ioc.model import AutoState, PlannedRun, RunClass, Wait, Window
from ioc.runlogic import events as ev
from ioc.runlogic.automatic_shown import phase, seconds_to_next, step_text
from ioc.runlogic.state import JobKind
from ioc.runlogic.step import wake_at
from tests.runlogic.automatic import enable, limit, message, plan, wait
from tests.runlogic.test_runlogic_machine import Operating

PLANS = st.lists(
    st.builds(
        PlannedRun,
        title=st.sampled_from([None, "alpha {n}", "{run}"]),
        run_class=st.sampled_from([None, RunClass.Beam]),
        minutes=st.sampled_from([1.0, 5.0]),
        manual=st.sampled_from([(), (("gas", "P10"),)]),
        wait_for=st.sampled_from([(), (Wait("pressure", Window(5, 7), "Torr"),)]),
    ),
    max_size=3,
)


class Automatic(Operating):
    """Operators, peers and accidents, and runs that follow each other."""

    @rule(minutes=st.sampled_from([0, 1, 5]), runs=st.integers(0, 3), pause=st.sampled_from([0, 20]))
    def set_limits(self, minutes: float, runs: int, pause: float) -> None:
        limit(self.world, minutes=minutes, runs=runs, pause=pause)

    @rule(runs=PLANS)
    def give_a_plan(self, runs: list[PlannedRun]) -> None:
        plan(self.world, *runs)

    @rule(on=st.booleans())
    def turn(self, on: bool) -> None:
        enable(self.world, on=on)

    @rule(minutes=st.sampled_from([1, 5]), performed=st.integers(0, 12))
    def begin_a_sequence(self, minutes: float, performed: int) -> None:
        """Random commands alone would seldom begin one."""
        self.world.settle()
        if not self.world.state.run.open:
            self.mend_all()
            self.world.ready()
        limit(self.world, minutes=minutes)
        enable(self.world)
        self.perform_some(performed)

    @rule(seconds=st.sampled_from([1, 3, 20, 60, 300]), performed=st.integers(0, 12))
    def something_becomes_due(self, seconds: float, performed: int) -> None:
        """Not all of what becomes due is also done."""
        world = self.world
        until = world.steady + seconds
        at = wake_at(world.plan, world.state)
        world.steady = until if at is None else min(at, until)
        world.feed(ev.TimePassed())
        self.perform_some(performed)

    @rule(value=st.sampled_from([6.0, 3.0, None]))
    def the_pressure_changes(self, value: float | None) -> None:
        self.world.read("pressure", value)

    @rule()
    def stop_the_sequence(self) -> None:
        """Whatever it is doing."""
        if not self.world.state.auto.enabled:
            return
        stop = self.world.run("Stop")
        assert not self.world.state.auto.enabled
        self.world.settle()
        assert not self.world.answers[stop].refused

    @invariant()
    def the_core_is_never_woken_in_the_past(self) -> None:
        at = wake_at(self.world.plan, self.world.state)
        assert at is None or at > self.world.steady

    @invariant()
    def nothing_starts_while_it_is_off(self) -> None:
        """A start that nobody commanded was begun while it was on, and ends with it unless it was past the look."""
        state = self.world.state
        if state.auto.trying:
            assert state.auto.enabled
            assert state.job is None or state.job.kind is JobKind.Start

    @invariant()
    def it_can_be_shown(self) -> None:
        """State, sentence and time to the next step exist in every state."""
        state = self.world.state
        assert phase(state) in AutoState
        assert seconds_to_next(state, self.world.steady) >= 0
        assert step_text(state) is not None
        assert not state.auto.enabled or message(self.world) or state.undecided

    def teardown(self) -> None:
        """With healthy peers, a sequence that is on takes its runs, until somebody turns it off."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.faults.clear()
        world.settle()
        if world.state.auto.enabled:
            for _ in range(3):
                self.mend_all()
                if not world.state.run.open:
                    self.configure()
                self.the_pressure_changes(6.0)
                wait(world, 30)
                self.the_pressure_changes(6.0)  # the next planned run may have begun to wait for it
                world.settle()
            assert phase(world.state) in {AutoState.Off, AutoState.Running, AutoState.Pause}, message(world)
            enable(world, on=False)
            world.settle()
        super().teardown()


TestAutomatic = Automatic.TestCase
TestAutomatic.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
)
