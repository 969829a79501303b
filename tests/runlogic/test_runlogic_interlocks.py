"""Interlocks: when they trip and clear, what they do to runs, and what of them survives a restart."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ioc.model import Action, EccState, InterlockState, RunInterval, RunState, Scalar, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Interlock
from ioc.runlogic.step import wake_at
from ioc.topology.schema import Interlock as Section
from tests.runlogic.installation import topology
from tests.runlogic.world import OPERATOR, TICK, World

OK, WAITING, TRIPPED, BYPASSED = InterlockState


def section(action: str = "stop", name: str = "p", **keys: Any) -> Section:
    """An interlock of the pressure, 5 to 7, after 2 s outside and 3 s inside."""
    source = {} if "pv" in keys else {"observable": "pressure"}
    limits = {} if "allowed" in keys else {"low": 5, "high": 7}
    return Section(**{
        "name": name, "action": action, "for_seconds": 2, "clear_seconds": 3, "bypass_minutes": 1,
        **source, **limits, **keys,
    })  # fmt: skip


class Site(World):
    """A world with interlocks whose sources are fine, all servers Ready."""

    def __init__(self, *sections: Section, resume: bool = True) -> None:
        super().__init__(topology(resume=resume, interlocks=sections), tick=TICK)
        self.read("pressure", 6)
        self.ready()

    def interlock(self, name: str = "p") -> Interlock:
        return self.state.interlocks[name]

    def limits(self, name: str = "p", **limits: float) -> ev.Command:
        return self.ask(ev.SetLimits(OPERATOR, name, **limits))

    def bypass(self, name: str = "p", *, on: bool = True) -> ev.Command:
        return self.ask(ev.SetBypass(OPERATOR, name, on))

    def trip(self, value: Scalar | None = 3, name: str = "pressure") -> None:
        self.read(name, value)
        self.pass_time(2)

    def clear(self, name: str = "pressure") -> None:
        self.read(name, 6)
        self.pass_time(3)

    def change(self, *sections: Section) -> None:
        """The topology is reloaded."""
        before, self.plan = self.plan, Plan.of(topology(interlocks=sections))
        self.feed(ev.PlanChanged(before, tuple(self.state.readings.values())))

    @property
    def intervals(self) -> list[RunInterval]:
        return list(self.database.intervals.values())

    def reason(self) -> str:
        """Why no run can start, as far as interlocks are concerned."""
        return "; ".join(each for each in self.blocked_by() if each.startswith("interlock"))


# When they trip and clear


def test_it_trips_after_its_time_outside_and_clears_after_its_time_inside() -> None:
    """Ok, Waiting, Tripped, Ok: each at its time, not before."""
    site = Site(section())
    site.read("pressure", 4)
    assert site.interlock().state is WAITING
    site.pass_time(1.9)
    assert site.interlock().state is WAITING
    site.pass_time(0.1)
    assert site.interlock().state is TRIPPED
    assert site.interlock().reason == "pressure is 4 Torr, but must be 5 to 7 Torr"
    site.read("pressure", 6)
    site.pass_time(2.9)
    assert site.interlock().state is TRIPPED
    site.pass_time(0.1)
    assert site.interlock().state is OK


def test_what_is_outside_for_a_shorter_time_has_no_effect() -> None:
    """A value that comes back in time was never tripped; the next excursion waits again from its begin."""
    site = Site(section())
    for _ in range(3):
        site.read("pressure", 4)
        site.pass_time(1.5)
        site.read("pressure", 6)
        assert site.interlock().state is OK
        site.pass_time(1.5)
    assert site.interlock().state is OK
    assert not [each for each in site.log if "pressure" in each.text]


def test_a_value_that_goes_out_again_does_not_clear() -> None:
    """The time inside counts from the last time it came back."""
    site = Site(section())
    site.trip()
    for _ in range(3):
        site.read("pressure", 6)
        site.pass_time(2)
        site.read("pressure", 4)
        site.pass_time(2)
        assert site.interlock().state is TRIPPED


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 4.999, 7.001])
def test_everything_that_is_no_good_value_is_outside(value: float | None) -> None:
    """Too low, too high, no number, no value: all trip."""
    site = Site(section())
    site.trip(value)
    assert site.interlock().state is TRIPPED


def test_a_value_that_its_source_declares_invalid_is_outside() -> None:
    """A good number that cannot be trusted is not good."""
    site = Site(section())
    site.read("pressure", 6, Severity.INVALID)
    site.pass_time(2)
    assert site.interlock().state is TRIPPED


@pytest.mark.parametrize(("late", "waits"), [(0.0, 2.0), (0.3, 1.7), (1.0, 1.0), (20.0, 2.0), (-5.0, 2.0)])
def test_the_time_stamp_of_the_source_counts(late: float, waits: float) -> None:
    """Our delay is no part of the waiting time; a time stamp that is no delay but a wrong clock is ignored."""
    site = Site(section())
    site.read("pressure", 3, late=late)
    site.pass_time(waits - 0.01)
    assert site.interlock().state is WAITING
    site.pass_time(0.01)
    assert site.interlock().state is TRIPPED


def test_without_waiting_times_it_follows_the_value() -> None:
    """With both times 0, it trips and clears with the reading itself."""
    site = Site(section(for_seconds=0, clear_seconds=0))
    site.read("pressure", 3)
    assert site.interlock().state is TRIPPED
    site.read("pressure", 6)
    assert site.interlock().state is OK


def test_a_source_that_never_came_forbids_a_start_at_once_but_trips_later() -> None:
    """After a start of the IOC sources get five seconds to connect; until then no run can start."""
    site = Site(section(), section(name="beam", pv="BEAM:I", for_seconds=0))
    assert site.interlock("beam").state is WAITING
    assert site.reason() == "interlock beam: BEAM:I has no value yet"
    site.pass_time(5)
    assert site.interlock("beam").state is TRIPPED
    site.read("Interlock:beam", 6)
    site.pass_time(3)
    assert site.interlock("beam").state is OK
    assert site.reason() == ""


def test_the_first_value_gets_the_usual_time() -> None:
    """A first value outside waits from its arrival, not from the start of the IOC."""
    site = Site(section(name="beam", pv="BEAM:I"))
    site.pass_time(4)
    site.read("Interlock:beam", 3)
    site.pass_time(1.9)
    assert site.interlock("beam").state is WAITING
    site.pass_time(0.1)
    assert site.interlock("beam").state is TRIPPED


def test_texts_and_labels_are_compared() -> None:
    """An interlock with allowed values takes no limits."""
    site = Site(section(allowed=["Open"], pv="V", name="valve", action="block"))
    site.read("Interlock:valve", "Open")
    site.pass_time(3)
    assert site.interlock("valve").state is OK
    site.trip("Closed", "Interlock:valve")
    assert "interlock valve: V is 'Closed', but must be Open" in site.reason()
    token = site.limits("valve", low=3)
    assert site.answers[token].refused
    assert "change it in the topology" in site.answers[token].error


def test_unwatched_observables_are_not_kept() -> None:
    """Readings of observables that no interlock has are dropped."""
    site = Site(section())
    site.read("temperature", 5)
    assert set(site.state.readings) == {"pressure"}


# What they do to runs


@pytest.mark.parametrize(
    ("action", "forbids", "state"),
    [
        ("alarm", False, RunState.Running),
        ("block", True, RunState.Running),
        ("hold", True, RunState.Paused),
        ("stop", True, RunState.Stopped),
    ],
)
def test_each_action(action: str, forbids: bool, state: RunState) -> None:
    """What happens to an open run, to the next start, and to the record of the run."""
    site = Site(section(action))
    site.start_run()
    site.pass_time(10)
    site.trip()
    site.settle()
    assert site.state.run.state is state
    assert "interlock p: pressure is 3 Torr, but must be 5 to 7 Torr" in site.record.message
    [interval] = site.intervals
    assert (interval.interlock, interval.action, interval.value) == ("p", Action(action), 3)
    if site.state.run.open:
        site.run("Stop")
        site.settle()
        site.ready()
    else:
        site.ready()
    site.poll()
    assert bool(site.reason()) is forbids
    token = site.run("Start")
    assert (site.answers.get(token) is not None and site.answers[token].refused) is forbids
    site.settle()
    [interval, *_] = site.intervals
    assert interval.ended_at is not None


def test_a_start_is_possible_again_when_it_is_clear() -> None:
    """The reason goes with the interlock."""
    site = Site(section("block"))
    site.trip()
    assert site.reason()
    site.read("pressure", 6)
    assert "p: inside again, but must stay so for 3 s (tripped: " in site.reason()
    site.pass_time(3)
    site.start_run()


def test_it_is_checked_again_after_the_look_at_the_routers() -> None:
    """An interlock that trips while the routers are looked at still forbids the start."""
    site = Site(section("block", for_seconds=0))
    token = site.run("Start")
    site.read("pressure", 3)
    site.settle()
    assert site.answers[token].refused
    assert "interlock p" in site.answers[token].error
    assert not site.database.runs


@pytest.mark.parametrize("performed", range(1, 7))
def test_a_start_under_way_is_stopped(performed: int) -> None:
    """However far the start is when a stop trips: no further server is started, those that were are stopped."""
    site = Site(section("stop", for_seconds=0))
    token = site.run("Start")
    for _ in range(performed):
        site.perform()
    sent = len(site.sent)
    site.read("pressure", 3)
    site.settle()
    assert not site.state.run.open
    assert [name for name, _ in site.operations()[sent:] if name == "Start"] == []
    assert EccState.Running not in {server.state for server in site.servers.values()}
    assert site.answers[token].error or performed == 6


def test_the_command_that_is_aborted_learns_why() -> None:
    """The answer to the Start names the interlock."""
    site = Site(section("stop", for_seconds=0))
    token = site.run("Start")
    for _ in range(3):
        site.perform()
    site.read("pressure", 3)
    site.settle()
    assert site.answers[token].error == "run 0: Start of a run aborted: interlock p"
    assert "interlock p: pressure is 3 Torr" in site.record.message


def test_hold_resumes_when_it_is_clear() -> None:
    """Paused while tripped, running again when clear; the trouble is mended."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    site.settle()
    assert site.state.run.state is RunState.Paused
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Running
    assert not site.state.run.standing
    assert "interlock p is clear" in site.record.message


