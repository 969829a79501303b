"""Hooks: when they run, what waits for them, and what becomes of their failures."""

from __future__ import annotations

from typing import Literal

import pytest

from ioc.model import Action, DocumentState, EccState, HookOutcome, HookPoint, NextStep, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic import runs
from ioc.runlogic.next_step import next_step
from ioc.topology.schema import Hooks, Interlock
from tests.runlogic.installation import HOOKS, topology
from tests.runlogic.world import OPERATOR, TICK, World

ALL = [("before_start", "hv"), ("before_start", "light"), ("after_start", "note"), ("before_stop", "hv")]
REST = [("after_stop", "hv"), ("after_filing", "copy")]


@pytest.fixture
def world() -> World:
    """Ready for a run, with hooks for every occasion."""
    world = World(topology(hooks=HOOKS))
    world.ready()
    return world


def ran(world: World) -> list[tuple[str, str]]:
    """Occasion and name of every hook that has ended, in order."""
    return [(effect.point.value, effect.name) for effect in world.hooked]


def texts(world: World) -> list[str]:
    return [line.text for line in world.log]


def until_hooks(world: World) -> None:
    """Perform what comes before the next hooks."""
    while not isinstance(world.pending[0], ef.RunHook):
        world.perform()


def test_a_run_with_hooks(world: World) -> None:
    """Each hook runs once, at its occasion, and is told the number, title and state of the run."""
    world.title("day one")
    world.start_run()
    assert ran(world) == ALL[:3]
    stop = world.run("Stop")
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert sorted(ran(world)) == sorted(ALL + REST), "after_stop may end after the filing"
    told = {effect.point: effect.record for effect in world.hooked}
    assert {record.run.number for record in told.values()} == {0}
    assert {record.title for record in told.values()} == {"day one"}
    assert [told[point].state.value for point in HookPoint if point is not HookPoint.Failed] == [
        *("starting", "running", "stopping", "filing", "complete")
    ]
    assert world.record.message == ""


@pytest.mark.parametrize("hooks", [HOOKS, Hooks()], ids=["hooks", "no hooks"])
@pytest.mark.parametrize("fault", ["", "error"])
def test_can_stop_says_whether_stop_is_accepted(hooks: Hooks, fault: str) -> None:
    """At each step of a run, from Start to the last file, and of a start that fails."""
    said: list[bool] = []
    for steps in range(60):
        world = World(topology(hooks=hooks))
        world.ready()
        world.faults["MuTAnT", "Start"] = fault
        world.run("Start")
        for _ in range(steps):
            if world.pending:
                world.perform()
            elif world.state.run.state is RunState.Running:
                world.run("Stop")
        before = runs.can_stop(world.state)
        answer = world.answers.get(stop := world.run("Stop"))
        assert before == (answer is None or not answer.refused), (steps, world.state.run.state)
        said.append(before)
        if before and not world.state.run.open:
            reserving = any(isinstance(effect, ef.ReserveRun) for effect in world.pending)
            assert (stop in world.answers) != reserving, "it gives up a start that has no number yet"
    assert {True, False} == set(said)


def test_the_shift_is_told_that_hooks_run(world: World) -> None:
    """Nothing is to be done, but Stop can be pressed."""
    world.run("Start")
    until_hooks(world)
    step, action = next_step(world.plan, world.state)
    assert (step, action) == (NextStep.Wait, "Wait: run 0 waits for hooks hv and light; Stop cancels the start")


def test_no_hook_no_wait() -> None:
    """Without hooks, the number is reserved in the step in which the routers were seen."""
    world = World()
    world.ready()
    world.run("Start")
    world.perform()
    assert [type(effect) for effect in world.pending] == [ef.ReserveRun]


def test_a_failing_required_hook_refuses_the_start(world: World) -> None:
    """The output of the hook is the reason, no number is used, and only the other hooks of the start have run."""
    world.faults["hook", "hv"] = "error"
    start = world.run("Start")
    world.settle()
    reason = "run 0 cannot start: hook hv (before_start) failed: exit status 1: HV is off"
    assert world.answers[start] == ef.Answer(start, reason, refused=True)
    assert world.state.run.message.text == reason
    assert world.database.runs == {}
    assert ran(world) == ALL[:2]
    assert not world.state.run.open
    world.start_run()
    assert world.record.run.number == 0


