"""The end of a run: what is kept with it, and the state it is left in."""

from __future__ import annotations

from ioc.model import DocumentState, RunState, Severity
from ioc.runlogic.effects import SaveSetting
from ioc.runlogic.state import Job, JobKind
from ioc.runlogic.turn import Turn


def close(turn: Turn, job: Job) -> None:
    """The run is over, unless files of it are still in a staging directory."""
    run = turn.state.run
    if job.failures:
        record = turn.save_run(message=_what_failed(turn, job))
        severity = Severity.MAJOR if run.unfiled or run.ending is DocumentState.Failed else Severity.MINOR
        if (run.message.text, run.message.severity) != (record.message, severity):
            turn.say_run(record.message, severity, client=job.client)
    if not run.unfiled:
        close_document(turn)


def _what_failed(turn: Turn, job: Job) -> str:
    """Return what is kept with the run: why it ended, if that is known already, and what failed at its end."""
    record, failures = turn.record, "; ".join(job.failures)
    if job.kind is JobKind.RollBack:
        return f"{record.run} failed to start: {failures}"
    if not record.message:
        return f"{record.run} is stopped, but {failures}"
    return record.message if failures in record.message else f"{record.message}; {failures}"


def close_document(turn: Turn) -> None:
    """All files are at their place: the run gets its final state. The title of one that took data is used up."""
    run = turn.state.run
    record = turn.save_run(state=run.ending)
    failed = run.ending is DocumentState.Failed
    title = run.title if failed else ""  # whoever tries again need not type it again
    turn.set_run(
        state=RunState.Failed if failed else RunState.Stopped,
        title=title,
        ending=DocumentState.Complete,
        unfiled=frozenset(),
    )
    turn.emit(SaveSetting("title", title))
    if failed and run.message.text != record.message:
        turn.say_run(record.message, Severity.MAJOR)
    elif failed:
        turn.set_run(message=turn.note(record.message, Severity.MAJOR))
    elif run.message.severity is Severity.NO_ALARM:
        turn.say_run(f"{record.run} is {record.state.value}")
