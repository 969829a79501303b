"""Filing what the routers wrote after a run, and filing it again when that failed."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import RunState, Severity
from ioc.runlogic import closing, jobs
from ioc.runlogic.effects import Answer, FileRouter, Log, ProbeRouters
from ioc.runlogic.events import FilingEnded, Organize
from ioc.runlogic.state import TAKING_DATA, Job, JobKind, Phase, Stage
from ioc.runlogic.turn import Turn

STAGES: tuple[Stage, ...] = (Phase.File, Phase.Probe, Phase.Backup, Phase.Close)
"""What is left of a run when nothing runs any more and its observables are recorded."""


def cleaned_by_hand(turn: Turn, name: str) -> None:
    """Whoever moves the last staged files away by hand need not Organize as well."""
    run, router = turn.state.run, turn.router(name)
    if run.state is not RunState.Filing or turn.state.job is not None or name not in run.unfiled:
        return
    if router.online and router.clean and not router.filing:
        turn.say_router(name, f"found Clean: the files of run {run.number} were moved by somebody else", Severity.MINOR)
        _filed(turn, name)


def _filed(turn: Turn, name: str) -> None:
    run = turn.state.run
    turn.set_run(unfiled=run.unfiled - {name})
    if run.state is RunState.Filing and not run.unfiled - {name} and turn.state.job is None:
        turn.set_run(message=turn.note(""))
        closing.close_document(turn)


def begin_file(turn: Turn, job: Job) -> None:
    """File away what every router wrote, all at once."""
    record, run = turn.record, turn.state.run
    turn.set_run(state=RunState.Filing, unfiled=frozenset(turn.plan.routers))
    if job.failures and job.kind is not JobKind.RollBack:
        turn.say_run(f"{record.run} is being filed, but {'; '.join(job.failures)}", Severity.MAJOR)
    elif run.message.severity is Severity.NO_ALARM:
        turn.say_run(f"{record.run} is being filed")
    turn.set_job(job, waiting=frozenset(turn.plan.routers))
    for name in turn.plan.routers:
        turn.set_router(name, filing=True)
        turn.emit(FileRouter(name, record.run))


def organize(turn: Turn, event: Organize) -> None:
    """File away what one router has staged, under the last finished run.

    Raises:
        Refused: while a run takes data, while the router is being filed already, or before the first run.
    """
    name = event.router
    run, job = turn.state.run, turn.state.job
    if turn.router(name).filing:
        raise Refused(f"router {name} cannot be organized: it is being organized already")
    if job is not None:
        raise Refused(f"router {name} cannot be organized: {job.name} is under way")
    if run.state in TAKING_DATA:
        raise Refused(f"router {name} cannot be organized: run {run.number} is {run.state.name}, but must be stopped")
    if run.record is None:
        raise Refused(
            f"router {name} cannot be organized: experiment {turn.state.experiment} has no run yet that the files "
            "could belong to: move them by hand"
        )
    turn.set_router(name, filing=True, token=event.token)
    turn.emit(
        Log(Severity.NO_ALARM, f"Router:{name}", f"Organize under run {run.number}", event.client),
        FileRouter(name, run.record.run),
    )


def filing_ended(turn: Turn, event: FilingEnded) -> None:
    """One router is filed, or could not be."""
    name = event.router
    if name not in turn.state.routers:
        return
    run, token = turn.state.run, turn.router(name).token
    turn.set_router(name, filing=False, token=None)
    report = event.report
    complete = report is not None and report.complete
    problem = report.problem if report is not None else event.error
    count = len(report.files) if report is not None else 0
    if complete:
        files = f"{count} file{' is' if count == 1 else 's are'}" if count else "no file is"
        text = f"run {run.number}: {files} filed here" + (f", but {problem}" if problem else "")
        turn.say_router(name, text, Severity.MINOR if problem else Severity.NO_ALARM)
    else:
        turn.say_router(name, f"filing failed: {problem}", Severity.MAJOR)
    failure = "" if complete else f"router {name} is not filed: {problem}"
    job = turn.state.job
    if job is not None and job.stage is Phase.File and name in job.waiting:
        if complete:
            turn.set_run(unfiled=turn.state.run.unfiled - {name})
        jobs.arrived(turn, name, failure)
        return
    turn.emit(ProbeRouters(job=0))
    if complete and name in turn.state.run.unfiled:
        _filed(turn, name)
    if token is not None:
        turn.emit(Answer(token, failure))
