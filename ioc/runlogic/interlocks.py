"""Interlocks: values that must be inside their limits, and what happens to runs if they are not.

Theory of operation. At the end of every step `decide` does two things. First it judges each interlock from its latest
reading and the time: Ok, Waiting (outside, but not yet for `for_seconds`), Tripped (until it has been inside for
`clear_seconds`) or Bypassed (by an operator, until a time). Then it acts on those that are Tripped, whatever event led
to it: a run that takes data is marked and gets a bad interval, `stop` stops it, `hold` pauses it and resumes it later.
That a start is forbidden is read from the state by `permits`. So no order of events can lead past an interlock, and
nothing has to be remembered about what was done.

What a restart needs is saved as it changes (`memory.INTERLOCK`): changed limits, bypasses, that an interlock is Tripped
and the bad interval that is open. Until the database is read nothing is judged, and no run can start.

The bad interval of a run begins when the value went outside and ends when it was inside again: the two waiting times
only confirm that. Its times are on the run's own clock, like the run's duration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ioc.errors import Refused
from ioc.model import Action, Client, InterlockState, Operation, Reading, RunInterval, RunState, Severity
from ioc.runlogic import memory, runs
from ioc.runlogic.effects import SaveInterval
from ioc.runlogic.events import PlanChanged, SetBypass, SetLimits
from ioc.runlogic.plan import InterlockPlan, Plan
from ioc.runlogic.state import About, Interlock, State
from ioc.runlogic.subject import interlock
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, listing, local

FIRST_SECONDS = 5.0
"""After a start of the IOC or a change of the topology, sources get at least this time to connect."""
_LATE_SECONDS = 1.0
"""A time stamp that is older belongs to an old value, or to a clock that is wrong: then the time of arrival counts."""
_OPEN = frozenset({RunState.Starting, RunState.Running, RunState.Paused})
_TAKING = frozenset({RunState.Running, RunState.Paused})
_CONSEQUENCES: Mapping[Action, str] = {
    Action.Alarm: "",
    Action.Block: ": no run can start",
    Action.Hold: ": no run can start, and an open run is paused",
    Action.Stop: ": no run can start, and an open run is stopped",
}


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
        _save(turn, each)


def _is_tripped(turn: Turn, plan: InterlockPlan) -> bool:
    return turn.state.interlocks[plan.name].state is InterlockState.Tripped


# Judging


def _judge(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    if now.state is InterlockState.Bypassed:
        if not turn.is_due(now.bypass_ends):
            return
        _end_bypass(turn, plan, f"the bypass has ended by itself after {plan.bypass_seconds / 60:g} min", Client())
        now = turn.state.interlocks[plan.name]
    if plan.in_run_only and (turn.state.run.state not in _TAKING or turn.state.undecided):
        if now.state is not InterlockState.Ok or now.outside_since is not None:
            _to_ok(turn, plan)
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
            turn.set_interlock(plan.name, inside_since=None)
            turn.show(interlock(plan.name), now.reason + _CONSEQUENCES[plan.action], Severity.MAJOR)
        return
    if now.outside_since is None or (reading is not None and not now.was_read):
        turn.set_interlock(plan.name, outside_since=_since(turn, reading), was_read=reading is not None)
        now = turn.state.interlocks[plan.name]
    reason = f"{plan.what} {why}"
    at = _due(plan, now, turn.state)
    if at is not None and turn.is_due(at):
        value = None if reading is None else reading.label or reading.value
        turn.set_interlock(plan.name, state=InterlockState.Tripped, reason=reason, value=value, inside_since=None)
        turn.say(interlock(plan.name), reason + _CONSEQUENCES[plan.action], Severity.MAJOR)
    elif now.state is InterlockState.Ok:
        turn.set_interlock(plan.name, state=InterlockState.Waiting)
        turn.show(interlock(plan.name), reason, Severity.MINOR)


def _since(turn: Turn, reading: Reading | None) -> float:
    """Return when a reading became true: the time stamp of its source counts, not our delay."""
    late = 0.0 if reading is None else turn.now - reading.sampled_at
    return turn.steady - (late if 0 < late <= _LATE_SECONDS else 0.0)


def _inside(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    if not now.was_read:
        turn.set_interlock(plan.name, was_read=True)
    if now.state is InterlockState.Waiting:
        _to_ok(turn, plan)
    elif now.state is InterlockState.Tripped:
        since = turn.steady if now.inside_since is None else now.inside_since
        if now.inside_since is None:
            turn.set_interlock(plan.name, inside_since=since)
            text = f"{now.reason}; inside again, clear if that lasts {plan.clear_seconds:g} s"
            turn.show(interlock(plan.name), text, Severity.MAJOR)
        if turn.is_due(since + plan.clear_seconds):
            _clear(turn, plan)


def _clear(turn: Turn, plan: InterlockPlan) -> None:
    now = turn.state.interlocks[plan.name]
    _close_interval(turn, plan.name, now.inside_since)
    _to_ok(turn, plan)
    turn.say(interlock(plan.name), f"clear: {plan.what} is inside its limits again ({now.window.text(plan.units)})")
    mend(turn, About.Interlock, plan.name, f"interlock {plan.name} is clear")


def _to_ok(turn: Turn, plan: InterlockPlan) -> None:
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


# Acting


def _act(turn: Turn) -> None:
    _end_intervals(turn)
    tripped = [each for each in turn.plan.interlocks.values() if _is_tripped(turn, each)]
    if turn.state.run.state in _OPEN:
        for each in tripped:
            _mark_run(turn, each)
    _stop(turn, [each.name for each in tripped if each.action is Action.Stop])
    _hold(turn, [each.name for each in tripped if each.action is Action.Hold])


def _mark_run(turn: Turn, plan: InterlockPlan) -> None:
    """The run has a trouble, and from its start on a bad interval."""
    now, record = turn.state.interlocks[plan.name], turn.record
    trouble(turn, About.Interlock, plan.name, f"interlock {plan.name}: {now.reason}")
    if now.interval is not None or record.started_at is None:
        return
    since = turn.steady if now.outside_since is None else now.outside_since
    interval = RunInterval(
        run=record.run,
        interlock=plan.name,
        began_at=_time_in_run(turn, since),
        action=plan.action,
        reason=now.reason,
        observable=plan.observable,
        low=now.window.low,
        high=now.window.high,
        value=now.value,
    )
    turn.set_interlock(plan.name, interval=interval)
    _save(turn, plan)  # first: after a crash in between the next process still knows that it is open
    turn.emit(SaveInterval(interval))


def _time_in_run(turn: Turn, steady: float) -> float:
    """Return a moment of the open run in POSIX seconds, counted from its start."""
    started_at = turn.record.started_at
    assert started_at is not None
    return started_at + max(0.0, steady - turn.state.run.running_since)


def _end_intervals(turn: Turn) -> None:
    """The run has ended, and with it its bad intervals."""
    record = turn.state.run.record
    for name, each in turn.state.interlocks.items():
        if each.interval is None:
            continue
        if record is None or record.run != each.interval.run:
            turn.set_interlock(name, interval=None)  # the database ended it with the run
        elif record.stopped_at is not None:
            _close_interval(turn, name, None)


def _close_interval(turn: Turn, name: str, steady: float | None) -> None:
    """End the bad interval at a time on the monotonic clock, or with the run if that was earlier or it is None."""
    interval, record = turn.state.interlocks[name].interval, turn.state.run.record
    if interval is None:
        return
    turn.set_interlock(name, interval=None)
    if record is None or record.run != interval.run or record.started_at is None:
        return
    times = [] if steady is None else [_time_in_run(turn, steady)]
    times += [] if record.stopped_at is None else [record.stopped_at]
    turn.emit(SaveInterval(replace(interval, ended_at=max(interval.began_at, min(times)))))


def _stop(turn: Turn, names: Sequence[str]) -> None:
    if names and turn.state.run.state in _OPEN:
        runs.stop(turn, why=f"interlock {listing(names)}")


def _hold(turn: Turn, names: Sequence[str]) -> None:
    """Pause the run once for each interlock that trips; resume it when all are clear, unless an operator did either."""
    run, job = turn.state.run, turn.state.job
    if run.state not in _TAKING or (run.state is RunState.Running and job is None):
        runs.set_held(turn, held=False)
    if run.state not in _TAKING or job is not None:
        return
    if run.state is RunState.Paused:
        _remember_paused(turn, names)
        if run.held and not names and _try(turn, Operation.Resume):
            runs.set_held(turn, held=False)
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


# Commands and changes of the topology


def set_limits(turn: Turn, event: SetLimits) -> None:
    """Change a limit, until the topology has another one.

    Raises:
        Refused: low would be above high, or the interlock compares with allowed values.
    """
    plan = _plan(turn, event.interlock)
    before = turn.state.interlocks[plan.name].window
    if before.allowed:
        raise Refused(f"interlock {plan.name} has no limits, but allows {before.text()}: change it in the topology")
    window = before.moved(low=event.low, high=event.high)
    if window.low is not None and window.high is not None and window.low > window.high:
        raise Refused(
            f"interlock {plan.name}: low would be {window.low:.6g}, but must be at most high, {window.high:.6g}"
        )
    if window != before:
        turn.set_interlock(plan.name, window=window)
        text = f"must be {window.text(plan.units)} (was {before.text(plan.units)})"
        turn.log(interlock(plan.name), f"limits changed: {plan.what} {text}", client=event.client)
        _save(turn, plan)
    turn.answer(event)


def set_bypass(turn: Turn, event: SetBypass) -> None:
    """Begin a bypass, or begin its time again; or end it.

    Raises:
        Refused: there is no such interlock.
    """
    plan, client = _plan(turn, event.interlock), event.client
    now = turn.state.interlocks[plan.name]
    if event.bypassed:
        _close_interval(turn, plan.name, turn.steady)
        mend(turn, About.Interlock, plan.name, f"interlock {plan.name} is bypassed")
        until = turn.now + plan.bypass_seconds
        _to_ok(turn, plan)
        turn.set_interlock(
            plan.name,
            state=InterlockState.Bypassed,
            bypass_ends=turn.steady + plan.bypass_seconds,
            bypassed_until=until,
        )
        by = f" by {client.user}@{client.host}" if client.host else ""
        turn.say(interlock(plan.name), f"bypassed until {local(until)[:16]}{by}", Severity.MINOR, client)
    elif now.state is InterlockState.Bypassed:
        _end_bypass(turn, plan, "the bypass was ended", client)
    _save(turn, plan)
    turn.answer(event)


def _end_bypass(turn: Turn, plan: InterlockPlan, text: str, client: Client) -> None:
    turn.set_interlock(plan.name, state=InterlockState.Ok, bypass_ends=0.0, bypassed_until=0.0)
    turn.say(interlock(plan.name), text, client=client)


def _plan(turn: Turn, name: str) -> InterlockPlan:
    if name not in turn.plan.interlocks:
        raise Refused(f"interlock {name} is not in the topology any more")
    return turn.plan.interlocks[name]


def replanned(turn: Turn, event: PlanChanged) -> None:
    """Take over the interlocks of the new plan: those with the same source continue, with new limits if changed."""
    before, now = event.before.interlocks, turn.state.interlocks
    same = {
        name: each
        for name, each in turn.plan.interlocks.items()
        if name in before and (before[name].watches, before[name].what) == (each.watches, each.what)
    }
    for name in now.keys() - same.keys():
        _close_interval(turn, name, turn.steady)
        mend(turn, About.Interlock, name, f"interlock {name} was removed from the topology")
        turn.emit(memory.INTERLOCK.save(memory.Interlocked(), name))
    now = turn.state.interlocks
    turn.set(
        interlocks={
            name: now[name] if name in same else Interlock(window=each.window)
            for name, each in turn.plan.interlocks.items()
        },
        readings={each.observable: each for each in event.readings},
    )
    for name, each in same.items():
        turn.set_interlock(name, was_read=each.watches in turn.state.readings)
        if before[name].window != each.window:
            turn.set_interlock(name, window=each.window)


# What survives a restart


def restored(turn: Turn, settings: Mapping[str, str]) -> None:
    """Take over limits, bypasses and what was tripped. Changed limits apply unless the topology has others since."""
    for name, plan in turn.plan.interlocks.items():
        kept = memory.INTERLOCK.read(settings, name)
        window = kept.window if kept.window is not None and kept.topology == plan.window else plan.window
        turn.set_interlock(name, window=window, interval=kept.interval, paused=kept.paused, saved=kept)
        left = min(kept.bypassed_until - turn.now, plan.bypass_seconds)
        if kept.bypassed_until and left > 0:
            until = turn.now + left
            turn.set_interlock(
                name, state=InterlockState.Bypassed, bypass_ends=turn.steady + left, bypassed_until=until
            )
            turn.show(interlock(name), f"bypassed until {local(until)[:16]}", Severity.MINOR)
        elif kept.reason:
            turn.set_interlock(
                name,
                state=InterlockState.Tripped,
                reason=kept.reason,
                value=kept.value,
                outside_since=turn.steady,
            )
            turn.show(interlock(name), kept.reason + _CONSEQUENCES[plan.action], Severity.MAJOR)


def _save(turn: Turn, plan: InterlockPlan) -> None:
    """Store what a restart needs, if it has changed."""
    now = turn.state.interlocks[plan.name]
    changed = now.window != plan.window
    keep = memory.Interlocked(
        window=now.window if changed else None,
        topology=plan.window if changed else None,
        bypassed_until=now.bypassed_until,
        reason=now.reason,
        value=now.value,
        interval=now.interval,
        paused=now.paused,
    )
    if keep != now.saved:
        turn.set_interlock(plan.name, saved=keep)
        turn.emit(memory.INTERLOCK.save(keep, plan.name))
