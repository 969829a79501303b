"""Runs that follow each other: what ends a run, what starts the next, and what ends the sequence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ioc.model import (
    Action,
    AutoState,
    DocumentState,
    EccState,
    Operation,
    PlannedRun,
    Reading,
    RunClass,
    RunState,
    Severity,
    Wait,
    Window,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic import runs
from ioc.runlogic.automatic_shown import seconds_to_next, step_text
from ioc.runlogic.turn import Turn
from ioc.topology.schema import Interlock
from tests.runlogic.automatic import enable, limit, message, plan, ready_world, sequence, state, wait
from tests.runlogic.installation import HOOKS, topology
from tests.runlogic.world import OPERATOR, TICK, World


def titles(world: World) -> list[str]:
    return [record.title for record in world.database.runs.values()]


def states(world: World) -> list[DocumentState]:
    return [record.state for record in world.database.runs.values()]


def interlock(world: World) -> None:
    """The core stops the run by itself, as an interlock does."""
    turn = Turn(world.plan, world.state, world.now, world.steady)
    runs.stop(turn)
    world.state = turn.state
    world.feed(ev.TimePassed())


def test_runs_of_a_set_length_follow_each_other() -> None:
    """Each run ends after its minutes and is filed, the next one starts at once; the sequence ends after the last."""
    world = ready_world()
    sequence(world, minutes=10, runs=3)
    assert state(world) is AutoState.Running
    assert seconds_to_next(world.state, world.steady) == 600
    wait(world, 599)
    assert states(world) == [DocumentState.Running]
    wait(world, 1)
    assert states(world) == [DocumentState.Complete, DocumentState.Running]
    wait(world, 1200)
    assert states(world) == [DocumentState.Complete] * 3
    assert (state(world), world.state.auto.progress.done) == (AutoState.Off, 3)
    assert message(world) == "off: done, 3 runs"
    assert world.state.auto_message.severity is Severity.NO_ALARM
    assert all(record.duration == 600 for record in world.database.runs.values())


def test_a_run_ends_at_its_size() -> None:
    """The bytes that the routers have written in this run end it; what the run before wrote does not count."""
    world = ready_world()
    limit(world, gb=2)
    enable(world)
    world.settle()
    for number in (0, 1):
        assert states(world)[number] is DocumentState.Running
        world.routers["data0"].written = 1_500_000_000
        world.poll()
        assert states(world)[number] is DocumentState.Running
        world.routers["data1"].written = 600_000_000
        world.poll()
        for router in world.routers.values():
            router.written = 0
        world.settle()
        assert states(world)[number] is DocumentState.Complete
    assert len(states(world)) == 3


def test_the_title_counts_and_survives_between_the_runs() -> None:
    """Records have the expanded title; the PV shows the template again between runs; a title typed in a run counts."""
    world = ready_world()
    sequence(world, title="alpha {n} of run {run}", pause=30)
    world.ask(ev.SetClass(OPERATOR, RunClass.Beam))
    assert world.state.run.title == "alpha 1 of run 0"
    wait(world, 600)
    assert (state(world), world.state.run.title) == (AutoState.Pause, "alpha {n} of run {run}")
    assert seconds_to_next(world.state, world.steady) == 30
    wait(world, 30)
    world.title("beta {n}")
    assert world.state.run.title == "beta 2"
    wait(world, 630)
    assert titles(world) == ["alpha 1 of run 0", "beta 2", "beta 3"]
    assert [record.run_class for record in world.database.runs.values()] == [RunClass.Beam] * 3
    world.run("Stop")
    world.settle()
    assert world.state.run.title == ""


def test_an_open_run_becomes_the_first() -> None:
    """Its length counts from its start, and the next one has its title."""
    world = ready_world()
    world.title("by hand {n}")
    world.run("Start")
    world.settle()
    world.steady += 400
    limit(world, minutes=10)
    enable(world)
    assert seconds_to_next(world.state, world.steady) == 200
    wait(world, 200)
    assert states(world) == [DocumentState.Complete, DocumentState.Running]
    assert titles(world) == ["by hand 1", "by hand 2"]


def test_off_lets_the_open_run_go_on() -> None:
    """The message says so, and nothing ends the run by itself any more."""
    world = ready_world()
    sequence(world)
    off = enable(world, on=False)
    assert world.answers[off] == ef.Answer(off)
    wait(world, 5000)
    assert states(world) == [DocumentState.Running]
    assert message(world) == "off: run 0 continues until somebody stops it"


@pytest.mark.parametrize("performed", range(4))
@pytest.mark.parametrize("how", ["Off", "Runs"])
def test_a_start_of_the_sequence_is_given_up_with_it(performed: int, how: str) -> None:
    """Off, or fewer runs, while the routers are looked at, hooks run or the number is reserved: no run goes on."""
    world = World(topology(hooks=HOOKS))
    world.ready()
    limit(world, minutes=10, runs=2)
    enable(world)
    if how == "Runs":
        world.settle()
        world.pass_time(600)
        while world.state.run.open or world.state.job is None:
            world.perform()
    for _ in range(performed):
        world.perform()
    assert not world.state.run.open
    command = enable(world, on=False) if how == "Off" else limit(world, runs=1)
    assert world.answers[command] == ef.Answer(command)
    assert state(world) is AutoState.Off
    world.settle()
    wait(world, 5000)
    assert states(world)[how == "Runs" :] == ([DocumentState.Failed] if performed == 3 else [])
    assert len([each for each in world.sent if each.operation is Operation.Start]) == 3 * (how == "Runs")


@pytest.mark.parametrize("performed", range(4))
def test_a_start_by_hand_goes_on_without_the_sequence(performed: int) -> None:
    """Off gives up only what the sequence has begun."""
    world = World(topology(hooks=HOOKS))
    world.ready()
    world.run("Start")
    limit(world, minutes=10)
    enable(world)
    for _ in range(performed):
        world.perform()
    enable(world, on=False)
    world.settle()
    assert states(world) == [DocumentState.Running]


def test_paused_time_does_not_count() -> None:
    """A run of ten minutes takes data for ten minutes, and is not stopped while it is paused."""
    world = ready_world()
    sequence(world)
    wait(world, 300)
    world.run("Pause")
    world.settle()
    assert message(world) == "run 0 is Paused: this time does not count"
    wait(world, 5000)
    world.run("Resume")
    world.settle()
    assert seconds_to_next(world.state, world.steady) == 300
    wait(world, 299)
    assert states(world) == [DocumentState.Running]
    wait(world, 1)
    assert states(world)[0] is DocumentState.Complete


def test_a_blocked_start_waits_and_says_for_what() -> None:
    """Nothing is tried while the start is forbidden, and nothing is lost when it is permitted again."""
    world = ready_world()
    sequence(world, minutes=10)
    world.routers["data0"].online = False
    world.feed(ev.TimePassed())
    wait(world, 600)
    assert state(world) is AutoState.Waiting
    assert message(world).startswith("run 1 waits: router data0 is Offline: start dataRouter on its host")
    wait(world, 5000)
    assert len(states(world)) == 1
    world.routers["data0"].online = True
    world.poll()
    world.settle()
    assert states(world) == [DocumentState.Complete, DocumentState.Running]
    assert [line.text for line in world.log if "waits" in line.text] == [
        "run 1 waits: router data0 is Offline: start dataRouter on its host"
    ]


def test_a_start_that_the_look_forbids_is_tried_again() -> None:
    """What is found only by the look before a start is no failure: the next attempt follows a few seconds later."""
    world = ready_world()
    world.routers["data0"].staged.append(("stray.graw", None))
    sequence(world, minutes=10)
    assert (state(world), world.state.auto.progress.failures) == (AutoState.Waiting, 0)
    assert "data0 is Dirty" in message(world)
    world.routers["data0"].staged.clear()
    world.poll()
    wait(world, 3)
    assert states(world) == [DocumentState.Running]


def test_three_failed_starts_in_a_row_end_the_sequence() -> None:
    """With an alarm and the reason; a run that starts in between begins the count anew."""
    world = ready_world()
    world.faults["CoBo0", "Start"] = "error"
    sequence(world, minutes=10)
    assert (state(world), world.state.auto.progress.failures) == (AutoState.Waiting, 1)
    wait(world, 3)
    assert states(world) == [DocumentState.Failed, DocumentState.Running]
    for _ in range(3):
        world.faults["CoBo0", "Start"] = "error"
        wait(world, 3 if world.state.auto.progress.failures else 600)
    assert states(world)[2:] == [DocumentState.Failed] * 3
    assert state(world) is AutoState.Off
    assert message(world) == "off: 3 failures in a row, the last: run 4 failed to start"
    assert world.state.auto_message.severity is Severity.MAJOR
    wait(world, 100)
    assert len(states(world)) == 5


def test_numbers_that_cannot_be_reserved_are_failures() -> None:
    """A database that does not reserve a number ends the sequence after three attempts."""
    world = ready_world()
    limit(world, minutes=10)
    world.faults["database", "reserve"] = "error"
    enable(world)
    world.settle()
    assert "no run number could be reserved: the database is locked (failure 1 of 3)" in message(world)
    for _ in range(2):
        world.faults["database", "reserve"] = "error"
        wait(world, 3)
    assert state(world) is AutoState.Off
    assert world.state.auto_message.severity is Severity.MAJOR


def test_a_run_that_cannot_be_filed_ends_the_sequence() -> None:
    """With an alarm; the run is filed later as ever, and no other one starts."""
    world = ready_world()
    sequence(world, minutes=10)
    world.faults["data0", "file"] = "incomplete"
    wait(world, 600)
    assert state(world) is AutoState.Off
    assert message(world) == "off: run 0 is not filed: data0 must be filed first"
    assert world.state.auto_message.severity is Severity.MAJOR
    world.steady += 10
    world.poll()
    world.settle()
    assert states(world) == [DocumentState.Complete]
    wait(world, 100)
    assert len(states(world)) == 1


def test_an_interlock_is_followed_by_another_run() -> None:
    """A run that the core stops before its length is not counted; the next one follows when a start is permitted."""
    world = ready_world()
    sequence(world, minutes=10, runs=1, title="alpha {n}")
    wait(world, 100)
    interlock(world)
    world.settle()
    wait(world, 3)
    assert states(world) == [DocumentState.Complete, DocumentState.Running]
    assert titles(world) == ["alpha 1", "alpha 1"]
    wait(world, 600)
    assert states(world) == [DocumentState.Complete, DocumentState.Complete]
    assert state(world) is AutoState.Off


def test_an_interlock_that_judges_only_runs_is_waited_for() -> None:
    """It forbids no start by hand, but would stop one automatic run after the other."""
    section = Interlock(
        name="p", observable="pressure", low=5, high=7, action=Action.Stop, when="run", for_seconds=0, clear_seconds=0
    )
    world = World(topology(interlocks=(section,)), tick=TICK)
    world.ready()
    world.read("pressure", 3)
    sequence(world, minutes=10)
    assert message(world) == (
        "run 0 waits: pressure is 3 Torr, but must be 5 to 7 Torr: interlock p would stop the run"
    )
    world.read("pressure", 6)
    world.settle()
    assert states(world) == [DocumentState.Running]
    world.read("pressure", 3)
    world.settle()
    wait(world, 1000)
    assert states(world) == [DocumentState.Complete]
    world.read("pressure", 6)
    world.settle()
    assert states(world) == [DocumentState.Complete, DocumentState.Running]
    assert world.state.auto.progress.done == 0


@pytest.mark.parametrize("performed", [None, *range(8)], ids=lambda performed: f"restart-{performed}")
def test_a_start_that_an_interlock_stops_is_no_failure(performed: int | None) -> None:
    """The sequence waits for the interlock however often that happens, also when the IOC restarts meanwhile."""
    section = Interlock(
        name="p", observable="pressure", low=5, high=7, action=Action.Stop, for_seconds=0, clear_seconds=0
    )
    world = World(topology(interlocks=(section,)), tick=TICK)
    world.ready()
    world.read("pressure", 6)
    limit(world, minutes=10)
    enable(world)
    for _ in range(4):
        while world.state.run.state is not RunState.Starting:
            world.perform()
        world.read("pressure", 3)
        if performed is not None:
            for _ in range(min(performed, len(world.pending))):
                world.perform()
            world.restart()
        world.settle()
        wait(world, 100)
        world.ready()
        world.read("pressure", 6)
    world.settle()
    assert states(world) == [DocumentState.Failed] * 4 + [DocumentState.Running]
    assert world.state.auto.progress.failures == 0


@pytest.mark.parametrize("action", [Action.Alarm, Action.Block, Action.Hold])
def test_an_interlock_that_only_warns_excuses_no_failed_start(action: Action) -> None:
    """Three failed starts end the sequence, also while an interlock is Tripped that does not stop the run."""
    section = Interlock(name="p", observable="pressure", low=5, action=action, for_seconds=0, clear_seconds=0)
    world = World(topology(interlocks=(section,)), tick=TICK)
    world.ready()
    world.read("pressure", 6)
    limit(world, minutes=10)
    enable(world)
    for _ in range(3):
        world.faults["CoBo0", "Start"] = "error"
        while world.state.run.state is not RunState.Starting:
            world.perform()
        world.read("pressure", 3)
        world.settle()
        world.read("pressure", 6)
        world.pass_time(3)
    assert states(world) == [DocumentState.Failed] * 3
    assert message(world) == "off: 3 failures in a row, the last: run 2 failed to start"


def in_pause(world: World) -> None:
    sequence(world, pause=60)
    wait(world, 600)


def while_running(world: World) -> None:
    sequence(world)


def while_stopping(world: World) -> None:
    sequence(world)
    world.steady += 600
    world.feed(ev.TimePassed())


def while_looking(world: World) -> None:
    limit(world, minutes=10)
    enable(world)


def while_reserving(world: World) -> None:
    limit(world, minutes=10)
    enable(world)
    world.perform()


def while_starting(world: World) -> None:
    limit(world, minutes=10)
    enable(world)
    for _ in range(4):
        world.perform()


def while_waiting(world: World) -> None:
    world.put_servers(EccState.Idle)
    sequence(world)


@pytest.mark.parametrize(
    "when",
    [in_pause, while_running, while_stopping, while_looking, while_reserving, while_starting, while_waiting],
)
def test_stop_ends_the_sequence_whatever_it_is_doing(when: Callable[[World], None]) -> None:
    """The put succeeds when the run, if any, is filed; no other run starts; it is no alarm."""
    world = ready_world()
    when(world)
    stop = world.run("Stop")
    world.settle()
    assert not world.answers[stop].refused
    assert not world.state.run.open
    assert (state(world), message(world)) == (AutoState.Off, "off: Stop by ana")
    assert world.state.auto_message.severity is Severity.NO_ALARM
    known = len(states(world))
    world.ready()
    wait(world, 5000)
    assert len(states(world)) == known


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"minutes": -1}, "Auto:RunMinutes is -1, but must be a finite number, 0 or more"),
        ({"gb": float("nan")}, "Auto:RunGB is nan, but must be a finite number, 0 or more"),
        ({"runs": -2}, "Auto:Runs is -2, but must be a finite number, 0 or more"),
        ({"pause": float("inf")}, "Auto:PauseSeconds is inf, but must be a finite number, 0 or more"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(changes: dict[str, float], sentence: str) -> None:
    """With its name, the actual value and what it must be; the nearest message shows it."""
    world = ready_world()
    command = world.ask(ev.SetAutomatic(OPERATOR, **changes))  # pyright: ignore[reportArgumentType]
    assert world.answers[command] == ef.Answer(command, sentence, refused=True)
    assert message(world) == sentence


def test_without_length_and_size_nothing_is_enabled() -> None:
    """Neither at first nor later: a run would never end."""
    world = ready_world()
    refused = enable(world)
    assert world.answers[refused].error == (
        "automatic runs need a limit for each run: RunMinutes and RunGB are both 0, "
        "but at least one must be more than 0"
    )
    sequence(world, minutes=10)
    assert world.answers[limit(world, minutes=0)].refused
    assert world.state.auto.limits.minutes == 10
    assert not world.answers[limit(world, gb=5)].refused
    assert not world.answers[limit(world, minutes=0)].refused


def test_the_dead_time_is_measured() -> None:
    """From the stop of a run to the start of the next, as the database has them; a failed start is part of it."""
    world = ready_world()
    sequence(world, pause=30)
    wait(world, 630)
    first, second = world.database.runs.values()
    assert second.started_at is not None
    assert first.stopped_at is not None
    assert world.state.auto.progress.dead == second.started_at - first.stopped_at


def test_a_pause_under_way_follows_its_setting() -> None:
    """It counts at once, so a pause that was typed too long can be put right; one that is over by now ends."""
    world = ready_world()
    sequence(world, pause=3600)
    wait(world, 600)
    assert seconds_to_next(world.state, world.steady) == 3600
    wait(world, 20)
    for pause in (100, 1e300, 60):
        limit(world, pause=pause)
        assert seconds_to_next(world.state, world.steady) == min(pause - 20, 999_999)
    assert len(states(world)) == 1
    wait(world, 20)
    limit(world, pause=30)
    wait(world, 0)
    assert len(states(world)) == 2


def test_the_log_has_a_setting_as_it_was_typed() -> None:
    """Also a large number."""
    world = ready_world()
    limit(world, runs=1_234_567, minutes=0.5)
    assert [entry.text for entry in world.log][-1] == "RunMinutes set to 0.5, Runs set to 1234567"


def test_the_experiment_stays_while_automatic_runs_are_on() -> None:
    """Another one is refused, with the way out."""
    world = ready_world()
    sequence(world, pause=60)
    wait(world, 600)
    world.put_servers(EccState.Idle)
    refused = world.experiment("e21")
    assert "automatic runs are on: put Off to Auto:Enable first" in world.answers[refused].error


PLAN = (
    PlannedRun("source {n}", RunClass.Pulser, minutes=5, manual=(("gas", "P10"),)),
    PlannedRun(None, None, gb=1, manual=(("gas", "He"), ("energy", 12.5))),
    PlannedRun("beam", RunClass.Beam, minutes=20, wait_for=(Wait("pressure", Window(350, 420), "Torr"),)),
)


def read_pressure(world: World, value: float | None) -> None:
    world.feed(ev.ObservablesRead((Reading("pressure", value, Severity.NO_ALARM, "", world.now),)))


def test_a_plan_is_taken_run_by_run() -> None:
    """Title, class and manual values are set before each run; what it does not give stays; windows are waited for."""
    world = ready_world()
    plan(world, *PLAN)
    assert step_text(world.state) == "1 of 3: source {n}"
    enable(world)
    world.settle()
    assert (world.manual, titles(world)) == ({"gas": "P10"}, ["source 1"])
    wait(world, 300)
    assert (world.manual, titles(world)[1:]) == ({"gas": "He", "energy": 12.5}, ["source 2"])
    world.routers["data0"].written = 1_100_000_000
    world.poll()
    world.routers["data0"].written = 0
    world.settle()
    assert (state(world), message(world)) == (AutoState.Waiting, "run 2 waits: pressure has no value yet")
    read_pressure(world, 340.0)
    assert message(world) == "run 2 waits: pressure is 340 Torr, but must be 350 to 420 Torr"
    read_pressure(world, 380.0)
    world.settle()
    assert (world.record.title, world.record.run_class) == ("beam", RunClass.Beam)
    wait(world, 1200)
    assert (state(world), message(world)) == (AutoState.Off, "off: done, 3 runs")
    assert step_text(world.state) == "all 3 runs done"


def test_a_plan_never_waits_for_an_old_value() -> None:
    """A value read for an earlier run is forgotten when it is no longer watched: a later run waits for a new one."""
    world = ready_world()
    wait_for = (Wait("pressure", Window(350, 420), "Torr"),)
    plan(
        world,
        PlannedRun("a", None, minutes=5, wait_for=wait_for),
        PlannedRun("b", None, minutes=5),
        PlannedRun("c", None, minutes=5, wait_for=wait_for),
    )
    enable(world)
    read_pressure(world, 380.0)
    world.settle()
    wait(world, 600)
    assert titles(world) == ["a", "b"]
    assert message(world) == "run 2 waits: pressure has no value yet"
    read_pressure(world, 380.0)
    world.settle()
    assert titles(world) == ["a", "b", "c"]


@pytest.mark.parametrize("performed", range(3))
def test_a_plan_waits_for_a_value_that_goes_while_a_start_is_prepared(performed: int) -> None:
    """Outside while the routers are looked at or hooks run: no run opens, it is no failure, and the start follows."""
    world = World(topology(hooks=HOOKS))
    world.ready()
    plan(world, PlannedRun("b", None, minutes=5, wait_for=(Wait("pressure", Window(350, 420), "Torr"),)))
    enable(world)
    read_pressure(world, 380.0)
    for _ in range(performed):
        world.perform()
    read_pressure(world, 100.0)
    world.settle()
    wait(world, 100)
    assert states(world) == []
    assert message(world) == "run 0 waits: pressure is 100 Torr, but must be 350 to 420 Torr"
    read_pressure(world, 380.0)
    world.settle()
    wait(world, 3)
    assert states(world) == [DocumentState.Running]
    assert world.state.auto.progress.failures == 0


def test_a_plan_continues_where_it_stands() -> None:
    """After Off and On it goes on with the run that is not done; the same plan put again begins with the first."""
    world = ready_world()
    plan(world, *PLAN)
    enable(world)
    world.settle()
    wait(world, 300)
    world.run("Stop")
    world.settle()
    enable(world)
    world.settle()
    assert step_text(world.state) == "2 of 3"
    assert world.answers[plan(world, *PLAN)].refused
    world.run("Stop")
    world.settle()
    plan(world, *PLAN)
    enable(world)
    world.settle()
    assert world.record.title == "source 1"


def test_on_after_off_sets_the_planned_run_again() -> None:
    """What was typed in between for a run by hand does not count for the planned one: title, class, manual values."""
    world = ready_world()
    plan(world, *PLAN)
    enable(world)
    world.settle()
    world.run("Stop")
    world.settle()
    world.title("by hand")
    world.ask(ev.SetClass(OPERATOR, RunClass.Testing))
    world.manual["gas"] = "Ar"
    enable(world)
    world.settle()
    assert (world.record.title, world.record.run_class) == ("source 1", RunClass.Pulser)
    assert world.manual["gas"] == "P10"


def test_a_pause_while_off_does_not_count() -> None:
    """Off and On in a run of the sequence: the time for which it was paused meanwhile is not part of its length."""
    world = ready_world()
    sequence(world)
    wait(world, 100)
    enable(world, on=False)
    world.run("Pause")
    world.settle()
    wait(world, 1000)
    world.run("Resume")
    world.settle()
    enable(world)
    world.settle()
    assert states(world) == [DocumentState.Running]
    assert seconds_to_next(world.state, world.steady) == 500
    wait(world, 500)
    assert states(world)[0] is DocumentState.Complete


def test_a_plan_does_not_begin_in_a_run_of_somebody_else() -> None:
    """The open run has another title and other values: it must be stopped first."""
    world = ready_world()
    plan(world, *PLAN)
    world.run("Start")
    world.settle()
    refused = enable(world)
    assert world.answers[refused].error == (
        "automatic runs cannot be enabled: run 0 does not belong to the plan: stop it first, "
        "or put an empty text to Auto:Plan"
    )


def test_manual_values_that_cannot_be_set_are_failures() -> None:
    """They are tried again; three times in a row end the sequence with the reason."""
    world = ready_world()
    plan(world, *PLAN)
    world.faults["database", "manual"] = "error"
    enable(world)
    world.settle()
    assert "the database is locked (failure 1 of 3)" in message(world)
    wait(world, 3)
    assert world.manual == {"gas": "P10"}
    assert world.state.run.state is RunState.Running


@pytest.mark.parametrize("performed", range(14))
def test_a_restart_at_any_step_changes_nothing(performed: int) -> None:
    """Whichever step of the change from one run to the next a crash interrupts, the runs are as without it."""
    world = ready_world()
    sequence(world, minutes=10, runs=3, title="alpha {n}")
    world.steady += 600
    world.feed(ev.TimePassed())
    for _ in range(performed):
        if world.pending:
            world.perform()
    world.last_duration = world.state.run.duration(world.steady)
    world.restart()
    world.settle()
    world.poll()
    world.settle()
    for _ in range(5):
        wait(world, 610)
        world.poll()
        world.settle()
    complete = [record for record in world.database.runs.values() if record.state is DocumentState.Complete]
    assert [record.title for record in complete][-1] == "alpha 3"
    assert 3 <= len(complete) <= 4, "a run that the crash interrupted before its length is taken again"
    assert message(world) == "off: done, 3 runs"


def test_why_it_is_off_outlives_a_restart() -> None:
    """The morning shift sees at what the sequence of the night ended, with its alarm."""
    world = ready_world()
    sequence(world, minutes=10)
    world.faults["data0", "file"] = "incomplete"
    wait(world, 600)
    world.restart()
    world.settle()
    assert message(world) == "off: run 0 is not filed: data0 must be filed first"
    assert world.state.auto_message.severity is Severity.MAJOR


def test_another_experiment_in_the_topology_ends_the_sequence() -> None:
    """The runs of one experiment do not go on in another."""
    world = ready_world()
    sequence(world, pause=60)
    wait(world, 600)
    settings = {
        **world.database.settings,
        "auto_progress": world.database.settings["auto_progress"].replace("e20", "e7"),
    }
    world.database.settings = settings
    world.restart()
    assert state(world) is AutoState.Off
    assert message(world) == "off: the experiment changed from e7 to e20"


def test_settings_and_plan_outlive_a_restart() -> None:
    """Also what the file of the plan had when it was read."""
    world = ready_world()
    limit(world, minutes=10, gb=3, runs=4, pause=5)
    plan(world, *PLAN)
    before = world.state.auto
    world.restart()
    assert (world.state.auto.limits, world.state.auto.plan) == (before.limits, before.plan)
