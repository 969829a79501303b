"""The core itself: ``step(plan, state, event, now, steady) -> (state, effects)``, a pure function.

Theory of operation. An event is a command, a reading of a server or a host, or the end of an effect. Its handler works
on a `Turn`, the state and the effects so far, and may raise `Refused`: then the turn is discarded, and the refusal
becomes an answer, a message and a log line. After each event the job of the whole system advances as far as it can
(`jobs`): it begins a stage, and the next one when nothing is left to wait for. So a handler never calls another one; it
changes the state, and the next step is derived from the state.

Sending is not success: a transition has succeeded when the server's state shows it, and a router is clean when a look
at its host shows it. Everything that a restart needs is saved as it changes (`memory`, `SaveRun`), so that the core can
start from the database and the readings of the peers at any time (`restart`).

Faults are kept in three places. The message of a server or router is its latest sentence, marked as past when its state
changes (`messages`). The troubles of a run stay with the run and record how they ended (`troubles`). What forbids a
start is computed from the state on demand (`permits`), and so is never out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ioc.errors import Refused
from ioc.model import Operation, Severity
from ioc.runlogic import (
    automatic,
    backup,
    filing,
    hooks,
    interlock_commands,
    interlocks,
    jobs,
    messages,
    partners,
    permits,
    programs,
    readings,
    restart,
    runs,
    servers,
    settings,
    system,
    troubles,
    watch,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.effects import Effect
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Interlock, Job, JobKind, Move, Partner, Phase, Router, Run, Server, State
from ioc.runlogic.subject import AUTO, RUN, SYSTEM, data_router, ecc, interlock
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, few

_PHASES: Mapping[Phase, jobs.Begin] = {
    Phase.Probe: runs.begin_probe,
    Phase.BeforeStart: runs.begin_before_start,
    Phase.Reserve: runs.begin_reserve,
    Phase.BeginBefore: partners.begin_before,
    Phase.Begin: runs.begin_snapshot,
    Phase.BeginAfter: partners.begin_after,
    Phase.Opened: runs.opened,
    Phase.BeforeStop: hooks.begin_before_stop,
    Phase.EndAfter: partners.end_after,
    Phase.EndBefore: partners.end_before,
    Phase.End: runs.begin_end,
    Phase.File: filing.begin_file,
    Phase.Backup: backup.begin_backup,
    Phase.Close: filing.close,
}

_MOST_ROUNDS = 10
"""Two or three are usual: a bug must not hang the IOC."""


def initial(plan: Plan) -> State:
    """Return the state before the first event."""
    return State(
        experiment=plan.experiment,
        servers={name: Server(config=server.default_config) for name, server in plan.servers.items()},
        routers={name: Router() for name in plan.routers},
        run=Run(),
        interlocks={name: Interlock(window=each.window) for name, each in plan.interlocks.items()},
        partners={name: Partner() for name in plan.partners},
        missing=frozenset(plan.require),
    )


def step(plan: Plan, state: State, event: ev.Event, now: float, steady: float) -> tuple[State, tuple[Effect, ...]]:
    """Compute the new state and the effects of one event at the time `now` (POSIX seconds).

    `steady` is the same moment on the monotonic clock (seconds, any origin): durations are measured with it.
    Never raises: a command that is refused is answered with the reason and changes nothing but a message.
    """
    turn = Turn(plan, state, now, steady)
    try:
        _refuse_before_restored(state, event)
        _HANDLERS[type(event)](turn, event)
    except Refused as refusal:
        turn = Turn(plan, state, now, steady)
        assert isinstance(event, ev.Command)
        _refused(turn, event, str(refusal))
    _advance(turn)
    readings.forget(turn)
    messages.mark_past(turn, state)
    return turn.state, tuple(turn.effects)


def wake_at(plan: Plan, state: State) -> float | None:
    """Return when the core has something to do although nothing happens, on the monotonic clock; None: never.

    The core has no clock: after each step the engine asks for this time and then sends `TimePassed`. It must lie after
    the step that led to `state`, or the core would be woken again and again. What is due is decided from the state and
    the time at the end of every step, whatever the event, so an early or superfluous `TimePassed` does no harm.
    """
    times = (interlocks.due(plan, state), automatic.due(state))
    return min((at for at in times if at is not None), default=None)


def _refuse_before_restored(state: State, event: ev.Event) -> None:
    """Refuse commands, except those to one server, until the database is read: a run may be open."""
    if isinstance(event, ev.Command) and not isinstance(event, ev.ServerCommand) and not state.restored:
        raise Refused(f"{permits.NOT_READ}: until then only commands to single ECC servers are accepted")


def _refused(turn: Turn, command: ev.Command, reason: str) -> None:
    """Show a refusal in the nearest message without changing its alarm: a refusal is not a fault."""
    match command:
        case ev.ServerCommand(server=name) | ev.SelectConfig(server=name):
            subject = ecc(name)
        case ev.Organize(router=name):
            subject = data_router(name)
        case ev.RestartProgram(subject=subject):
            pass
        case ev.SetLimits(interlock=name) | ev.SetBypass(interlock=name):
            subject = interlock(name)
        case (
            ev.RunCommand()
            | ev.CopyPrevious()
            | ev.SetTitle()
            | ev.SetClass()
            | ev.SetNextNumber()
            | ev.SetComment()
            | ev.SetQuality()
        ):
            subject = RUN
        case ev.EnableAutomatic() | ev.SetAutomatic() | ev.SetPlan():
            subject = AUTO
        case _:
            subject = SYSTEM
    run = turn.state.run
    still = f" (run {run.number}: {few([each.text for each in run.by_urgency])})" if run.standing else ""
    text = reason + still if subject == RUN else reason
    starting = isinstance(command, ev.RunCommand) and command.operation is Operation.Start
    reasons = permits.blocked_by(turn.plan, turn.state) if starting else ()
    turn.set_message(subject, replace(turn.note(text, turn.message(subject).severity), reasons=reasons))
    turn.log(subject, reason, Severity.MINOR, command.client)
    turn.answer(command, reason, refused=True)


def _put_refused(turn: Turn, event: ev.PutRefused) -> None:
    """Show it in the nearest message, unless that message is newer."""
    note = turn.message(event.subject)
    if note.at <= event.at:
        turn.set_message(event.subject, turn.note(event.reason, note.severity))


def _advance(turn: Turn) -> None:
    """Decide what follows from the state, and advance the job, until neither changes anything."""
    for _ in range(_MOST_ROUNDS):
        before = turn.state
        restart.decide(turn)
        interlocks.decide(turn)
        partners.decide(turn)
        _advance_job(turn)
        automatic.decide(turn)
        if turn.state is before:
            return


def _advance_job(turn: Turn) -> None:
    """Run the stages of the job until one has to wait."""
    while (job := turn.state.job) is not None:
        if not job.begun:
            jobs.begin_stage(turn, _PHASES)
        elif job.waiting:
            return
        elif job.failures and not job.goes_on_after_failure:
            _halt(turn, job)
        elif len(job.stages) > 1:
            turn.set_job(stages=job.stages[1:], begun=False)
        else:
            _finish(turn, job)


def _halt(turn: Turn, job: Job) -> None:
    if job.stage is Phase.BeforeStart:
        runs.refuse_start(turn, job, "; ".join(job.failures))
    elif job.kind is JobKind.Start:
        runs.roll_back(turn, job)
    else:
        _finish(turn, job)


def _finish(turn: Turn, job: Job) -> None:
    if job.kind is JobKind.Step:
        system.finish(turn, job)
    else:
        runs.finish(turn, job)


def _transition_ended(turn: Turn, event: ev.TransitionEnded) -> None:
    alone = turn.server(event.server).command is not None
    failure = servers.ended(turn, event)
    job = turn.state.job
    if job is None or event.server not in job.waiting or not isinstance(job.stage, Move):
        return
    if alone or job.stage.operation is not event.operation:
        jobs.send_or_skip(turn, event.server, job.stage)  # it was still busy with an earlier operation
    else:
        jobs.arrived(turn, event.server, failure)


def _ended(turn: Turn, event: ev.Ended[Any, Any]) -> None:
    _ENDS[type(event.effect)](turn, event)


def _observables_missing(turn: Turn, event: ev.ObservablesMissing) -> None:
    for name in sorted(event.names - turn.state.missing):
        trouble(turn, About.Observable, name, f"required observable {name} is not connected")
    for name in sorted(turn.state.missing - event.names):
        mend(turn, About.Observable, name, f"observable {name} is connected again")
    turn.set(missing=event.names)


def _time_passed(turn: Turn, event: ev.TimePassed) -> None:
    """Nothing by itself: what is due is derived from the state and the time at the end of every step."""


def _database_problem(turn: Turn, event: ev.DatabaseProblem) -> None:
    turn.set(database_problem=event.text)


_ENDS: Mapping[type[Effect], Callable[[Turn, Any], None]] = {
    ef.ProbeRouters: runs.probed,
    ef.ReserveRun: runs.reserved,
    ef.TakeSnapshot: runs.snapshot_taken,
    ef.BeginPartner: partners.begun,
    ef.EndPartner: partners.ended,
    ef.FileRouter: filing.filing_ended,
    ef.BackUp: backup.backup_ended,
    ef.RunHook: hooks.ended,
    ef.OpenExperiment: settings.experiment_opened,
    ef.SetManual: automatic.manual_set,
    ef.RestartUnit: programs.restarted,
}

_HANDLERS: Mapping[type[ev.Event], Callable[[Turn, Any], None]] = {
    ev.SystemCommand: system.command,
    ev.ServerCommand: servers.command,
    ev.RunCommand: automatic.run_command,
    ev.EnableAutomatic: automatic.enable,
    ev.SetAutomatic: automatic.set_limits,
    ev.SetPlan: automatic.set_plan,
    ev.Organize: filing.organize,
    ev.RestartProgram: programs.restart,
    ev.SetExperiment: settings.set_experiment,
    ev.SetTitle: settings.set_title,
    ev.SetClass: settings.set_class,
    ev.SetNextNumber: settings.set_next_number,
    ev.SetComment: settings.set_comment,
    ev.SetQuality: settings.set_quality,
    ev.CopyPrevious: settings.copy_previous,
    ev.SelectConfig: servers.select_config,
    ev.SetLimits: interlock_commands.set_limits,
    ev.SetBypass: interlock_commands.set_bypass,
    ev.PlanChanged: interlock_commands.replanned,
    ev.ServerRead: servers.read,
    ev.ServerLost: servers.lost,
    ev.ConfigsRead: servers.configs_read,
    ev.ConfigsLost: servers.configs_lost,
    ev.TransitionEnded: _transition_ended,
    ev.RoutersRead: watch.routers_read,
    ev.RoutersLost: watch.routers_lost,
    ev.PartnerRead: partners.read,
    ev.PartnerLost: partners.lost,
    ev.ObservablesRead: readings.observables_read,
    ev.ObservablesMissing: _observables_missing,
    ev.DatabaseProblem: _database_problem,
    ev.TimePassed: _time_passed,
    ev.Ended: _ended,
    ev.RunRecorded: troubles.recorded,
    ev.RunEdited: settings.run_edited,
    ev.Restored: restart.restored,
    ev.PutRefused: _put_refused,
}
