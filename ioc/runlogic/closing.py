"""The end of a run: what is kept with it, and the state it is left in."""

from __future__ import annotations

from ioc.model import DocumentState, RunState, Severity
from ioc.runlogic import memory
from ioc.runlogic.state import About, Job
from ioc.runlogic.subject import RUN
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn


def close(turn: Turn, job: Job) -> None:
    """The run is over, unless files of it are still in a staging directory."""
    del job
    if turn.state.run.unfiled:
        turn.say(RUN, f"run {turn.state.run.number} is stopped", Severity.MAJOR)
    else:
        close_document(turn)


def close_document(turn: Turn) -> None:
    """All files are at their place: the run gets its final state. The title of one that took data is used up."""
    run = turn.state.run
    failed = run.ending is DocumentState.Failed
    if not failed:
        _name_silent_sources(turn)
    record = turn.save_run(state=run.ending, size=sum(file.size for file in run.files))
    title = run.title if failed else ""  # whoever tries again need not type it again
    text = f"{record.run} failed to start" if failed else f"{record.run} is {record.state.value}"
    turn.say(RUN, text, Severity.MAJOR if failed else Severity.NO_ALARM)
    turn.set_run(
        state=RunState.Failed if failed else RunState.Stopped,
        title=title,
        ending=DocumentState.Complete,
        unfiled=frozenset(),
    )
    turn.emit(memory.TITLE.save(title))


def _name_silent_sources(turn: Turn) -> None:
    """A run has taken data of every source, or says of which not."""
    heard = {file.source for file in turn.state.run.files if file.size}
    for source in turn.plan.sources:
        if source not in heard:
            trouble(turn, About.Data, source, f"no data from {source}")
