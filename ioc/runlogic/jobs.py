"""A job of the whole system goes through its stages one after the other, through each with all members at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ioc.model import Client, ConfigChoice, EccState, Operation
from ioc.runlogic.effects import SendTransition
from ioc.runlogic.events import TransitionEnded
from ioc.runlogic.state import About, Job, JobKind, Move, Phase, Server, Stage
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn
from ioc.states import sources, step_back, target

Begin = Callable[[Turn, Job], None]
"""Starts a phase: emits its effects and sets what the job waits for, or nothing if it is over at once."""

_NO_CONFIG = ConfigChoice("none", "none", "none")
"""For operations that ignore the configuration, on a server for which none was chosen: an empty name could kill it."""

NEEDS_CONFIG = frozenset({Operation.Describe, Operation.Prepare, Operation.Configure})


def launch(
    turn: Turn, kind: JobKind, name: str, stages: tuple[Stage, ...], *, token: int | None, client: Client
) -> None:
    """Make a job the system's job. It has not begun: `advance` does that."""
    turn.set(
        job=Job(id=turn.state.next_job, kind=kind, name=name, token=token, client=client, stages=stages),
        next_job=turn.state.next_job + 1,
    )


def begin_stage(turn: Turn, job: Job, phases: Mapping[Phase, Begin]) -> None:
    """Start the present stage of the job."""
    if isinstance(job.stage, Move):
        _begin_move(turn, job, job.stage)
    else:
        phases[job.stage](turn, job)


def arrived(turn: Turn, member: str, failure: str = "") -> None:
    """A member of the present stage is through, or failed. What does not follow the end of a run is said at once."""
    job = turn.job
    if failure and isinstance(job.stage, Move) and job.goes_on_after_failure:
        trouble(turn, About.Server, member, failure)
    turn.set_job(
        job,
        waiting=job.waiting - {member},
        failures=(*job.failures, failure) if failure else job.failures,
    )


def _begin_move(turn: Turn, job: Job, move: Move) -> None:
    turn.set_job(job, waiting=frozenset(move.servers))
    for name in move.servers:
        if turn.server(name).pending is None:
            send_or_skip(turn, name, move)


def send_or_skip(turn: Turn, name: str, move: Move) -> None:
    """Send a member of the stage what it must do, if its state allows that; say why not if it does not."""
    server = turn.server(name)
    job = turn.job
    reason = cannot(name, server, move.operation)
    if not reason:
        send(turn, name, move.operation, token=None)
    elif job.goes_on_after_failure and not server.busy and _cannot_run_on(server, move.operation):
        arrived(turn, name)  # it does not run: there is nothing to stop
    elif job.goes_on_after_failure and server.state is EccState.Unknown:
        arrived(turn, name, f"{reason}; its electronics may still send data")
    else:
        arrived(turn, name, reason)


def _cannot_run_on(server: Server, operation: Operation) -> bool:
    return server.state is not EccState.Unknown and target(operation, server.state) is None


def cannot(name: str, server: Server, action: str) -> str:
    """Say why a server cannot do an operation (or Reset) in its present state; empty if it can."""
    if server.busy:
        return f"ECC server {name} cannot {action}: it is {server.doing.name}, but must be at rest"
    if not server.online or server.state is EccState.Unknown:
        return f"ECC server {name} cannot {action}: it is Offline, but must be Online"
    if server.state is EccState.Off:
        return f"ECC server {name} cannot {action}: it is Off, a fault that needs the ECC server restarted"
    possible = [state for state in EccState if step_back(state)] if action == "Reset" else sources(Operation(action))
    if server.state not in possible:
        must = " or ".join(state.name for state in possible)
        return f"ECC server {name} cannot {action}: it is {server.state.name}, but must be {must}"
    if action in NEEDS_CONFIG and server.config is None:
        return (
            f"ECC server {name} cannot {action}: no configuration is selected; put describe/prepare/configure to Config"
        )
    return ""


def send(turn: Turn, name: str, operation: Operation, *, token: int | None) -> None:
    """Send one transition; only called for a server that is at rest, in a state that it leads on from."""
    server = turn.server(name)
    turn.set_server(name, pending=operation, wanted=target(operation, server.state), token=token)
    turn.emit(SendTransition(name, operation, server.config or _NO_CONFIG, turn.plan.servers[name].links))


def outcome(event: TransitionEnded, before: Server) -> str:
    """Return why a transition failed, in a sentence; empty if the server reads the new state.

    Only the state that is read afterwards counts: error code 0 is not success, and a lost reply is no failure.
    """
    name, operation, wanted = event.server, event.operation, before.wanted
    if event.reading is None:
        return f"ECC server {name}: {operation} sent, but its state cannot be read: {event.error or 'no answer'}"
    if wanted is not None and event.reading.state is wanted:
        return ""
    if event.error.startswith(f"ECC server {name} "):
        return event.error
    if event.error:
        return f"ECC server {name}: {operation} failed: {event.error}"
    must = wanted.name if wanted is not None else "another state"
    return (
        f"ECC server {name}: {operation} was answered with success, "
        f"but the state is {event.reading.state.name} instead of {must}"
    )
