"""The display of automatic runs: their state, a sentence about it, and the time to the next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ioc.model import Action, AutoState, InterlockState, RunState
from ioc.runlogic import permits
from ioc.runlogic.plan import GIGABYTE, Plan
from ioc.runlogic.state import JobKind, State
from ioc.runlogic.turn import few
from ioc.runlogic.watch import total_bytes

NOT_KNOWN = 999_999.0
"""Shown as the time to the next step if that is not known."""


def phase(state: State) -> AutoState:
    auto, run, job = state.auto, state.run, state.job
    if not auto.enabled:
        return AutoState.Off
    if run.open:
        return _PHASES[run.state]
    if job is not None and job.kind is JobKind.Start:
        return AutoState.Starting
    return AutoState.Pause if auto.next_at is not None and not auto.because else AutoState.Waiting


_PHASES: Mapping[RunState, AutoState] = {
    RunState.Starting: AutoState.Starting,
    RunState.Running: AutoState.Running,
    RunState.Paused: AutoState.Running,
    RunState.Stopping: AutoState.Stopping,
    RunState.Filing: AutoState.Filing,
}


def sentence(plan: Plan, state: State) -> str:
    run, auto = state.run, state.auto
    text = f"run {run.number} is "
    match phase(state):
        case AutoState.Running if run.state is RunState.Paused:
            text += "Paused: this time does not count"
        case AutoState.Running:
            text += f"{place(state)}, and ends {_end_of_run(state)}"
        case AutoState.Starting:
            text = f"run {run.number if run.open else run.next_number} is starting"
        case AutoState.Stopping:
            text += "being stopped"
        case AutoState.Filing:
            text += "being filed"
        case AutoState.Pause:
            text = f"pause of {auto.limits.pause:g} s before run {run.next_number}"
        case _:
            why = auto.because or few(waits_for(plan, state), 2) or "manual observables are being set"
            text = waits(state) + why
    return text


def waits_for(plan: Plan, state: State) -> tuple[str, ...]:
    """Return every reason why the next run cannot start now."""
    planned = state.auto.planned
    waits = () if planned is None else planned.wait_for
    outside = (
        (wait.observable, wait.window.why_outside(state.readings.get(wait.observable), wait.units)) for wait in waits
    )
    return (
        *permits.grouped(plan, state),
        *_would_stop(plan, state),
        *(f"{name} {why}" for name, why in outside if why),
    )


def _would_stop(plan: Plan, state: State) -> Iterator[str]:
    """Interlocks that judge only runs, forbid no start, and would stop the next run at once."""
    for name, each in plan.interlocks.items():
        now = state.interlocks[name]
        if each.in_run_only and each.action is Action.Stop and now.state is not InterlockState.Bypassed:
            why = now.window.why_outside(state.readings.get(each.watches), each.units)
            if why:
                yield f"{each.what} {why}: interlock {name} would stop the run"


def waits(state: State) -> str:
    """Return the beginning of the sentence while the next start waits."""
    return f"run {state.run.next_number} waits: "


def place(state: State) -> str:
    """Return which run of the sequence is under way, or the next."""
    auto = state.auto
    return f"number {auto.progress.done + 1}" + (f" of {auto.total}" if auto.total else "")


def _end_of_run(state: State) -> str:
    auto = state.auto
    length = f"after {auto.minutes:g} min" if auto.minutes else ""
    size = f"at {auto.gb:g} GB" if auto.gb else ""
    return " or ".join(filter(None, (length, size)))


def step_text(state: State) -> str:
    """Return which planned run is under way, or the next; empty without a plan."""
    auto = state.auto
    count = len(auto.plan.runs)
    if not count:
        return ""
    if auto.planned is None:
        return f"all {count} runs done"
    title = auto.planned.title
    return f"{auto.progress.done + 1} of {count}" + (f": {title}" if title else "")


def taken(state: State, steady: float) -> float:
    """Return the seconds for which the open run has taken data."""
    progress, duration = state.auto.progress, state.run.duration(steady)
    return (duration if progress.paused_from is None else progress.paused_from) - progress.paused


def seconds_to_next(state: State, steady: float) -> float:
    """Return the seconds to the end of the run, or of the pause; 0 if neither is under way."""
    auto, run = state.auto, state.run
    match phase(state):
        case AutoState.Running if run.state is RunState.Running:
            length = auto.minutes * 60 - taken(state, steady) if auto.minutes else NOT_KNOWN
            rate = sum(router.mean_rate for router in state.routers.values())
            size = (auto.gb * GIGABYTE - total_bytes(state)) / rate if auto.gb and rate else NOT_KNOWN
            return min(max(0.0, min(length, size)), NOT_KNOWN)
        case AutoState.Running:
            return NOT_KNOWN
        case _:
            at = auto.next_at if auto.enabled else None
            return 0.0 if at is None else min(max(0.0, at - steady), NOT_KNOWN)
