"""Interlocks: values that must be inside their limits, and what happens to runs if they are not.

Theory of operation. At the end of every step `decide` does two things. First it judges each interlock from its latest
reading and the time: Ok, Waiting (outside, but not yet for `for_seconds`), Tripped (until it has been inside for
`clear_seconds`) or Bypassed (by an operator, until a time). Then it acts on those that are Tripped, whatever event led
to it: a run that takes data is marked and gets a bad interval, `stop` stops it, `hold` pauses it and resumes it later.
That a start is forbidden is read from the state by `permits`. So no order of events can lead past an interlock, and
nothing has to be remembered about what was done.

Bad intervals of runs, and what a restart needs, are in `interlock_records`; what operators and the topology change in
`interlock_commands`. Until the database is read nothing is judged, and no run can start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ioc.errors import Refused
from ioc.model import Action, Client, InterlockState, Operation, Reading, RunState, Severity
from ioc.runlogic import hooks, runs
from ioc.runlogic.interlock_records import close_interval, end_intervals, mark_run, save
from ioc.runlogic.plan import InterlockPlan, Plan
from ioc.runlogic.state import About, Interlock, State
from ioc.runlogic.subject import interlock
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, listing

FIRST_SECONDS = 5.0
"""After a start of the IOC or a change of the topology, sources get at least this time to connect."""
_LATE_SECONDS = 1.0
"""A time stamp that is older belongs to an old value, or to a clock that is wrong: then the time of arrival counts."""
_OPEN = frozenset({RunState.Starting, RunState.Running, RunState.Paused})


def due(plan: Plan, state: State) -> float | None:
    """Return when the next interlock trips, clears or loses its bypass if nothing else happens."""
    if not state.restored:
        return None
    times = (_due(each, state.interlocks[name], state) for name, each in plan.interlocks.items())
    return min((at for at in times if at is not None), default=None)


def _due(plan: InterlockPlan, now: Interlock, state: State) -> float | None:
    match now.state:
        case InterlockState.Bypassed:
            return now.bypass_ends
        case _ if plan.in_run_only and state.undecided:
            return None  # not judged: see `_judge`
        case InterlockState.Tripped:
            return None if now.inside_since is None else now.inside_since + plan.clear_seconds
        case _:
            if now.outside_since is None:
                return None
            read = plan.watches in state.readings
            return now.outside_since + (plan.for_seconds if read else max(plan.for_seconds, FIRST_SECONDS))


def decide(turn: Turn) -> None:
    """Judge every interlock, then do what the tripped ones demand."""
    if not turn.state.restored:
        return
    for each in turn.plan.interlocks.values():
        _judge(turn, each)
    if not turn.state.undecided:
        _act(turn)
    for each in turn.plan.interlocks.values():
        save(turn, each)


# Judging


def _judge(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    if now.state is InterlockState.Bypassed:
        if not turn.is_due(now.bypass_ends):
            return
        end_bypass(turn, plan, f"the bypass has ended by itself after {plan.bypass_seconds / 60:g} min", Client())
        now = turn.state.interlocks[plan.name]
    if plan.in_run_only and turn.state.undecided:
        return  # whether the run takes data shows soon: until then what was tripped stays so
    if plan.in_run_only and not turn.state.run.takes_data:
        if now.state is not InterlockState.Ok or now.outside_since is not None:
            to_ok(turn, plan)
        return
    reading = turn.state.readings.get(plan.watches)
    if why := now.window.why_outside(reading, plan.units):
        _outside(turn, plan, reading, why)
    else:
        _inside(turn, plan)


def _outside(turn: Turn, plan: InterlockPlan, reading: Reading | None, why: str) -> None:
    now = turn.state.interlocks[plan.name]
    if now.state is InterlockState.Tripped:
        if now.inside_since is not None:
            since = now.outside_since if now.interval is not None else _since(turn, now, reading)
            turn.set_interlock(plan.name, inside_since=None, outside_since=since)
            turn.show(interlock(plan.name), plan.tripped(now.reason), Severity.MAJOR)
        return
    if now.outside_since is None or (reading is not None and not now.was_read):
        turn.set_interlock(plan.name, outside_since=_since(turn, now, reading), was_read=reading is not None)
        now = turn.state.interlocks[plan.name]
    reason = f"{plan.what} {why}"
    if turn.is_due(_due(plan, now, turn.state)):
        value = None if reading is None else reading.label or reading.value
        turn.set_interlock(plan.name, state=InterlockState.Tripped, reason=reason, value=value, inside_since=None)
        turn.say(interlock(plan.name), plan.tripped(reason), Severity.MAJOR)
    elif now.state is InterlockState.Ok:
        turn.set_interlock(plan.name, state=InterlockState.Waiting)
        turn.show(interlock(plan.name), reason, Severity.MINOR)


def _since(turn: Turn, now: Interlock, reading: Reading | None) -> float:
    """Return when a reading became true: the time stamp of its source counts, not our delay."""
    late = 0.0 if reading is None else turn.now - reading.sampled_at
    return max(turn.steady - (late if 0 < late <= _LATE_SECONDS else 0.0), now.judged_from)


def _inside(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    if not now.was_read:
        turn.set_interlock(plan.name, was_read=True)
    if now.state is InterlockState.Waiting:
        to_ok(turn, plan)
    elif now.state is InterlockState.Tripped:
        since = turn.steady if now.inside_since is None else now.inside_since
        if now.inside_since is None:
            turn.set_interlock(plan.name, inside_since=since)
            text = f"inside again, clear if that lasts {plan.clear_seconds:g} s (tripped: {now.reason})"
            turn.show(interlock(plan.name), text, Severity.MAJOR)
        if turn.is_due(since + plan.clear_seconds):
            _clear(turn, plan)


def _clear(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    close_interval(turn, plan.name, now.inside_since)
    to_ok(turn, plan)
    turn.say(interlock(plan.name), f"clear: {plan.what} is inside its limits again ({now.window.text(plan.units)})")
    mend(turn, About.Interlock, plan.name, f"interlock {plan.name} is clear")


def to_ok(turn: Turn, plan: InterlockPlan) -> None:
    if turn.state.interlocks[plan.name].state is not InterlockState.Ok:
        turn.show(interlock(plan.name), "")
    turn.set_interlock(
        plan.name,
        state=InterlockState.Ok,
        reason="",
        value=None,
        outside_since=None,
        inside_since=None,
        paused=-1,
    )


def end_bypass(turn: Turn, plan: InterlockPlan, text: str, client: Client) -> None:
    turn.set_interlock(plan.name, state=InterlockState.Ok, bypass_ends=0.0, bypassed_until=0.0, judged_from=turn.steady)
    turn.say(interlock(plan.name), text, client=client)


# Acting


def _act(turn: Turn) -> None:
    end_intervals(turn)
    states = {name: each.state for name, each in turn.state.interlocks.items()}
    tripped = [each for name, each in turn.plan.interlocks.items() if states[name] is InterlockState.Tripped]
    if turn.state.run.state in _OPEN:
        for each in tripped:
            mark_run(turn, each)
    if names := [each.name for each in tripped if each.action is Action.Stop]:
        if turn.state.run.state in _OPEN:
            runs.stop(turn, why=f"interlock {listing(names)}")
        hooks.hurry(turn)
    _hold(turn, [each.name for each in tripped if each.action is Action.Hold])


def _hold(turn: Turn, names: Sequence[str]) -> None:
    """Pause the run once for each interlock that trips; resume it when all are clear, unless an operator did either."""
    run, job = turn.state.run, turn.state.job
    if not run.takes_data or (run.state is RunState.Running and job is None):
        runs.set_held(turn, held=False)
    if not run.takes_data or job is not None:
        return
    if run.state is RunState.Paused:
        _remember_paused(turn, names)
        if run.held and not names:
            _try(turn, Operation.Resume)  # held until that is done: a restart may come in between
        return
    new = [name for name in names if turn.state.interlocks[name].paused != run.number]
    if new and turn.plan.resumes and _try(turn, Operation.Pause):
        runs.set_held(turn, held=True)
        _remember_paused(turn, names)


def _remember_paused(turn: Turn, names: Sequence[str]) -> None:
    """These have had their pause: if an operator resumes the run, it stays so."""
    for name in names:
        if turn.state.interlocks[name].paused != turn.state.run.number:
            turn.set_interlock(name, paused=turn.state.run.number)


def _try(turn: Turn, operation: Literal[Operation.Pause, Operation.Resume]) -> bool:
    try:
        runs.pause_or_resume(turn, operation)
    except Refused as refusal:
        trouble(turn, About.Pause, "", str(refusal))
        return False
    return True