def test_hold_leaves_a_run_alone_that_the_operator_paused() -> None:
    """Who paused it resumes it."""
    site = Site(section("hold"))
    site.start_run()
    site.run("Pause")
    site.settle()
    site.trip()
    site.settle()
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Paused


def test_an_operator_may_resume_against_a_hold() -> None:
    """It is not paused again for the same trip, but for the next one."""
    site = Site(section("hold"), section("hold", name="q", low=4))
    site.start_run()
    site.trip(4.5)
    site.settle()
    site.trip(3)
    site.settle()
    assert (site.interlock("p").state, site.interlock("q").state) == (TRIPPED, TRIPPED)
    site.run("Resume")
    site.settle()
    assert site.state.run.state is RunState.Running
    site.pass_time(100)
    site.settle()
    assert site.state.run.state is RunState.Running
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Running
    site.trip()
    site.settle()
    assert site.state.run.state is RunState.Paused


def test_an_operator_may_keep_a_held_run_paused() -> None:
    """Pause of a run that an interlock holds means: do not resume it."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    site.settle()
    token = site.run("Pause")
    assert site.answers[token] == ef.Answer(token)
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Paused


def test_hold_without_resume_only_marks_the_time() -> None:
    """A server that would crash on Resume is never paused by an interlock."""
    site = Site(section("hold"), resume=False)
    site.start_run()
    site.trip()
    site.settle()
    assert site.state.run.state is RunState.Running
    assert [each.action for each in site.intervals] == [Action.Hold]
    assert ("Pause", "CoBo0") not in site.operations()


def test_a_hold_in_the_middle_of_a_start_pauses_the_run_when_it_runs() -> None:
    """What cannot be paused yet is paused as soon as it can."""
    site = Site(section("hold", for_seconds=0))
    site.run("Start")
    for _ in range(4):
        site.perform()
    site.read("pressure", 3)
    site.settle()
    site.poll()
    site.settle()
    assert site.state.run.state is RunState.Paused


def test_a_pause_that_fails_is_not_repeated() -> None:
    """A server that refuses to pause is not asked again and again; the run goes on, marked."""
    site = Site(section("hold"))
    site.start_run()
    site.faults["CoBo0", "Pause"] = "error"
    site.trip()
    site.settle()
    count = len(site.sent)
    for _ in range(5):
        site.pass_time(10)
        site.poll()
        site.settle()
    assert len(site.sent) == count


def test_only_in_a_run() -> None:
    """With `when: run` nothing is checked, and nothing forbidden, until a run takes data."""
    site = Site(section("stop", when="run"))
    site.trip()
    assert site.interlock().state is OK
    assert site.reason() == ""
    site.start_run()
    assert site.state.run.state is RunState.Running
    site.poll()
    site.pass_time(2)
    site.settle()
    assert not site.state.run.open
    assert site.interlock().state is OK


# Bad times


def test_a_bad_time_is_that_of_the_value() -> None:
    """It begins when the value went outside and ends when it was inside again; the waiting times only confirm it."""
    site = Site(section("alarm"))
    site.start_run()
    started = site.record.started_at
    assert started is not None
    site.pass_time(10)
    site.read("pressure", 3)
    site.pass_time(20)
    site.read("pressure", 6)
    site.pass_time(20)
    [interval] = site.intervals
    assert interval.began_at == pytest.approx(started + 10)
    assert interval.ended_at == pytest.approx(started + 30)


def test_a_bad_time_begins_and_ends_with_the_run() -> None:
    """What was tripped before counts from the start, what lasts counts until the end."""
    site = Site(section("alarm"))
    site.trip()
    site.start_run()
    site.poll()
    site.pass_time(50)
    site.run("Stop")
    site.settle()
    record = site.record
    [interval] = site.intervals
    assert (interval.began_at, interval.ended_at) == (record.started_at, record.stopped_at)
    site.ready()
    site.poll()
    site.start_run()
    site.poll()
    assert len(site.intervals) == 2


def test_bad_times_are_on_the_clock_of_the_run() -> None:
    """A clock of the machine that is set in the run moves no bad time out of it."""
    site = Site(section("alarm"))
    site.start_run()
    started = site.record.started_at
    assert started is not None
    site.pass_time(10)
    site.now -= 3600
    site.read("pressure", 3)
    site.pass_time(20)
    site.run("Stop")
    site.settle()
    [interval] = site.intervals
    assert interval.began_at == pytest.approx(started + 10, abs=0.01)
    assert interval.ended_at == pytest.approx(started + 30, abs=0.01)


def test_a_bypass_ends_the_bad_time_and_begins_it_again() -> None:
    """While it is bypassed the time is not bad, by decision of the operator."""
    site = Site(section("alarm"))
    site.start_run()
    site.trip()
    site.bypass()
    assert site.state.run.standing == ()
    [interval] = site.intervals
    assert interval.ended_at is not None
    site.pass_time(62)
    assert site.interlock().state is TRIPPED
    assert len(site.intervals) == 2
    assert [each.about for each in site.state.run.standing] == [About.Interlock]


@pytest.mark.parametrize("how", ["bypass", "limits", "topology"])
def test_a_bad_time_begins_when_it_is_judged_again(how: str) -> None:
    """After a bypass, other limits or a reload, the same reading is bad from then on, not since its time stamp."""
    rest = section("alarm", name="q")
    site = Site(section("alarm", for_seconds=0, clear_seconds=0), rest)
    site.start_run()
    site.pass_time(30)
    site.read("pressure", 3, late=-1.5)  # less than a second old when it is judged again
    match how:
        case "bypass":
            site.bypass()
            site.bypass(on=False)
        case "limits":
            site.limits(low=2)
            site.limits(low=5)
        case _:
            site.change(rest)
            site.change(section("alarm", for_seconds=0), rest)
    now = site.steady - site.state.run.running_since
    first, second = (each for each in site.intervals if each.interlock == "p")
    assert first.ended_at is not None
    assert site.record.started_at is not None
    assert second.began_at == site.record.started_at + now
    assert first.ended_at < second.began_at


@pytest.mark.parametrize("again", [False, True])
def test_a_value_that_is_inside_when_the_run_begins_is_not_bad(again: bool) -> None:
    """Tripped, but inside again: no bad time, unless the value goes outside once more, and then from there."""
    site = Site(section("alarm", clear_seconds=10))
    site.trip()
    site.read("pressure", 6)
    site.pass_time(3)
    site.start_run()
    assert "interlock p" in site.record.message
    site.pass_time(4)
    if again:
        site.read("pressure", 3)
        site.pass_time(5)
        site.read("pressure", 6)
    site.pass_time(20)
    assert site.interlock().state is OK
    spans = [(each.began_at, each.ended_at) for each in site.intervals]
    began_at = site.record.started_at
    assert began_at is not None
    assert spans == ([(pytest.approx(began_at + 4), pytest.approx(began_at + 9))] if again else [])


# Commands


def test_a_bypass_ends_by_itself() -> None:
    """Bypassed, nothing is forbidden; after `bypass_minutes` it counts again; who and when is in the log."""
    site = Site(section("stop"))
    site.trip()
    token = site.bypass()
    assert site.answers[token] == ef.Answer(token)
    assert site.interlock().state is BYPASSED
    assert site.log[-1].client == OPERATOR
    site.start_run()
    site.pass_time(59)
    assert site.state.run.state is RunState.Running
    site.pass_time(3)
    site.settle()
    assert site.interlock().state is TRIPPED
    assert not site.state.run.open


def test_a_bypass_is_ended_or_begun_again() -> None:
    """Off ends it at once; On again begins its time again."""
    site = Site(section("block"))
    site.bypass()
    site.pass_time(50)
    site.bypass()
    site.pass_time(50)
    assert site.interlock().state is BYPASSED
    site.bypass(on=False)
    assert site.interlock().state is OK
    assert site.log[-1].client == OPERATOR


def test_limits_are_changed() -> None:
    """A new limit counts at once; each change is in the log with its client."""
    site = Site(section("block"))
    token = site.limits(low=6.5)
    assert site.answers[token] == ef.Answer(token)
    assert site.log[-1].text == "limits changed: pressure must be 6.5 to 7 Torr (was 5 to 7 Torr)"
    assert site.log[-1].client == OPERATOR
    site.pass_time(2)
    assert site.interlock().state is TRIPPED
    site.limits(low=5)
    site.pass_time(3)
    assert site.interlock().state is OK


def test_a_low_limit_above_the_high_one_is_refused() -> None:
    """The refusal names both; nothing changes."""
    site = Site(section())
    token = site.limits(low=8)
    assert site.answers[token].error == "interlock p: low would be 8, but must be at most high, 7"
    assert site.interlock().window.low == 5


# Restarts and changes of the topology


@pytest.mark.parametrize("action", ["alarm", "hold"])
def test_a_tripped_interlock_survives_a_restart(action: str) -> None:
    """After a kill it is still tripped until it was inside for its time; the open bad time goes on and ends once."""
    site = Site(section(action))
    site.start_run()
    site.pass_time(5)
    site.trip()
    site.settle()
    site.restart()
    site.settle()
    assert site.interlock().state is TRIPPED
    site.pass_time(20)
    site.clear()
    site.settle()
    [interval] = site.intervals
    assert interval.ended_at is not None
    assert site.state.run.state is RunState.Running


def test_a_hold_that_judges_only_runs_survives_a_restart() -> None:
    """The held run is not resumed while the value is bad; when it is good again, run and bad time go on as ever."""
    site = Site(section("hold", when="run"))
    site.start_run()
    site.poll()
    site.trip()
    site.settle()
    assert site.state.run.state is RunState.Paused
    site.restart()
    site.settle()
    assert (site.state.run.state, site.interlock().state) == (RunState.Paused, TRIPPED)
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Running
    [interval] = site.intervals
    assert interval.ended_at is not None


@pytest.mark.parametrize("performed", range(5))
def test_a_restart_while_a_hold_pauses_the_run(performed: int) -> None:
    """However far the pause was, the run is paused afterwards, and resumed when the value is good again."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    assert site.pending
    for _ in range(performed):
        if site.pending:
            site.perform()
    site.restart()
    site.settle()
    assert site.state.run.state is RunState.Paused
    site.clear()
    site.settle()
    assert site.state.run.state is RunState.Running


