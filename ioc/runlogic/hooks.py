"""Hooks: when each one runs, and what becomes of a failure.

Theory of operation. The hooks of one occasion run at the same time. Those before a start and before a stop are a stage
of that job, which waits for them, but each ends within its time-out; the stop of an interlock does not wait (`hurry`).
A start has no number yet while they run: if a required one fails, or Stop is pressed, it is refused as if it had not
begun. All other hooks run beside the run, and no job waits for them. A failure that refuses nothing is a trouble of its
run, also if that is over by then.

A hook may run twice for a run if the IOC was killed meanwhile, because the stop and the filing of the run are repeated.
"""

from __future__ import annotations

from ioc.model import HookOutcome, HookPoint, RunId, RunRecord, Severity
from ioc.runlogic import jobs
from ioc.runlogic.effects import AbortHook, RunHook
from ioc.runlogic.events import Ended
from ioc.runlogic.state import About, Job, Phase
from ioc.runlogic.subject import RUN
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn

BESIDE = 0
"""Used instead of a job number for a hook that no job waits for."""
_WAITING = frozenset({Phase.BeforeStart, Phase.BeforeStop})
"""Stages of a job that wait for hooks."""
_SHORT = 300
"""Characters of an output that a message may have; the log has all."""


def wait_for(turn: Turn, point: HookPoint, record: RunRecord) -> None:
    """Begin the hooks of an occasion as a stage of the job."""
    names = [hook.name for hook in turn.plan.hooks[point]]
    turn.set_job(waiting=frozenset(names))
    turn.emit(*(RunHook(turn.job.id, point, name, record) for name in names))


def begin_before_stop(turn: Turn) -> None:
    wait_for(turn, HookPoint.BeforeStop, turn.record)


def hurry(turn: Turn) -> None:
    """Continue a stop without waiting for its hooks, because an interlock requires it."""
    job = turn.state.job
    if job is None or job.stage is not Phase.BeforeStop:
        return
    if not job.begun:
        turn.set_job(begun=True)
        begin_before_stop(turn)
    turn.set_job(waiting=frozenset())


def tell(turn: Turn, point: HookPoint) -> None:
    """Begin the hooks of an occasion beside the run."""
    turn.emit(*(RunHook(BESIDE, point, hook.name, turn.record) for hook in turn.plan.hooks[point]))


def abort(turn: Turn, job: Job) -> None:
    """End the hooks that a start waits for, because the start is cancelled."""
    turn.emit(*(AbortHook(HookPoint.BeforeStart, name) for name in sorted(job.waiting)))
    log_remarks(turn, job)


def log_remarks(turn: Turn, job: Job) -> None:
    """Log what failed before a run that does not open; in one that opens, these are its troubles."""
    for _, text in job.remarks:
        turn.log(RUN, text, Severity.MINOR)


def add_remarks(turn: Turn, job: Job) -> None:
    """The run is open: what failed before it are its troubles."""
    for name, text in job.remarks:
        trouble(turn, About.Hook, name, text, Severity.MINOR)


def ended(turn: Turn, event: Ended[RunHook, HookOutcome]) -> None:
    effect, job = event.effect, turn.state.job
    awaited = job is not None and job.id == effect.job and job.stage in _WAITING
    if effect.point is HookPoint.BeforeStart and not awaited:
        return  # the start was given up
    outcome = event.result or HookOutcome(event.error)
    what = f"hook {effect.name} ({effect.point})"
    output = outcome.output
    if not outcome.error:
        turn.log(RUN, f"{what} done" + (f": {output}" if output else ""), run=_stored(effect))
    elif len(output) > _SHORT:
        turn.log(RUN, f"{what}: {output}", run=_stored(effect))
        output = f"… {output[-_SHORT:]}"
    failure = f"{what} failed: {outcome.error}" + (f": {output}" if output else "") if outcome.error else ""
    required = any(hook.required for hook in turn.plan.hooks[effect.point] if hook.name == effect.name)
    if effect.point is HookPoint.BeforeStart:
        _before_start(turn, effect.name, failure, required=required)
        return
    if failure:
        _report(turn, effect, failure, Severity.MAJOR if required else Severity.MINOR)
    if awaited:
        jobs.arrived(turn, effect.name)


def _before_start(turn: Turn, name: str, failure: str, *, required: bool) -> None:
    if failure and not required:
        turn.set_job(remarks=(*turn.job.remarks, (_trouble_name(HookPoint.BeforeStart, name), failure)))
    jobs.arrived(turn, name, failure if required else "")


def _report(turn: Turn, effect: RunHook, failure: str, severity: Severity) -> None:
    """Keep a failure with its run, if that is still the open or last one; the log has it in any case."""
    record = turn.state.run.record
    if record is not None and record.run == effect.record.run:
        trouble(turn, About.Hook, _trouble_name(effect.point, effect.name), failure, severity, closed=True)
    else:
        turn.log(RUN, failure, severity, run=_stored(effect))


def _stored(effect: RunHook) -> RunId | None:
    """Return its run for the log; before a start the run does not exist."""
    return None if effect.point is HookPoint.BeforeStart else effect.record.run


def _trouble_name(point: HookPoint, name: str) -> str:
    return f"{name} ({point})"
