"""Values of observables in the core: only of those that it decides by, `watched`.

The composition sends `events.ObservablesRead` for a watched observable when it changes, at most ten times a second, and
once when it begins to be watched. An observable without a reading in the state has had no value since the IOC started.
"""

from __future__ import annotations

from ioc.runlogic.events import ObservablesRead
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import State
from ioc.runlogic.turn import Turn


def watched(plan: Plan, state: State) -> frozenset[str]:
    """Return the names of the readings that the core needs now."""
    planned = state.auto.planned if state.auto.enabled else None
    waits = () if planned is None else planned.wait_for
    return frozenset((*(each.watches for each in plan.interlocks.values()), *(wait.observable for wait in waits)))


def observables_read(turn: Turn, event: ObservablesRead) -> None:
    """Take new readings; `forget` drops those that nobody watches."""
    turn.set(readings={**turn.state.readings, **{each.observable: each for each in event.readings}})


def forget(turn: Turn) -> None:
    """Drop readings that are no longer watched: when they are watched again, the value of that time is sent."""
    wanted, readings = watched(turn.plan, turn.state), turn.state.readings
    if not wanted.issuperset(readings):
        turn.set(readings={name: reading for name, reading in readings.items() if name in wanted})