@pytest.mark.parametrize("performed", range(5))
def test_a_restart_while_a_held_run_is_resumed(performed: int) -> None:
    """However far the resume was, every server runs afterwards."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    site.settle()
    site.clear()
    assert site.pending
    for _ in range(performed):
        if site.pending:
            site.perform()
    site.restart()
    site.settle()
    assert site.state.run.state is RunState.Running
    assert not site.state.run.held
    assert {server.state for server in site.servers.values()} == {EccState.Running}


def test_a_resume_that_fails_is_not_repeated() -> None:
    """A server that refuses to resume is not asked again and again; the run stays paused until somebody resumes it."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    site.settle()
    site.faults["CoBo0", "Resume"] = "error"
    site.clear()
    site.settle()
    assert (site.state.run.state, site.state.run.held) == (RunState.Paused, False)
    count = len(site.sent)
    for _ in range(5):
        site.pass_time(10)
        site.poll()
        site.settle()
    assert len(site.sent) == count


def test_a_run_that_is_being_resumed_cannot_be_kept_paused() -> None:
    """Pause during the resume is refused: it would be answered with success, but the run would run."""
    site = Site(section("hold"))
    site.start_run()
    site.trip()
    site.settle()
    site.clear()
    assert site.pending
    token = site.run("Pause")
    assert site.answers[token].error == "run 0 cannot Pause: Resume is under way"
    site.settle()
    assert site.state.run.state is RunState.Running


