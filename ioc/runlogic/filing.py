"""The end of a run: filing the routers' files, with retries until all are in place, then closing the run.

Theory of operation. `Run.unfiled` names the routers whose files are not all in place; the run is closed when it
is empty. The File stage of a job asks each router once. A router that fails stays in `unfiled`, the job ends, and the
run stays Filing: from then on each look at its host triggers another attempt (`resume`), as do Stop and Organize.
Nothing is filed from a router whose source still takes data, because its files would continue to grow in another place.

The host side never overwrites and may be repeated after a crash at any point (`ioc/hosts/filing.py`), so this side need
not know how far an attempt got.
"""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import DocumentState, FilingReport, HookPoint, RunState, Severity
from ioc.runlogic import hooks, jobs, memory, servers
from ioc.runlogic.effects import FileRouter, ProbeRouters
from ioc.runlogic.events import Ended, Organize
from ioc.runlogic.state import About, Cause, JobKind, Phase, Stage
from ioc.runlogic.subject import RUN, data_router
from ioc.runlogic.troubles import forget, mend, standing, trouble
from ioc.runlogic.turn import Turn, listing

STAGES: tuple[Stage, ...] = (Phase.File, Phase.Backup, Phase.Close)
"""The remaining phases of a run once all servers have stopped and its observables are recorded."""

RETRY_SECONDS = 3.0
"""Minimum time between attempts. A look at the host starts the next one: within 5 s of the cause's end."""


FLOW_SECONDS = 5.0
"""Data that still arrive this long after the end of a run were not merely in flight."""


def begin_file(turn: Turn) -> None:
    """File the files of all routers, all at once."""
    record = turn.record
    turn.set_run(state=RunState.Filing)
    turn.say(RUN, f"{record.run} is being filed")
    turn.set_job(waiting=turn.state.run.unfiled)
    for name in sorted(turn.state.run.unfiled):
        if turn.router(name).filing:
            continue  # an automatic retry is under way: this attempt ends with it
        if reason := _still_written(turn, name):
            _not_filed(turn, name, reason, Cause.StillRunning, asked=turn.job.command is not None)
            jobs.arrived(turn, name, f"router {name} is not filed: {reason}")
        else:
            _file(turn, name)


def _file(turn: Turn, name: str, command: Organize | None = None) -> None:
    turn.set_router(name, filing=True, command=command, asked_at=turn.steady)
    router = turn.router(name)
    turn.emit(FileRouter(name, turn.record.run, router.directories, router.worked.dispensable))


def _still_written(turn: Turn, name: str) -> str:
    """Return why the files of a router cannot be complete yet; empty if they can."""
    running = [server for server in turn.plan.servers_of(name) if turn.server(server).takes_data]
    if not running:
        return ""
    press = "press Stop of the run again" if turn.state.run.open else "stop it first"
    return f"ECC server {listing(running)} still takes data: {press}"


def resume(turn: Turn, name: str) -> None:
    """File the remaining files of a router when its host answers again."""
    run, router = turn.state.run, turn.router(name)
    if run.state is not RunState.Filing or turn.state.job is not None or name not in run.unfiled or router.filing:
        return
    if turn.steady - router.tried_at >= RETRY_SECONDS and not _still_written(turn, name):
        _file(turn, name)


def watch_growth(turn: Turn, name: str) -> None:
    """Report why filing does not end: data still arrive although the run is stopped and no ECC server runs."""
    run, router = turn.state.run, turn.router(name)
    if run.state is not RunState.Filing or not router.filing or not router.rate:
        return
    if turn.steady - router.asked_at >= FLOW_SECONDS and not _still_written(turn, name):
        remedy = _end_of_data(turn, name)
        text = f"router {name} still receives data and cannot be filed until that ends: {remedy}"
        trouble(turn, About.Filing, name, text, cause=Cause.StillSent)


def _end_of_data(turn: Turn, name: str) -> str:
    senders = listing(turn.plan.servers_of(name))
    return (
        f"the electronics of ECC server {senders} keep sending; "
        f"Describe, Prepare, Configure (twice if it fails) and Breakup {senders} alone"
    )


def organize(turn: Turn, event: Organize) -> None:
    """File the staged files of one router under the last finished run."""
    name = event.router
    run, job = turn.state.run, turn.state.job
    if turn.router(name).filing:
        raise Refused(f"router {name} cannot be organized: its files are being filed already")
    if job is not None:
        raise Refused(f"router {name} cannot be organized: {job.name} is under way")
    if run.may_write:
        raise Refused(f"router {name} cannot be organized: run {run.number} is {run.state.name}, but must be stopped")
    if run.record is None:
        raise Refused(
            f"router {name} cannot be organized: experiment {turn.state.experiment} has no run yet that the files "
            "could belong to: move them by hand"
        )
    if reason := _still_written(turn, name):
        raise Refused(f"router {name} cannot be organized: {reason}")
    if turn.steady - turn.router(name).strayed_at < turn.plan.silent_seconds:
        raise Refused(
            f"router {name} cannot be organized: its files grew less than {turn.plan.silent_seconds:g} s ago, but must "
            f"be at rest: wait; if that does not end, {_end_of_data(turn, name)}"
        )
    turn.log(data_router(name), f"Organize under run {run.number}", client=event.client)
    _file(turn, name, event)


