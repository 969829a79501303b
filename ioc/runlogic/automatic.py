"""Runs that follow each other: each ends at its length or size, is filed, and the next one starts.

Theory of operation. While automatic runs are on, every run that opens belongs to the sequence, also one that the
operator starts or that was open before. `decide` looks at the state at the end of every step: it notices which run has
opened or closed, stops one that has reached its length or size, and starts the next one when nothing forbids it. What
it needs after a restart is in `Progress`, which is stored at each change: so it may be interrupted anywhere, and
continues with what the database and the servers show.

Only time in which a run takes data counts for its length: not the time for which it is paused. A run that ends for
another reason, for example because of an interlock, is not counted and is taken again.

A start that is blocked waits as long as necessary. Three failed starts in a row, a run that cannot be filed, and a Stop
of the operator end the sequence. Off ends it too, but the open run continues; a start by the sequence whose run is not
open yet is cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ioc.errors import Refused
from ioc.model import AutoState, Client, DocumentState, Operation, RunRecord, RunState, Severity
from ioc.runlogic import memory, permits, runs
from ioc.runlogic.automatic_shown import phase, place, sentence, waits, waits_for
from ioc.runlogic.effects import SetManual
from ioc.runlogic.events import EnableAutomatic, Ended, RunCommand, SetAutomatic, SetPlan
from ioc.runlogic.plan import GIGABYTE
from ioc.runlogic.sequence import Limits, RunPlan
from ioc.runlogic.state import About, State
from ioc.runlogic.subject import AUTO
from ioc.runlogic.turn import Turn, few
from ioc.runlogic.watch import total_bytes

MOST_FAILURES = 3
"""Failures in a row that end the sequence."""
RETRY_SECONDS = 3.0
"""Least time between two attempts to start after one that did not succeed."""
FRESH_SECONDS = 1.0
"""The look at all routers at the end of a run also serves for the start of the next within this time."""


# What the operator does


def enable(turn: Turn, event: EnableAutomatic) -> None:
    """Turn automatic runs on or off. An open run becomes the first; Off lets it go on."""
    auto, run = turn.state.auto, turn.state.run
    if event.on and not auto.enabled:
        _check(auto.limits, auto.plan)
        if auto.plan.runs and run.open and auto.progress.run != run.number:
            raise Refused(
                f"automatic runs cannot be enabled: run {run.number} does not belong to the plan: stop it first, "
                "or put an empty text to Auto:Plan"
            )
        _enable(turn, event.client)
    elif not event.on:
        goes_on = f": run {run.number} continues until somebody stops it" if run.open and auto.enabled else ""
        _end(turn, f"off{goes_on}", client=event.client)
    turn.answer(event)


def _enable(turn: Turn, client: Client) -> None:
    auto, run = turn.state.auto, turn.state.run
    goes_on = auto.planned is not None
    turn.save_progress(
        enabled=True,
        experiment=turn.state.experiment,
        title=run.title,
        done=auto.progress.done if goes_on else 0,
        failures=0,
        stopped_at=None,
    )
    if not run.open or auto.progress.run != run.number:
        turn.save_progress(run=-1, reached=False)
    turn.set_auto(waits_from=None, because="", trying=False, told="", prepared=-1)
    first = f"run {run.number if run.open else run.next_number} is {place(turn.state)}"
    turn.log(AUTO, f"on: {first}", client=client)


def set_limits(turn: Turn, event: SetAutomatic) -> None:
    """Change length, size, number or pause; it counts at once, for the open run too."""
    given = {"minutes": event.minutes, "gb": event.gb, "runs": event.runs, "pause": event.pause}
    changes = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        if not (math.isfinite(value) and value >= 0):
            raise Refused(f"Auto:{_PVS[name]} is {value:g}, but must be a finite number, 0 or more")
    limits = replace(turn.state.auto.limits, **changes)
    if turn.state.auto.enabled:
        _check(limits, turn.state.auto.plan)
    turn.set_auto(limits=limits)
    turn.emit(memory.AUTO_LIMITS.save(limits))
    turn.log(
        AUTO, ", ".join(f"{_PVS[name]} set to {value:.15g}" for name, value in changes.items()), client=event.client
    )
    turn.answer(event)


_PVS: Mapping[str, str] = {"minutes": "RunMinutes", "gb": "RunGB", "runs": "Runs", "pause": "PauseSeconds"}


def _check(limits: Limits, plan: RunPlan) -> None:
    if not plan.runs and not limits.minutes and not limits.gb:
        raise Refused(
            "automatic runs need a limit for each run: RunMinutes and RunGB are both 0, "
            "but at least one must be more than 0"
        )


def set_plan(turn: Turn, event: SetPlan) -> None:
    """Take over a plan, to begin with its first run; no runs: no plan."""
    if turn.state.auto.enabled:
        raise Refused("the plan cannot be changed: automatic runs are on: put Off to Auto:Enable first")
    plan = RunPlan(event.path, event.runs)
    turn.set_auto(plan=plan, prepared=-1)
    turn.emit(memory.AUTO_PLAN.save(plan))
    turn.save_progress(done=0, run=-1, reached=False)
    text = f"plan of {_count(plan)} read from {event.path}" if plan.runs else "no plan"
    turn.say(AUTO, text, client=event.client)
    turn.answer(event)


def _count(plan: RunPlan) -> str:
    return "1 run" if len(plan.runs) == 1 else f"{len(plan.runs)} runs"


def run_command(turn: Turn, event: RunCommand) -> None:
    """An operation of the run. Stop also ends the sequence, whatever it is doing, and is never refused then."""
    if event.operation is not Operation.Stop or not turn.state.auto.enabled:
        runs.command(turn, event)
        return
    who = f" by {event.client.user}" if event.client.user else ""
    _end(turn, f"off: Stop{who}", client=event.client)
    job = turn.state.job
    given_up = job is not None and job.given_up
    if given_up or not (turn.state.run.open or runs.opens_later(turn.state)):
        turn.answer(event)
    elif job is None or not job.goes_on_after_failure:
        runs.stop(turn, event)
    elif job.command is None:
        turn.set(job=replace(job, command=event))  # answered when that Stop is done
    else:
        turn.answer(event)


# What follows from the state


def restored(turn: Turn, settings: Mapping[str, str]) -> None:
    """Take over what an earlier process stored."""
    progress = memory.AUTO_PROGRESS.read(settings)
    turn.set_auto(limits=memory.AUTO_LIMITS.read(settings), plan=memory.AUTO_PLAN.read(settings), progress=progress)
    if progress.ended and not progress.enabled:
        note = turn.note(progress.ended, progress.severity)
        turn.set(auto_message=replace(note, at=progress.ended_at))
    if progress.enabled and progress.experiment != turn.state.experiment:
        _end(turn, f"off: the experiment changed from {progress.experiment} to {turn.state.experiment}")


def decide(turn: Turn) -> None:
    """Do what is due. Called at the end of every step."""
    if not turn.state.restored or turn.state.undecided:
        return
    _count_pauses(turn)
    if not turn.state.auto.enabled:
        _give_up_start(turn)
        return
    if turn.state.run.open:
        _follow(turn)
    else:
        if turn.state.auto.progress.run >= 0:
            _closed(turn, turn.record)
        if turn.state.auto.enabled:
            _start_next(turn)
    if turn.state.auto.enabled:
        _tell(turn)


def _give_up_start(turn: Turn) -> None:
    """End a start that the sequence began, if its run is not open yet: nobody would end that run."""
    job = turn.state.job
    if job is not None and job.command is None and not job.given_up and runs.opens_later(turn.state):
        runs.give_up_start(turn, None, "automatic runs are off")


def _count_pauses(turn: Turn) -> None:
    """Count the time for which the run of the sequence is paused, also while automatic runs are off meanwhile."""
    run, progress = turn.state.run, turn.state.auto.progress
    if not run.open or progress.run != run.number:
        return
    if run.state is RunState.Paused and progress.paused_from is None:
        turn.save_progress(paused_from=run.duration(turn.steady))
    elif run.state is RunState.Running and progress.paused_from is not None:
        paused = progress.paused + run.duration(turn.steady) - progress.paused_from
        turn.save_progress(paused=paused, paused_from=None)


def _follow(turn: Turn) -> None:
    """Follow the open run, and stop it when it has reached its length or size."""
    run, record = turn.state.run, turn.record
    if turn.state.auto.progress.run != run.number:
        _opened(turn)
    if not turn.state.auto.progress.excused and _stopped_by_interlock(turn):
        turn.save_progress(excused=True)
    progress = turn.state.auto.progress
    if record.started_at is not None and (progress.stopped_at is not None or progress.failures):
        dead = progress.dead if progress.stopped_at is None else max(0.0, record.started_at - progress.stopped_at)
        turn.save_progress(dead=dead, stopped_at=None, failures=0)
    if run.state is RunState.Running and _reached(turn):
        turn.save_progress(reached=True)
        runs.stop(turn)
    elif run.state is RunState.Filing and turn.state.job is None:
        _end(turn, f"off: {permits.system_reason(turn.state)}", Severity.MAJOR)


def _opened(turn: Turn) -> None:
    """A run of the sequence has opened, or an open one is taken over."""
    auto, run = turn.state.auto, turn.state.run
    turn.save_progress(run=run.number, reached=False, excused=False, paused=0.0, paused_from=None)
    turn.set_auto(trying=False, waits_from=None, because="")
    title = auto.expanded(auto.progress.title, run.number)
    if title != run.title:
        turn.set_run(title=title)
        turn.save_run(title=title)


def _reached(turn: Turn) -> bool:
    size = turn.state.auto.gb * GIGABYTE
    return turn.is_due(due(turn.state)) or bool(size and total_bytes(turn.state) >= size)


def _closed(turn: Turn, record: RunRecord) -> None:
    """The current run is over: count it, and decide what follows."""
    auto = turn.state.auto
    stopped_at = record.stopped_at if record.started_at is not None else auto.progress.stopped_at
    if record.state is DocumentState.Failed and not auto.progress.excused:
        turn.save_progress(run=-1, reached=False, stopped_at=stopped_at)
        _failed(turn, f"{record.run} failed to start")
        return
    done = auto.progress.done + auto.progress.reached
    turn.save_progress(run=-1, reached=False, stopped_at=stopped_at, done=done)
    if done == auto.progress.done:
        _wait(turn, RETRY_SECONDS, f"{record.run} ended before its length or size")
    elif auto.limits.pause:
        _wait(turn)


def _stopped_by_interlock(turn: Turn) -> bool:
    """Whether an interlock stopped the run, and not a failure of its start.

    One that is Starting is not stopped yet: an interlock that only warns marks it too.
    """
    run = turn.state.run
    kinds = {trouble.about for trouble in run.troubles}
    return run.state is not RunState.Starting and About.Interlock in kinds and About.Start not in kinds


def _failed(turn: Turn, what: str) -> None:
    auto = turn.state.auto
    failures = auto.progress.failures + 1
    turn.save_progress(failures=failures)
    if failures >= MOST_FAILURES:
        _end(turn, f"off: {failures} failures in a row, the last: {what}", Severity.MAJOR)
        return
    _wait(turn, RETRY_SECONDS, f"{what} (failure {failures} of {MOST_FAILURES})")
    turn.log(AUTO, f"{what}; next attempt in {RETRY_SECONDS:g} s", Severity.MINOR)


def _wait(turn: Turn, seconds: float = 0.0, because: str = "") -> None:
    """Try the next start after this time, or after the pause between runs if that is longer."""
    turn.set_auto(waits_from=turn.steady, waits_for=seconds, because=because)


def _start_next(turn: Turn) -> None:
    """Start the next run, unless something forbids it or the sequence is complete."""
    auto, job = turn.state.auto, turn.state.job
    if auto.total and auto.progress.done >= auto.total:
        _end(turn, f"off: done, {auto.progress.done} runs", keep_title=False)
        return
    if auto.trying and job is None:
        _refused(turn)
    if turn.is_due(turn.state.auto.next_at):
        turn.set_auto(waits_from=None, because="")
    _prepare(turn)
    auto = turn.state.auto
    if (
        not auto.enabled
        or auto.setting
        or auto.next_at is not None
        or job is not None
        or waits_for(turn.plan, turn.state)
    ):
        return
    turn.set_auto(trying=True)
    runs.start(turn, probe=turn.steady - turn.state.looked_at > FRESH_SECONDS)


def _refused(turn: Turn) -> None:
    """The start that we began was refused after all: by what the routers showed, or by the database."""
    turn.set_auto(trying=False)
    if reasons := waits_for(turn.plan, turn.state):
        _wait(turn, RETRY_SECONDS, few(reasons, 2))
    else:
        _failed(turn, turn.state.run.message.text)


def _prepare(turn: Turn) -> None:
    """Set what the next planned run gives: title, class and manual observables."""
    auto = turn.state.auto
    planned, index = auto.planned, auto.progress.done
    if planned is None or auto.prepared == index or auto.setting or auto.because:
        return
    turn.set_auto(prepared=index)
    if planned.title is not None:
        turn.save_progress(title=planned.title)
        turn.set_run(title=planned.title)
        turn.emit(memory.TITLE.save(planned.title))
    if planned.run_class is not None:
        turn.set_run(run_class=planned.run_class)
        turn.emit(memory.CLASS.save(planned.run_class))
    if planned.manual:
        turn.set_auto(setting=True)
        turn.emit(SetManual(planned.manual))


def manual_set(turn: Turn, event: Ended[SetManual, None]) -> None:
    """The manual observables of the planned run are set, or could not be."""
    turn.set_auto(setting=False)
    if not event.error:
        turn.log(AUTO, "set " + ", ".join(f"{name} to {value}" for name, value in event.effect.values))
    else:
        turn.set_auto(prepared=-1)
        if turn.state.auto.enabled and not turn.state.run.open:
            _failed(turn, event.error)


def _end(
    turn: Turn, why: str, severity: Severity = Severity.NO_ALARM, *, client: Client = Client(), keep_title: bool = True
) -> None:
    """Turn automatic runs off, and say why."""
    turn.save_progress(enabled=False, ended=why, ended_at=turn.now, severity=severity)
    turn.set_auto(waits_from=None, because="", trying=False, told="")
    if not keep_title:
        turn.set_run(title="")
        turn.emit(memory.TITLE.save(""))
    turn.say(AUTO, why, severity, client)


def _tell(turn: Turn) -> None:
    """Show the progress if it has changed; the log records the beginning of a wait."""
    state, auto = turn.state, turn.state.auto
    text = sentence(turn.plan, state)
    if text == auto.told:
        return
    turn.set_auto(told=text)
    turn.show(AUTO, text)
    if phase(state) is AutoState.Waiting and not auto.told.startswith(waits(state)):
        turn.log(AUTO, text)


def due(state: State) -> float | None:
    """Return when `decide` has something to do although nothing happens."""
    auto, run = state.auto, state.run
    if not auto.enabled or not state.restored or state.undecided:
        return None
    if not run.open:
        return auto.next_at
    if run.state is RunState.Running and auto.minutes:
        return run.running_since + auto.progress.paused + auto.minutes * 60
    return None