def test_a_stop_is_carried_out_after_a_restart() -> None:
    """A run that still runs when the IOC comes back is stopped by what is tripped."""
    site = Site(section("stop"))
    site.start_run()
    site.values["pressure"] = 3
    site.restart()
    site.pass_time(2)
    site.settle()
    assert not site.state.run.open


def test_a_run_that_ended_while_the_ioc_was_down_has_no_open_bad_time_in_the_core() -> None:
    """Its bad time ended with it."""
    site = Site(section("alarm"))
    site.start_run()
    site.trip()
    for server in site.servers.values():
        server.state = EccState.Ready
    site.restart()
    site.settle()
    assert not site.state.run.open
    [interval] = site.intervals
    assert interval.ended_at is not None
    assert site.interlock().interval is None


@pytest.mark.parametrize("end", ["kill", "bypass", "topology"])
def test_a_bad_time_of_no_length_is_none(end: str) -> None:
    """What ends at the moment of its begin, or began after the last known time of its run, is no bad time."""
    site = Site(section("alarm", for_seconds=0))
    site.start_run()
    site.tick = 0.0
    site.read("pressure", 3)
    assert len(site.intervals) == 1
    match end:
        case "kill":
            for server in site.servers.values():
                server.state = EccState.Ready
            site.last_duration = 0.0  # what the killed process stored last
            site.restart()
            site.settle()
        case "bypass":
            site.bypass()
        case _:
            site.change()
    assert site.intervals == []
    assert "pressure is 3 Torr" in site.record.message


