"""One ECC server: its readings, commands to it alone, and changes made by other clients."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import ConfigChoice, EccReading, EccState, Operation, RunState, Severity, Transition
from ioc.runlogic import backup, datalinks, jobs, memory
from ioc.runlogic.events import (
    ConfigsLost,
    ConfigsRead,
    SelectConfig,
    ServerCommand,
    ServerLost,
    ServerRead,
    TransitionEnded,
)
from ioc.runlogic.state import About, Cause, Job, Move, Server
from ioc.runlogic.subject import ecc
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, listing
from ioc.states import RUNNING, sent

_ENDING = frozenset({RunState.Stopping, RunState.Filing})

_OUTSIDE_A_RUN = {
    Operation.Start: "it writes data that belong to no run",
    Operation.Stop: "this closes no run",
}


def read(turn: Turn, event: ServerRead) -> None:
    """Take a new reading and report a change that the IOC did not request."""
    name, state = event.server, event.reading.state
    before = turn.server(name)
    _store(turn, name, event.reading)
    if not before.online:
        if before.seen:
            _back_again(turn, name, state)
    elif before.pending is None and before.state not in {state, EccState.Unknown}:
        _somebody_else(turn, name, before.state, state)
    _stop_what_runs_on(turn, name, before)


def _back_again(turn: Turn, name: str, state: EccState) -> None:
    run = turn.state.run
    text = f"ECC server {name} is Online again"
    if run.takes_data and not turn.state.undecided and state not in RUNNING:
        text = f"ECC server {name} is Online again, but {_with_remedy(state)}: it takes no data"
        turn.say(ecc(name), text, Severity.MAJOR)
        trouble(turn, About.Server, name, text)
        return
    if run.state not in _ENDING or _at_rest(turn.server(name)):
        mend(turn, About.Server, name, f"{text}, {state.name}")
    if state in RUNNING and turn.state.restored and not run.open:
        turn.say(ecc(name), f"{text} and {state.name} although no run is open: press its Stop", Severity.MAJOR)
        return
    turn.log(ecc(name), text)
    if turn.server(name).pending is None:
        turn.set_server(name, message=turn.note("Online again"))


def _with_remedy(state: EccState) -> str:
    return "Off (a fault: restart the ECC server)" if state is EccState.Off else state.name


def _stop_what_runs_on(turn: Turn, name: str, before: Server) -> None:
    """A server that runs although its run is being stopped is stopped again, or a message asks the operator to stop it.

    It was unreachable when the others were stopped, or another client has started it since.
    """
    server, run, job = turn.server(name), turn.state.run, turn.state.job
    if run.state not in _ENDING or turn.state.undecided or server.busy:
        return
    if not server.takes_data:
        if _at_rest(server):
            mend(turn, About.Server, name, f"ECC server {name} is {server.state.name}")
        return
    if before.online and before.takes_data and not before.busy:
        return  # already reported
    if job is None:
        text = f"ECC server {name} is {server.state.name} although run {run.number} was stopped: press Stop of the run"
    elif not _will_be_stopped(job, name):
        text = f"ECC server {name} was {server.state.name} although run {run.number} was stopped: stopping it again"
        jobs.send(turn, name, Operation.Stop)
    else:
        return
    turn.say(ecc(name), text, Severity.MAJOR)
    trouble(turn, About.Server, name, text, cause=Cause.StillRunning)


def _at_rest(server: Server) -> bool:
    """Whether a server and its electronics take no data after a run: it was stopped, or broken up."""
    return not server.sending and server.state in {EccState.Ready, EccState.Prepared}


def _follow_electronics(turn: Turn, name: str, was: EccState, now: EccState) -> None:
    """Note whether the electronics send data.

    Ready shows that they do not only after Stop. After Configure of a restarted server they may still send.
    """
    if now in RUNNING:
        turn.set_server(name, sending=True)
    elif now is EccState.Ready and was in {*RUNNING, EccState.Unknown}:
        turn.set_server(name, sending=False)  # Stop
    elif now is EccState.Prepared and was in {*RUNNING, EccState.Ready}:
        turn.set_server(name, sending=False)  # Breakup


def data_ended(turn: Turn, router: str) -> None:
    """The files of a router no longer grow: the servers whose data go there and nowhere else send none."""
    for name in turn.plan.servers_of(router):
        server = turn.server(name)
        if any(link.router in turn.state.run.unfiled - {router} for link in turn.plan.servers[name].links):
            continue
        if server.sending and not server.takes_data:
            turn.set_server(name, sending=False)
            if server.state is EccState.Ready:
                mend(turn, About.Server, name, f"ECC server {name} is {server.state.name} and sends no data")


def _will_be_stopped(job: Job, name: str) -> bool:
    """Whether a server is still to be handled by the job."""
    present = job.stage
    if isinstance(present, Move) and name in (job.waiting if job.begun else present.servers):
        return True
    return any(isinstance(stage, Move) and name in stage.servers for stage in job.stages[1:])


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
        hangs=False,
        start_failed=before.start_failed and reading.state is EccState.Ready,
        changed_at=reading.read_at if reading.state is not before.state else before.changed_at,
    )
    _follow_electronics(turn, name, before.state, reading.state)
    datalinks.state_changed(turn, name, before.state, reading.state)


def _somebody_else(turn: Turn, name: str, was: EccState, now: EccState) -> None:
    text = f"ECC server {name} changed from {was.name} to {now.name} without a command of this IOC"
    if now is EccState.Off:
        text += ", a fault: restart the ECC server"
    run = turn.state.run
    if run.state is RunState.Running and now is EccState.Running:
        turn.say(ecc(name), text)
        mend(turn, About.Server, name, f"ECC server {name} is {now.name} again")
    elif run.takes_data and (was in RUNNING or now is EccState.Off):
        turn.say(ecc(name), text, Severity.MAJOR)
        trouble(turn, About.Server, name, text)
    else:
        turn.say(ecc(name), text, Severity.MAJOR if now is EccState.Off else Severity.NO_ALARM)


def lost(turn: Turn, event: ServerLost) -> None:
    """The state cannot be read: it becomes Unknown."""
    before = turn.server(event.server)
    turn.set_server(
        event.server,
        state=EccState.Unknown,
        transition=Transition.NoTransition,
        online=False,
        seen=True,
        hangs=before.hangs if event.hangs is None else event.hangs,
        list_read=False,
        list_failed=False,
        changed_at=turn.now if before.state is not EccState.Unknown else before.changed_at or turn.now,
    )
    if before.online or not before.seen:
        turn.say(ecc(event.server), event.reason, Severity.MAJOR)
        if turn.state.run.may_write and not turn.state.undecided:
            trouble(turn, About.Server, event.server, event.reason)


def configs_read(turn: Turn, event: ConfigsRead) -> None:
    """Take the list of configurations that a server offers."""
    server = turn.server(event.server)
    had_none = server.list_read and not server.offers
    if not event.offers and not had_none:
        text = "the server lists no configuration: is its folder (--config-repo-url) there?"
        turn.say(ecc(event.server), text, max(Severity.MINOR, server.message.severity))
    elif event.offers and (server.list_failed or had_none):
        turn.say(ecc(event.server), "list of configurations read again")
    turn.set_server(event.server, offers=event.offers, list_read=True, list_failed=False)


def configs_lost(turn: Turn, event: ConfigsLost) -> None:
    """The list cannot be read: keep the previous one."""
    server = turn.server(event.server)
    if not server.list_failed:
        turn.say(ecc(event.server), event.reason, max(Severity.MINOR, server.message.severity))
    turn.set_server(event.server, list_read=False, list_failed=True)


def command(turn: Turn, event: ServerCommand) -> None:
    """Send one server the requested operation."""
    name, operation = event.server, event.operation
    server = turn.server(name)
    run, job = turn.state.run, turn.state.job
    if job is not None and any(isinstance(stage, Move) for stage in job.stages):
        raise Refused(f"ECC server {name} cannot {operation}: {job.name} of the system is under way")
    if operation in {Operation.Start, Operation.Resume} and run.state in _ENDING:
        raise Refused(
            f"ECC server {name} cannot {operation}: run {run.number} is {run.state.name}, but must be closed first, "
            "or new data would be filed with it"
        )
    if reason := jobs.cannot(name, server, operation):
        raise Refused(reason)
    if operation is Operation.Resume and not turn.plan.servers[name].supports_resume:
        raise Refused(
            f"ECC server {name} cannot Resume: the server crashes on it unless the topology says supports_resume: true"
        )
    on_wire = sent(operation, server.state)
    assert on_wire is not None, "cannot() refuses states without a step back"
    jobs.send(turn, name, on_wire, event)
    turn.log(ecc(name), f"{operation} of ECC server {name} alone", client=event.client)


def ended(turn: Turn, event: TransitionEnded) -> str:
    """Take the outcome of a transition; returns why it failed, empty if it succeeded."""
    name = event.server
    before = turn.server(name)
    failure = jobs.outcome(event, before)
    if event.reading is not None:
        _store(turn, name, event.reading)
    else:
        turn.set_server(name, state=EccState.Unknown, transition=Transition.NoTransition, changed_at=turn.now)
    turn.set_server(name, pending=None, wanted=None, command=None)
    if failure:
        turn.say(ecc(name), failure, Severity.MAJOR)
        at_rest_again = turn.server(name).state is EccState.Ready and not turn.server(name).busy
        turn.set_server(name, start_failed=event.operation is Operation.Start and at_rest_again)
    else:
        _succeeded(turn, event, alone=before.command is not None)
        if turn.state.run.state in _ENDING and _at_rest(turn.server(name)):
            mend(turn, About.Server, name, f"ECC server {name} is {turn.server(name).state.name}")
        elif turn.state.run.state.name == turn.server(name).state.name:
            mend(turn, About.Server, name, f"ECC server {name} is {turn.server(name).state.name} again")
    _say_lost_in_run(turn, name, before, event.operation)
    if before.command is not None:
        datalinks.look(turn)
        turn.answer(before.command, failure)
    return failure


def _say_lost_in_run(turn: Turn, name: str, before: Server, operation: Operation) -> None:
    """A command to one server alone, or its outcome, may mean a gap in the data of the open run."""
    now, taking = turn.server(name).state, turn.state.run.takes_data
    if now is EccState.Off and before.state is not EccState.Off:
        text = f"ECC server {name} is Off after {operation}, a fault: restart the ECC server"
        turn.say(ecc(name), text, Severity.MAJOR)
        trouble(turn, About.Server, name, text)
    elif before.command is not None and taking and before.state is EccState.Running and now is not EccState.Running:
        text = f"ECC server {name} is {now.name} after a {operation} of this server alone, and takes no data"
        trouble(turn, About.Server, name, text)


def _succeeded(turn: Turn, event: TransitionEnded, *, alone: bool) -> None:
    name, operation = event.server, event.operation
    if operation is Operation.Configure:
        turn.set_server(name, config_digest=event.config_digest)
    _remember_given(turn, name, operation)
    if operation is Operation.Configure:
        backup.remember(turn, name)
        backup.at_configure(turn, name)
    text = f"{operation} done" + (f", with the error: {event.error}" if event.error else "")
    aside = _OUTSIDE_A_RUN.get(operation) if alone else None
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
        turn.say(ecc(name), text, Severity.MINOR)
    elif event.error:
        turn.say(ecc(name), text, Severity.MINOR)
    elif alone:
        turn.say(ecc(name), text)
    else:  # the job logs it once for all servers
        turn.set_server(name, message=turn.note(text))


def _remember_given(turn: Turn, name: str, operation: Operation) -> None:
    """Each of the three files is the one that was selected when the transition that reads it was sent."""
    server = turn.server(name)
    selected = server.config
    if selected is None:
        return
    before = server.given or selected
    if operation is Operation.Describe:
        turn.set_server(name, given=selected)
    elif operation is Operation.Prepare:
        turn.set_server(name, given=ConfigChoice(before.describe, selected.prepare, before.configure))
    elif operation is Operation.Configure:
        turn.set_server(name, given=ConfigChoice(before.describe, before.prepare, selected.configure))


def select_config(turn: Turn, event: SelectConfig) -> None:
    """Choose the configuration of one server."""
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
        text += f"; the server is {server.state.name}: it takes effect with the next step"
    warnings = _not_loaded(event.config)
    text += "".join(f"; {warning}" for warning in warnings)
    # A failed transition stays an alarm; a warning of an earlier choice does not.
    failed = server.message.severity >= Severity.MAJOR
    severity = server.message.severity if failed else Severity.MINOR if warnings else Severity.NO_ALARM
    turn.say(ecc(name), text, severity, event.client)
    turn.emit(memory.CONFIG.save(event.config, name))
    turn.answer(event)


def _not_loaded(config: ConfigChoice) -> list[str]:
    """Return what is wrong with names that the server lists, but cannot load."""
    names = dict.fromkeys(config.parts)
    dotted = [name for name in names if "." in name]
    spaced = [f"“{name}”" for name in names if " " in name]
    warnings: list[str] = []
    if dotted:
        cut = listing([_cut(name) for name in dotted])
        warnings.append(f"the server cuts a name at its last dot: it will look for {cut} instead of {listing(dotted)}")
    if spaced:
        warnings.append(f"the server cannot load a name with a space: rename {listing(spaced)}")
    return warnings


def _cut(name: str) -> str:
    return name.rpartition(".")[0] or "nothing"
