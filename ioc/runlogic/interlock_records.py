"""Stored data of interlocks: the bad intervals of runs, and the state for a restart.

The bad interval of a run begins when the value went outside and ends when it was inside again: the two waiting times
only confirm that. Its times are on the run's own clock, like the run's duration. Those of one interlock in a run do not
overlap: after a bypass, and with other limits, a new one begins with that change, not at the time stamp of the reading.

What a restart needs is saved as it changes (`memory.INTERLOCK`): changed limits, bypasses, that an interlock is
Tripped, and the bad interval that is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ioc.model import Action, InterlockState, RunInterval, Severity
from ioc.runlogic import memory
from ioc.runlogic.effects import SaveInterval
from ioc.runlogic.plan import InterlockPlan
from ioc.runlogic.state import About
from ioc.runlogic.subject import interlock
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn, local


def mark_run(turn: Turn, plan: InterlockPlan) -> None:
    """The run has a trouble, and from its start on a bad interval, unless the value is inside again."""
    now, record = turn.state.interlocks[plan.name], turn.record
    trouble(turn, About.Interlock, plan.name, f"interlock {plan.name}: {now.reason}")
    if now.interval is not None or now.inside_since is not None or record.started_at is None:
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
    save(turn, plan)  # first: after a crash in between the next process still knows that it is open
    turn.emit(SaveInterval(interval))


def _time_in_run(turn: Turn, steady: float) -> float:
    """Return a moment of the open run in POSIX seconds, counted from its start."""
    started_at = turn.record.started_at
    assert started_at is not None
    return started_at + max(0.0, steady - turn.state.run.running_since)


def end_intervals(turn: Turn) -> None:
    """The run has ended, and with it its bad intervals."""
    record = turn.state.run.record
    for name, each in turn.state.interlocks.items():
        if each.interval is None:
            continue
        if record is None or record.run != each.interval.run:
            turn.set_interlock(name, interval=None)  # the database ended it with the run
        elif record.stopped_at is not None:
            close_interval(turn, name, None)


def close_interval(turn: Turn, name: str, steady: float | None) -> None:
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
            turn.show(interlock(name), plan.tripped(kept.reason), Severity.MAJOR)


def holds(turn: Turn) -> bool:
    return any(
        plan.action is Action.Hold and turn.state.interlocks[name].state is InterlockState.Tripped
        for name, plan in turn.plan.interlocks.items()
    )


def save(turn: Turn, plan: InterlockPlan) -> None:
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
