"""One ECC server: what is read of it, what one is told alone, changes that somebody else made."""

from __future__ import annotations

from dataclasses import replace

from ioc.errors import Refused
from ioc.model import EccReading, EccState, Operation, RunState, Severity, Transition
from ioc.runlogic import backup, jobs
from ioc.runlogic.effects import Answer, Log, SaveSetting
from ioc.runlogic.events import (
    ConfigsRead,
    SelectConfig,
    ServerAction,
    ServerCommand,
    ServerLost,
    ServerRead,
    TransitionEnded,
)
from ioc.runlogic.state import Move
from ioc.runlogic.turn import Turn, listing
from ioc.states import step_back

_TAKING_DATA = frozenset({RunState.Running, RunState.Paused})

_OUTSIDE_A_RUN = {
    ServerAction.Start: "it writes data that belong to no run",
    ServerAction.Stop: "no run was closed by this",
}


def read(turn: Turn, event: ServerRead) -> None:
    """Take a new reading; a change that we did not ask for is said so."""
    name, state = event.server, event.reading.state
    before = turn.server(name)
    _store(turn, name, event.reading)
    if not before.online:
        if before.seen:
            _back_again(turn, name, state)
    elif before.pending is None and before.state not in {state, EccState.Unknown}:
        _somebody_else(turn, name, before.state, state)


def _back_again(turn: Turn, name: str, state: EccState) -> None:
    run = turn.state.run
    text = f"ECC server {name} is Online again"
    if run.state in _TAKING_DATA and not turn.state.undecided and state not in {EccState.Running, EccState.Paused}:
        text += f", but it is {state.name} and takes no data"
        turn.say_server(name, text, Severity.MAJOR)
        turn.say_run(f"run {run.number}: {text}", Severity.MAJOR)
        return
    turn.emit(Log(Severity.NO_ALARM, f"ECC:{name}", text))
    if turn.server(name).pending is None:
        turn.set_server(name, message=turn.note("Online again"))


def _store(turn: Turn, name: str, reading: EccReading) -> None:
    before = turn.server(name)
    if (before.online, before.seen, before.state, before.transition) == (True, True, reading.state, reading.transition):
        return
    turn.set_server(
        name,
        state=reading.state,
        transition=reading.transition,
        online=True,
        seen=True,
        changed_at=reading.read_at if reading.state is not before.state else before.changed_at,
    )


def _somebody_else(turn: Turn, name: str, was: EccState, now: EccState) -> None:
    text = f"ECC server {name} went from {was.name} to {now.name} by itself or by another client"
    run = turn.state.run
    if run.state in _TAKING_DATA and was in {EccState.Running, EccState.Paused}:
        turn.say_server(name, text, Severity.MAJOR)
        turn.say_run(f"run {run.number}: {text}", Severity.MAJOR)
    elif now is EccState.Off:
        turn.say_server(name, f"{text}: a fault that needs the ECC server restarted", Severity.MAJOR)
    else:
        turn.say_server(name, text)


def lost(turn: Turn, event: ServerLost) -> None:
    """The state cannot be read: it is Unknown from now on."""
    before = turn.server(event.server)
    turn.set_server(
        event.server,
        state=EccState.Unknown,
        transition=Transition.NoTransition,
        online=False,
        seen=True,
        changed_at=turn.now if before.state is not EccState.Unknown else before.changed_at or turn.now,
    )
    if before.online or not before.seen:
        turn.say_server(event.server, event.reason, Severity.MAJOR)
        run = turn.state.run
        if run.state in _TAKING_DATA and not turn.state.undecided:
            turn.say_run(f"run {run.number}: {event.reason}", Severity.MAJOR)


def configs_read(turn: Turn, event: ConfigsRead) -> None:
    """Take the list of configurations that a server offers."""
    turn.set_server(event.server, offers=event.offers)