def filing_ended(turn: Turn, event: Ended[FileRouter, FilingReport]) -> None:
    """One router is filed, or could not be."""
    name, report = event.effect.router, event.result
    if name not in turn.state.routers:
        return
    command, job = turn.router(name).command, turn.state.job
    waiting = job if job is not None and job.stage is Phase.File and name in job.waiting else None
    turn.set_router(name, filing=False, command=None, tried_at=turn.steady)
    complete = report is not None and report.complete
    problem = report.problem if report is not None else event.error
    if report is not None:
        _remember_files(turn, name, report)
    if report is not None and complete:
        _say_filed(turn, name, report)
    else:
        cause = Cause.Unreachable if report is None else Cause.Incomplete
        asked = command is not None or (waiting is not None and waiting.command is not None)
        _not_filed(turn, name, problem, cause, asked=asked)
    if complete:
        servers.data_ended(turn, name)
    failure = "" if complete else f"router {name} is not filed: {problem}"
    if waiting is not None:
        if complete:
            turn.set_run(unfiled=turn.state.run.unfiled - {name})
        jobs.arrived(turn, name, failure)
        turn.answer(command, failure)
        return
    turn.emit(ProbeRouters(job=0))
    if complete and name in turn.state.run.unfiled:
        _filed(turn, name)
    turn.answer(command, failure)


def _say_filed(turn: Turn, name: str, report: FilingReport) -> None:
    run, earlier = turn.state.run, report.earlier
    count = len(report.files) - earlier
    more = "more " if earlier else ""
    files = f"{count} file{'' if count == 1 else 's'} filed" if count else f"no {more}files to file"
    before = f", {earlier} {'was' if earlier == 1 else 'were'} filed before" if earlier else ""
    text = f"run {run.number}: {files}{before}" + (f", but {report.problem}" if report.problem else "")
    turn.say(data_router(name), text, Severity.MINOR if report.problem else Severity.NO_ALARM)
    mend(turn, About.Filing, name, f"router {name} is filed")
    if report.problem:
        trouble(turn, About.Filing, name, f"router {name}: {report.problem}", Severity.MINOR)


def _not_filed(turn: Turn, name: str, problem: str, cause: Cause, *, asked: bool = False) -> None:
    """Show the newest reason. Automatic retries log it once; an attempt that somebody `asked` for always logs it."""
    known = standing(turn.state.run, About.Filing, name)
    text = f"router {name} is not filed: {problem}"
    if known is not None and known.cause is Cause.StillSent and turn.router(name).rate:
        cause = Cause.StillSent  # that is why it fails
        text += f"; {_end_of_data(turn, name)}"
    turn.show(data_router(name), f"filing failed: {problem}", Severity.MAJOR)
    if asked or known is None or known.cause is not cause:
        turn.log(data_router(name), f"filing failed: {problem}", Severity.MAJOR)
    forget(turn, About.Router, name)
    trouble(turn, About.Filing, name, text, cause=cause)


def _remember_files(turn: Turn, name: str, report: FilingReport) -> None:
    known = {(file.host, file.path): file for file in turn.state.run.files}
    known |= {(file.host, file.path): turn.plan.attributed(name, file) for file in report.files}
    turn.set_run(files=tuple(known.values()))


def _filed(turn: Turn, name: str) -> None:
    run = turn.state.run
    turn.set_run(unfiled=run.unfiled - {name})
    if run.state is not RunState.Filing or run.unfiled - {name} or turn.state.job is not None:
        return
    if any(each.standing and each.about is About.Backup for each in run.troubles):
        # the backup failed for the same reason as the filing, which is over
        stages = (Phase.Backup, Phase.Close)
        jobs.launch(turn, JobKind.Recover, f"backup of run {run.number}", stages)
    else:
        close_document(turn)


def close(turn: Turn) -> None:
    """The run is over, unless some of its files are still in a staging directory."""
    if turn.state.run.unfiled:
        turn.say(RUN, f"run {turn.state.run.number} is stopped", Severity.MAJOR)
    else:
        close_document(turn)


def close_document(turn: Turn) -> None:
    """All files are in place: the run gets its final state. The title is cleared unless the start failed.

    Between automatic runs, the title is the one that all of them have.
    """
    run, auto = turn.state.run, turn.state.auto
    failed = run.ending is DocumentState.Failed
    if not failed:
        _name_silent_sources(turn)
    mend(turn, About.Continued, "", "all its files are filed")
    record = turn.save_run(state=run.ending, size=sum(file.size for file in run.files))
    title = run.title if failed else ""  # so that it need not be typed again for the next attempt
    if auto.enabled:
        title = auto.progress.title
    text = f"{record.run} failed to start" if failed else f"{record.run} is {record.state.value}"
    turn.say(RUN, text, Severity.MAJOR if failed else Severity.NO_ALARM)
    turn.set_run(
        state=RunState.Failed if failed else RunState.Stopped,
        title=title,
        ending=DocumentState.Complete,
        unfiled=frozenset(),
    )
    turn.emit(memory.TITLE.save(title))
    if not failed:
        hooks.tell(turn, HookPoint.AfterFiling)


def _name_silent_sources(turn: Turn) -> None:
    """Report each source that sent no data in this run."""
    with_data = {file.source for file in turn.state.run.files if file.size}
    for source in turn.plan.sources:
        if source not in with_data:
            trouble(turn, About.Data, source, f"no data from {source}")