def test_the_refusal_of_a_hook_is_past_soon(world: World) -> None:
    """Nobody knows whether the hook would refuse still: after a while, the message has its time in front."""
    world.faults["hook", "hv"] = "error"
    world.run("Start")
    world.settle()
    reason = world.state.run.message.text
    assert reason.startswith("run 0 cannot start: hook hv")
    world.pass_time(60)
    world.poll()
    assert world.state.run.message.text.endswith(f": {reason}")
    assert world.state.run.message.past


def test_a_failing_hook_that_is_not_required_is_a_trouble_of_the_run(world: World) -> None:
    """The start goes on; the run keeps the failure, and shows it as a minor alarm."""
    world.faults["hook", "light"] = "error"
    world.start_run()
    text = "hook light (before_start) failed: exit status 1: HV is off"
    assert text in world.record.message
    assert world.state.run.message.text == f"run 0 is Running, but {text}"
    assert world.state.run.message.severity is Severity.MINOR
    assert sum(text in line for line in texts(world)) == 1


def test_what_failed_before_a_refused_start_is_in_the_log(world: World) -> None:
    """A failure is an event even if the run that would have kept it does not open."""
    world.faults["hook", "hv"] = world.faults["hook", "light"] = "error"
    world.run("Start")
    world.settle()
    assert sum("hook light (before_start) failed" in line for line in texts(world)) == 1


@pytest.mark.parametrize("name", ["hv", "copy"])
def test_a_failure_at_the_end_does_not_fail_the_stop(world: World, name: str) -> None:
    """Stop is done and the run complete; what failed is kept with the run and shown, required or not."""
    world.start_run()
    world.faults["hook", name] = "error"
    stop = world.run("Stop")
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert world.record.state is DocumentState.Complete
    assert f"hook {name} (" in world.record.message
    assert world.state.run.message.text.startswith("run 0 is complete, but hook")
    assert world.state.run.message.severity is Severity.MINOR
    [line] = [line for line in world.log if "failed" in line.text]
    assert line.run == (world.record.run if name == "copy" else None), "None is the open run"


def test_the_severity_is_that_of_a_required_hook(world: World) -> None:
    """A required hook that fails after the start is a major alarm."""
    world.start_run()
    world.run("Stop")
    while not (world.pending and isinstance(world.pending[0], ef.RunHook) and world.pending[0].job == 0):
        world.perform()
    world.perform(fault="error")
    assert "hook hv (after_stop) failed" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR


def test_a_failure_that_comes_in_the_next_run_is_not_its_trouble(world: World) -> None:
    """A hook that ends late is logged under its own run."""
    world.start_run()
    world.run("Stop")
    while any(effect for effect in world.pending if not (isinstance(effect, ef.RunHook) and effect.job == 0)):
        world.perform(next(i for i, e in enumerate(world.pending) if not (isinstance(e, ef.RunHook) and e.job == 0)))
    late = [effect for effect in world.pending if isinstance(effect, ef.RunHook)]
    world.pending.clear()
    world.start_run()
    world.pending += late
    world.perform(len(world.pending) - 1, "error")
    assert world.state.run.number == 1
    assert world.record.message == ""
    assert world.log[-1].run == late[-1].record.run
    world.settle()


@pytest.mark.parametrize("how", ["experiment", "restart"])
def test_a_late_failure_keeps_what_the_run_has(world: World, how: str) -> None:
    """The lines of a closed run stay when the experiment was changed and changed back, or the IOC restarted, before."""
    world.faults["hook", "note"] = "error"
    world.start_run()
    world.run("Stop")
    while any(each for each in world.pending if not (isinstance(each, ef.RunHook) and each.job == 0)):
        world.perform(next(i for i, e in enumerate(world.pending) if not (isinstance(e, ef.RunHook) and e.job == 0)))
    before = world.record.message
    assert "hook note (after_start) failed" in before
    late = [each for each in world.pending if isinstance(each, ef.RunHook) and each.point is HookPoint.AfterFiling]
    world.pending.clear()
    if how == "restart":
        world.restart()
        world.settle()
    world.put_servers(EccState.Idle)
    for name in ("other", "e20") if how == "experiment" else ():
        world.experiment(name)
        world.settle()
    world.pending += late
    world.perform(fault="error")
    known, new = world.record.message.splitlines()
    assert known == before
    assert "hook copy (after_filing) failed" in new