def command(turn: Turn, event: ServerCommand) -> None:
    """Send one server what was asked for.

    Raises:
        Refused: if its state does not allow it, or the system is busy with it.
    """
    name, action = event.server, event.action
    server = turn.server(name)
    job = turn.state.job
    if job is not None and any(isinstance(stage, Move) for stage in job.stages):
        raise Refused(f"ECC server {name} cannot {action}: {job.name} of the system is under way")
    if reason := jobs.cannot(name, server, action.value):
        raise Refused(reason)
    if action is ServerAction.Resume and not turn.plan.servers[name].supports_resume:
        raise Refused(
            f"ECC server {name} cannot Resume: the server crashes on it unless the topology says supports_resume: true"
        )
    operation = step_back(server.state) if action is ServerAction.Reset else Operation(action.value)
    assert operation is not None, "cannot() refuses states that have no step back"
    jobs.send(turn, name, operation, token=event.token)
    turn.emit(Log(Severity.NO_ALARM, f"ECC:{name}", f"{action} of ECC server {name} alone", event.client))


def ended(turn: Turn, event: TransitionEnded) -> str:
    """Take the outcome of a transition; returns why it failed, empty if it did not."""
    name = event.server
    before = turn.server(name)
    failure = jobs.outcome(event, before)
    if event.reading is not None:
        _store(turn, name, event.reading)
    else:
        turn.set_server(name, state=EccState.Unknown, transition=Transition.NoTransition, changed_at=turn.now)
    turn.set_server(name, pending=None, wanted=None, token=None)
    if failure:
        turn.say_server(name, failure, Severity.MAJOR)
    else:
        _succeeded(turn, event, alone=before.token is not None)
    if before.token is not None:
        turn.emit(Answer(before.token, failure))
    return failure


def _succeeded(turn: Turn, event: TransitionEnded, *, alone: bool) -> None:
    name, operation = event.server, event.operation
    if operation is Operation.Configure:
        turn.set_server(name, config_digest=event.config_digest)
    _remember_given(turn, name, operation)
    if operation is Operation.Configure:
        backup.at_configure(turn, name)
    text = f"{operation} done"
    aside = _OUTSIDE_A_RUN.get(ServerAction(operation.value)) if alone else None
    if aside and not turn.state.run.open:
        text += f": no run is open, {aside}"
    elif aside:
        text += f": run {turn.state.run.number} stays open"
    expected = set(turn.plan.servers[name].sources)
    described = set(event.sources)
    if operation is Operation.Describe and described and described != expected:
        text += (
            f", but the hardware description has {listing(sorted(described))} "
            f"where the topology has {listing(sorted(expected))}"
        )
        turn.say_server(name, text, Severity.MINOR)
    elif alone:
        turn.say_server(name, text)
    else:  # the job says it once for all, lest the log be nothing else
        turn.set_server(name, message=turn.note(text))


def _remember_given(turn: Turn, name: str, operation: Operation) -> None:
    """Each of the three files is that of the transition that reads it, whatever is selected afterwards."""
    server = turn.server(name)
    selected = server.config
    if selected is None:
        return
    before = server.given or selected
    given = {
        Operation.Describe: selected,
        Operation.Prepare: replace(before, prepare=selected.prepare),
        Operation.Configure: replace(before, configure=selected.configure),
    }.get(operation, server.given)
    turn.set_server(name, given=given)


def select_config(turn: Turn, event: SelectConfig) -> None:
    """Choose the configuration of one server.

    Raises:
        Refused: while a transition of this server runs, or while it takes data.
    """
    name = event.server
    server = turn.server(name)
    if server.busy or turn.state.run.open:
        doing = server.doing.name if server.busy else f"used by run {turn.state.run.number}"
        raise Refused(f"configuration of ECC server {name} cannot be changed: it is {doing}")
    turn.set_server(name, config=event.config)
    text = f"configuration {event.config} selected"
    if event.config not in server.offers:
        text += ", which the server does not list"
    if server.state not in {EccState.Idle, EccState.Unknown}:
        text += f"; the server is {server.state.name}: Reset and Describe again for it to take effect"
    turn.set_server(name, message=turn.note(text, server.message.severity))
    turn.emit(
        Log(Severity.NO_ALARM, f"ECC:{name}", text, event.client), SaveSetting(f"config:{name}", str(event.config))
    )
    turn.done(event)
