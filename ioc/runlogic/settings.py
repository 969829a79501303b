"""What the operator sets: experiment, title, class and number of the next run; comment and quality of the last one."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import LARGEST_RUN_NUMBER, EccState, RunClass, RunRecord, Severity, check_comment, check_experiment
from ioc.runlogic import memory, permits
from ioc.runlogic.effects import OpenExperiment, ProbeRouters, SaveVerdict
from ioc.runlogic.events import (
    CopyPrevious,
    Ended,
    RunEdited,
    SetClass,
    SetComment,
    SetExperiment,
    SetNextNumber,
    SetQuality,
    SetTitle,
)
from ioc.runlogic.state import Run
from ioc.runlogic.subject import RUN, SYSTEM
from ioc.runlogic.turn import Turn, listing


def set_experiment(turn: Turn, event: SetExperiment) -> None:
    """Change the experiment; done when the database has opened it."""
    name = check_experiment(event.name)
    state = turn.state
    if reason := permits.system_reason(state):
        raise Refused(f"experiment cannot be changed: {reason}")
    if state.auto.enabled:
        raise Refused("experiment cannot be changed: automatic runs are on: put Off to Auto:Enable first")
    if others := [
        f"{server_name} is {server.doing.name if server.busy else server.state.name}"
        for server_name, server in state.servers.items()
        if server.busy or server.state is not EccState.Idle
    ]:
        raise Refused(f"experiment cannot be changed: {listing(others)}, but every ECC server must be Idle and at rest")
    if busy := [router for router, each in state.routers.items() if each.filing]:
        raise Refused(f"experiment cannot be changed: {listing(busy)} must be filed first")
    dirty = [router for router, each in state.routers.items() if each.facts is not None and each.facts.file_count]
    if dirty and state.run.record is not None:  # without a run they cannot be organized
        raise Refused(
            f"experiment cannot be changed: {listing(dirty)} still has files of {state.experiment}: Organize first"
        )
    turn.set(opening=event)
    turn.say(SYSTEM, f"experiment {name} is being opened", client=event.client)
    turn.emit(OpenExperiment(name))


def experiment_opened(turn: Turn, event: Ended[OpenExperiment, RunRecord]) -> None:
    """The database has opened the experiment; number, title and class start with those of its last run."""
    name, last_run, command = event.effect.name, event.result, turn.state.opening
    failure = f"experiment {name} cannot be opened: {event.error}" if event.error else ""
    turn.set(opening=None)
    if failure:
        turn.say(SYSTEM, failure, Severity.MAJOR)
    else:
        run_class = last_run.run_class if last_run else turn.state.run.run_class
        earlier = last_run.message if last_run else ""
        turn.set(experiment=name, run=Run(record=last_run, run_class=run_class, earlier=earlier))
        turn.say(SYSTEM, f"experiment {name}: the next run is {turn.state.run.next_number}")
        turn.emit(
            memory.EXPERIMENT.save(name),
            memory.EXPERIMENT_DEFAULT.save(turn.plan.experiment),
            memory.NOTES_OF.save(name),
            memory.TITLE.save(""),
            memory.NEXT_NUMBER.save(0),
            memory.CLASS.save(run_class),
            ProbeRouters(job=0),
        )
    turn.answer(command, failure)


def set_title(turn: Turn, event: SetTitle) -> None:
    _describe_run(turn, title=event.title)
    turn.answer(event)


def set_next_number(turn: Turn, event: SetNextNumber) -> None:
    """Set the number of the next run, for example if there are run directories that the database does not know.

    It can be lowered again until a run has taken it, because it may have been a slip of the hand.
    """
    state = turn.state
    if reason := permits.system_reason(state):
        raise Refused(f"the number of the next run cannot be changed: {reason}")
    lowest = state.run.number + 1
    if event.number < lowest:
        after = f"higher than that of run {state.run.number}" if lowest else "0 or higher"
        raise Refused(f"the number of the next run cannot be {event.number}: it must be {after}")
    if event.number > LARGEST_RUN_NUMBER:
        raise Refused(f"the number of the next run cannot be {event.number}: it must be {LARGEST_RUN_NUMBER} or lower")
    turn.set_run(least_number=event.number)
    turn.show(RUN, f"the next run of {state.experiment} gets number {event.number}")
    turn.log(RUN, f"number of the next run set to {event.number} (was {state.run.next_number})", client=event.client)
    turn.emit(memory.NEXT_NUMBER.save(event.number), ProbeRouters(job=0))
    turn.answer(event)


def set_class(turn: Turn, event: SetClass) -> None:
    _describe_run(turn, run_class=event.run_class)
    turn.answer(event)


def copy_previous(turn: Turn, event: CopyPrevious) -> None:
    """Copy title and class of the previous run."""
    if event.previous is None:
        raise Refused(f"nothing to copy: experiment {turn.state.experiment} has no run before this one")
    _describe_run(turn, title=event.previous.title, run_class=event.previous.run_class)
    text = f"title and class copied from run {event.previous.run.number}"
    turn.set_run(message=turn.note(text, turn.state.run.message.severity))
    turn.log(RUN, text, client=event.client)
    turn.answer(event)


def _describe_run(turn: Turn, *, title: str | None = None, run_class: RunClass | None = None) -> None:
    """Set each value that is not None in the open run, or the next one."""
    run = turn.state.run
    if title is not None:
        auto = turn.state.auto
        if auto.enabled:
            turn.save_progress(title=title)
        turn.set_run(title=auto.expanded(title, run.number) if run.open else title)
        if not run.open:
            turn.emit(memory.TITLE.save(title))
    if run_class is not None:
        turn.set_run(run_class=run_class)
        turn.emit(memory.CLASS.save(run_class))
    if run.open:
        turn.save_run(title=turn.state.run.title, run_class=turn.state.run.run_class)


def set_comment(turn: Turn, event: SetComment) -> None:
    """Comment on the open run, or the last one."""
    comment, record = check_comment(event.comment), _judged(turn, "comment")
    if comment != record.comment:
        turn.set_run(record=record.changed(comment=comment))
        turn.emit(SaveVerdict(record.run, comment=comment))
        text = f"{record.run}: comment changed from {record.comment!r} to {comment!r}"
        turn.log(RUN, text, client=event.client, run=record.run)
    turn.answer(event)


def set_quality(turn: Turn, event: SetQuality) -> None:
    """Judge the open run, or the last one."""
    quality, record = event.quality, _judged(turn, "quality")
    if quality is not record.quality:
        turn.set_run(record=record.changed(quality=quality))
        turn.emit(SaveVerdict(record.run, quality=quality))
        text = f"{record.run}: quality changed from {record.quality.name} to {quality.name}"
        turn.log(RUN, text, client=event.client, run=record.run)
    turn.answer(event)


def _judged(turn: Turn, what: str) -> RunRecord:
    if (record := turn.state.run.record) is None:
        raise Refused(f"{what} cannot be set: experiment {turn.state.experiment} has no run yet")
    return record


def run_edited(turn: Turn, event: RunEdited) -> None:
    """Take over what another program has changed in the last run; the open one is changed only by this IOC."""
    run, new = turn.state.run, event.record
    if run.record is not None and run.record.run == new.run and not run.open:
        turn.set_run(
            record=run.record.changed(
                title=new.title, run_class=new.run_class, comment=new.comment, quality=new.quality
            )
        )
