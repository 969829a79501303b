"""When the core next has something to do although nothing happens.

The core has no clock. After each step the engine asks `wake_at` for a time and then sends `events.TimePassed`; each
part of the core that waits for a time adds a function to `_DUE`. What is due is decided from the state and the time at
the end of every step, whatever the event, so an early or superfluous `TimePassed` does no harm.
"""

from __future__ import annotations

from collections.abc import Callable

from ioc.runlogic import automatic, interlocks
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import State

_DUE: tuple[Callable[[Plan, State], float | None], ...] = (interlocks.due, automatic.due)
"""Each gives a time on the monotonic clock, or None if its part waits for nothing."""


def wake_at(plan: Plan, state: State) -> float | None:
    """Return the earliest time, on the monotonic clock, at which the core has something to do; None if there is none.

    It must lie after the step that led to `state`: a time in the past would wake the core again and again.
    """
    times = [at for due in _DUE if (at := due(plan, state)) is not None]
    return min(times, default=None)
