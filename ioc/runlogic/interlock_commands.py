"""What operators and a reloaded topology change in interlocks: limits, bypasses, the interlocks themselves."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import InterlockState, Severity
from ioc.runlogic import memory
from ioc.runlogic.events import PlanChanged, SetBypass, SetLimits
from ioc.runlogic.interlock_records import close_interval, save
from ioc.runlogic.interlocks import end_bypass, to_ok
from ioc.runlogic.plan import InterlockPlan
from ioc.runlogic.state import About, Interlock
from ioc.runlogic.subject import interlock
from ioc.runlogic.troubles import mend
from ioc.runlogic.turn import Turn, local


def set_limits(turn: Turn, event: SetLimits) -> None:
    """Change a limit, until the topology has another one."""
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
        turn.set_interlock(plan.name, window=window, judged_from=turn.steady)
        text = f"must be {window.text(plan.units)} (was {before.text(plan.units)})"
        turn.log(interlock(plan.name), f"limits changed: {plan.what} {text}", client=event.client)
        save(turn, plan)
    turn.answer(event)


def set_bypass(turn: Turn, event: SetBypass) -> None:
    """Begin a bypass, or begin its time again; or end it."""
    plan, client = _plan(turn, event.interlock), event.client
    now = turn.state.interlocks[plan.name]
    if event.bypassed:
        close_interval(turn, plan.name, turn.steady)
        mend(turn, About.Interlock, plan.name, f"interlock {plan.name} is bypassed")
        until = turn.now + plan.bypass_seconds
        to_ok(turn, plan)
        turn.set_interlock(
            plan.name,
            state=InterlockState.Bypassed,
            bypass_ends=turn.steady + plan.bypass_seconds,
            bypassed_until=until,
        )
        by = f" by {client.user}@{client.host}" if client.host else ""
        turn.say(interlock(plan.name), f"bypassed until {local(until)[:16]}{by}", Severity.MINOR, client)
    elif now.state is InterlockState.Bypassed:
        end_bypass(turn, plan, "the bypass was ended", client)
    save(turn, plan)
    turn.answer(event)


def _plan(turn: Turn, name: str) -> InterlockPlan:
    if name not in turn.plan.interlocks:
        raise Refused(f"interlock {name} is no longer in the topology")
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
        close_interval(turn, name, turn.steady)
        mend(turn, About.Interlock, name, f"interlock {name} was removed from the topology")
        turn.emit(memory.INTERLOCK.save(memory.Interlocked(), name))
    now = turn.state.interlocks
    turn.set(
        interlocks={
            name: now[name] if name in same else Interlock(window=each.window, judged_from=turn.steady)
            for name, each in turn.plan.interlocks.items()
        },
        readings={each.observable: each for each in event.readings},
    )
    for name, each in same.items():
        turn.set_interlock(name, was_read=each.watches in turn.state.readings)
        if before[name].window != each.window:
            turn.set_interlock(name, window=each.window, judged_from=turn.steady)