def test_limits_survive_a_restart_until_the_topology_has_others() -> None:
    """A limit set by a PV is kept; a new value in the topology replaces it."""
    site = Site(section())
    site.limits(high=6.5)
    site.restart()
    assert site.interlock().window.high == 6.5
    site.plan = Plan.of(topology(interlocks=(section(high=9),)))
    site.restart()
    assert site.interlock().window.high == 9


def test_a_bypass_survives_a_restart_with_its_end() -> None:
    """What is left of it is left after the restart; it does not begin again."""
    site = Site(section())
    site.bypass()
    site.pass_time(40)
    site.restart()
    assert site.interlock().state is BYPASSED
    site.pass_time(20)
    assert site.interlock().state is OK
    site.restart()
    assert site.interlock().state is OK


def test_settings_that_cannot_be_read_count_as_absent() -> None:
    """A damaged row of the database stops nothing."""
    site = Site(section())
    site.database.settings["interlock:p"] = '{"window": 7}'
    site.restart()
    assert site.interlock().state is OK


def test_the_topology_changes_in_a_run() -> None:
    """New interlocks count, gone ones end, limits of the file apply; one that stays is not interrupted."""
    site = Site(section("alarm"), section("alarm", name="q"))
    site.start_run()
    site.trip()
    site.change(section("alarm"), section("stop", name="r", high=9))
    assert set(site.state.interlocks) == {"p", "r"}
    assert site.interlock("p").state is TRIPPED
    assert {each.interlock: each.ended_at is None for each in site.intervals} == {"p": True, "q": False}
    site.pass_time(2)
    site.settle()
    assert not site.state.run.open, "r has tripped"
    site.limits(low=2)
    site.change(section("alarm", low=1))
    assert site.interlock().window.low == 1
    site.pass_time(3)
    assert site.interlock().state is OK


def test_a_command_for_an_interlock_that_is_gone_is_refused() -> None:
    """A put that was on its way when the topology changed gets an answer."""
    site = Site(section())
    site.change()
    token = site.bypass()
    assert site.answers[token].error == "interlock p is no longer in the topology"


def test_the_core_is_not_woken_for_one_that_is_not_judged() -> None:
    """While it is undecided whether the run goes on, one that is checked only in runs is not due, so nothing spins."""
    site = Site(section())
    site.start_run()
    site.restart(poll=False)
    assert site.state.undecided
    site.read("pressure", 3)
    site.change(section(when="run", for_seconds=0))
    at = wake_at(site.plan, site.state)
    assert at is None or at > site.steady
