"""The current conditions that can be reported to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ioc.model import DocumentState, InterlockState
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, State
from ioc.runlogic.troubles import line
from ioc.runlogic.watch import seconds_to_full

Subject = tuple[str, str]
"""The `when` of the rules, and what it is about."""

_FAILURES = {DocumentState.Failed, DocumentState.Orphaned}
_CAUSES = {About.Start, About.Restart}
"""What makes a run fail; other troubles come before it or after it."""


def conditions(plan: Plan, state: State, hours: Iterable[float]) -> Mapping[Subject, str]:
    """Return a sentence for each condition that holds. `hours`: the forecasts for the disks that are asked for."""
    if not state.restored:
        return {}
    return {**failed_run(state), **dict(_present(plan, state, hours))}


def failed_run(state: State) -> Mapping[Subject, str]:
    """Return the failure of the last run, with its cause.

    It has failed as soon as that is how it will end: if its filing waits for somebody, that one must hear of it.
    """
    run, record = state.run, state.run.record
    if record is None or (run.ending if run.open else record.state) not in _FAILURES:
        return {}
    lines = [line(each) for each in run.troubles if each.about in _CAUSES] or record.message.splitlines()
    why = f": {lines[0]}" if lines else ""
    about = f"{record.run.experiment}/{record.run.number}/{record.reserved_at}"
    return {("run_failed", about): f"{record.run} of {record.run.experiment} failed{why}"}


def of_disk(hours: float) -> Subject:
    """A disk will be full within so many hours."""
    return "disk_below", f"{hours:g}"


def _present(plan: Plan, state: State, hours: Iterable[float]) -> Iterator[tuple[Subject, str]]:
    for name in sorted(state.missing):
        yield ("observable_gone", name), f"the required observable {name} is disconnected"
    for name, router in state.routers.items():
        if state.run.open and router.silent:
            yield ("no_data", name), f"router {name} writes no data in run {state.run.number}"
    for name, interlock in state.interlocks.items():
        if interlock.state is InterlockState.Tripped:
            yield ("interlock_tripped", name), f"interlock {name} has tripped: {interlock.reason}"
    left = seconds_to_full(plan, state) / 3600
    yield from ((of_disk(limit), f"a disk will be full in {left:.1f} h") for limit in hours if left < limit)