def test_stop_while_a_start_waits_for_hooks(world: World) -> None:
    """Stop cancels the start: the hooks are ended, no number is used, both commands are answered."""
    start = world.run("Start")
    until_hooks(world)
    assert world.state.run.message.text == "run 0 waits for hooks hv and light"
    stop = world.run("Stop")
    assert [effect for effect in world.effects if isinstance(effect, ef.AbortHook)] == [
        ef.AbortHook(HookPoint.BeforeStart, name) for name in ("hv", "light")
    ]
    assert world.answers[start] == ef.Answer(start, "run 0 does not start: Stop requested")
    assert world.answers[stop] == ef.Answer(stop)
    assert world.state.job is None
    world.settle()
    assert world.database.runs == {}
    world.start_run()


def test_stop_of_automatic_runs_while_a_start_waits_for_hooks(world: World) -> None:
    """Stop also ends the sequence, and does not wait for the run that would open."""
    world.ask(ev.SetAutomatic(OPERATOR, minutes=1.0))
    world.ask(ev.EnableAutomatic(OPERATOR, on=True))
    until_hooks(world)
    stop = world.run("Stop")
    assert world.answers[stop] == ef.Answer(stop)
    assert not world.state.auto.enabled
    world.settle()
    assert world.database.runs == {}


def test_a_stop_of_automatic_runs_before_their_hooks(world: World) -> None:
    """Pressed while the routers are looked at, it takes effect at once."""
    world.ask(ev.SetAutomatic(OPERATOR, minutes=1.0))
    world.ask(ev.EnableAutomatic(OPERATOR, on=True))
    assert isinstance(world.pending[0], ef.ProbeRouters)
    stop = world.run("Stop")
    assert world.answers[stop] == ef.Answer(stop)
    world.settle()
    assert ran(world) == []
    assert world.database.runs == {}


def test_automatic_runs_end_after_three_starts_that_a_hook_refuses(world: World) -> None:
    """A required hook that always fails is a failure of the sequence, not an endless loop."""
    world.ask(ev.SetAutomatic(OPERATOR, minutes=1.0))
    world.ask(ev.EnableAutomatic(OPERATOR, on=True))
    for _ in range(3):
        world.faults["hook", "hv"] = "error"
        world.settle()
        world.pass_time(5)
    world.settle()
    assert not world.state.auto.enabled
    assert "3 failures in a row, the last: run 0 cannot start: hook hv" in world.state.auto_message.text
    assert world.database.runs == {}


def test_what_came_up_while_hooks_ran_forbids_the_start(world: World) -> None:
    """The permits are looked at again before the number is reserved."""
    start = world.run("Start")
    until_hooks(world)
    world.routers["data1"].online = False
    world.poll()
    world.settle()
    assert world.answers[start].refused
    assert world.answers[start].error == "run 0 cannot start: router data1 is Offline, but must be Online"
    assert world.database.runs == {}


@pytest.mark.parametrize("when", ["always", "run"])
@pytest.mark.parametrize("pressed", [False, True])
def test_an_interlock_that_stops_does_not_wait_for_before_stop(when: Literal["always", "run"], pressed: bool) -> None:
    """Every Stop runs its hooks, but that of an interlock goes on at once, also if Stop was pressed and waits."""
    stops = Interlock(name="p", observable="pressure", low=5, action=Action.Stop, for_seconds=0, when=when)
    world = World(topology(hooks=HOOKS, interlocks=(stops,)), tick=TICK)
    world.read("pressure", 6)
    world.start_run()
    sent = len(world.sent)
    if pressed and when == "always":
        world.run("Stop")
    world.read("pressure", 1)
    assert {operation for operation, _ in world.operations()[sent:]} == {"Stop"}
    hook = next(effect for effect in world.pending if isinstance(effect, ef.RunHook))
    world.pending.remove(hook)
    world.settle()
    assert world.record.state is DocumentState.Complete
    world.pending.append(hook)
    world.perform(0, "error")
    assert "hook hv (before_stop) failed" in world.record.message
    assert sorted(ran(world)) == sorted(ALL + REST)


def test_a_failed_start_runs_failed(world: World) -> None:
    """A roll-back runs neither before_stop nor after_stop, but `failed`, which is told so."""
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    assert world.state.run.state is RunState.Failed
    assert ran(world) == [*ALL[:2], ("failed", "note")]
    assert world.hooked[-1].record.message.endswith("no CoBo answers")


@pytest.mark.parametrize("state", [RunState.Starting, RunState.Stopping], ids=lambda state: state.name)
def test_a_restart_runs_no_before_stop_for_a_failed_start(world: World, state: RunState) -> None:
    """The IOC was killed in a start or in its roll-back: what ends it then runs `failed` only, as a roll-back."""
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    while world.state.run.state is not state or not any(each.takes_data for each in world.state.servers.values()):
        world.perform()
    world.hooked.clear()
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Failed
    assert ran(world) == [("failed", "note")]


def test_a_start_that_is_stopped_runs_failed(world: World) -> None:
    """Stop before the run is Running: it runs before_stop as every Stop, then `failed`."""
    world.run("Start")
    while not world.sent:
        world.perform()
    world.run("Stop")
    world.settle()
    assert ran(world) == [*ALL[:2], ("before_stop", "hv"), ("failed", "note")]


def test_a_restart_repeats_before_stop(world: World) -> None:
    """The IOC was killed while before_stop ran: the stop goes on with its hooks."""
    world.start_run()
    world.run("Stop")
    until_hooks(world)
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert sorted(ran(world)) == sorted(ALL + REST), "the first before_stop was killed with the IOC"


def test_a_restart_in_before_start_uses_no_number(world: World) -> None:
    """The IOC was killed while before_start ran: there is no run."""
    world.run("Start")
    until_hooks(world)
    world.restart()
    world.settle()
    assert world.database.runs == {}
    assert world.blocked_by() == ()


def test_a_run_goes_on_after_a_restart_without_hooks(world: World) -> None:
    """A run that goes on is not started again."""
    world.start_run()
    before = ran(world)
    world.restart()
    world.settle()
    assert world.state.run.state is RunState.Running
    assert ran(world) == before


def test_long_output_is_whole_in_the_log_only(world: World) -> None:
    """A message has the end of a long output."""
    world.start_run()
    hook = ef.RunHook(0, HookPoint.AfterStart, "note", world.record)
    world.feed(ev.Ended(hook, HookOutcome("exit status 1", "x" * 1000 + "end")))
    long, short = [line.text for line in world.log if "hook note" in line.text][-2:]
    assert long == "hook note (after_start): " + "x" * 1000 + "end"
    assert len(short) < 400
    assert short.endswith("xend")
    world.feed(ev.Ended(hook, HookOutcome("", "all well")))
    assert texts(world)[-1] == "hook note (after_start) done: all well"


def test_a_hook_that_could_not_be_run_at_all(world: World) -> None:
    """An internal error of the adapter is a failure like another."""
    world.run("Start")
    until_hooks(world)
    hook = world.pending.pop(0)
    assert isinstance(hook, ef.RunHook)
    world.feed(ev.Ended[ef.RunHook, HookOutcome](hook, error="internal error, see the log of the IOC"))
    world.settle()
    assert "hook hv (before_start) failed: internal error" in world.state.run.message.text


def test_servers_that_change_while_before_stop_runs(world: World) -> None:
    """Nothing is sent to a server while the hooks run; afterwards what still runs is stopped."""
    world.start_run()
    sent = len(world.sent)
    world.run("Stop")
    until_hooks(world)
    world.put_servers(EccState.Ready, "CoBo0")
    assert len(world.sent) == sent
    world.settle()
    assert [server for _, server in world.operations()[sent:]] == ["MuTAnT", "CoBo1"]
    assert world.record.state is DocumentState.Complete
