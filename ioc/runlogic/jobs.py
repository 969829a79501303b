"""A job of the whole system: its stages run one after the other, each with all its members at once.

A stage is a group of servers that makes one transition (`Move`), or a part of a run's life (`Phase`). What a stage
begins is in `Job.waiting` until `arrived` reports its end; the job continues when `waiting` is empty. A job that starts
something halts at the first stage with a failure; one that ends something continues and collects failures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ioc.model import ConfigChoice, EccState, Operation
from ioc.runlogic.effects import SendTransition
from ioc.runlogic.events import Command, TransitionEnded
from ioc.runlogic.state import About, Job, JobKind, Move, Phase, Server, Stage
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn
from ioc.states import sources, target

Begin = Callable[[Turn], None]
"""Starts a phase: emits its effects and sets what the job waits for; nothing if the phase ends at once."""

_NO_CONFIG = ConfigChoice("none", "none", "none")
"""Sent with operations that ignore the configuration if none was selected: an empty name could kill the server."""

ROUTERS = "all routers"
"""What a job waits for while all routers are looked at."""

NEEDS_CONFIG = frozenset({Operation.Describe, Operation.Prepare, Operation.Configure})


def launch(
    turn: Turn,
    kind: JobKind,
    name: str,
    stages: tuple[Stage, ...],
    *,
    command: Command | None = None,
    failures: tuple[str, ...] = (),
) -> None:
    """Make a job the system's job; `step` begins it."""
    number = turn.state.next_job
    job = Job(id=number, kind=kind, name=name, command=command, stages=stages, failures=failures)
    turn.set(job=job, next_job=number + 1)


def begin_stage(turn: Turn, phases: Mapping[Phase, Begin]) -> None:
    turn.set_job(begun=True)
    stage = turn.job.stage
    if not isinstance(stage, Move):
        phases[stage](turn)
        return
    turn.set_job(waiting=frozenset(stage.servers))
    for name in stage.servers:
        if turn.server(name).pending is None:
            send_or_skip(turn, name, stage)


def arrived(turn: Turn, member: str, failure: str = "") -> None:
    """A member of the current stage is done or failed. A server that does not stop with the run is reported at once."""
    job = turn.job
    if failure and isinstance(job.stage, Move) and job.goes_on_after_failure:
        trouble(turn, About.Server, member, failure)
    turn.set_job(
        waiting=job.waiting - {member},
        failures=(*job.failures, failure) if failure else job.failures,
    )


def send_or_skip(turn: Turn, name: str, move: Move) -> None:
    """Send a member of the stage its operation if its state allows it; otherwise report why not."""
    server, job = turn.server(name), turn.job
    reason = cannot(name, server, move.operation)
    if not reason:
        send(turn, name, move.operation)
    elif not job.goes_on_after_failure or server.busy:
        arrived(turn, name, reason)
    elif server.state is EccState.Unknown:
        arrived(turn, name, f"{reason}; its electronics may still send data")
    elif target(move.operation, server.state) is None:
        arrived(turn, name)  # it does not run: there is nothing to stop
    else:
        arrived(turn, name, reason)


def cannot(name: str, server: Server, operation: Operation) -> str:
    """Return why a server cannot do an operation in its current state; empty if it can."""
    if doing := "being restarted" if server.restart is not None else server.doing.name if server.busy else "":
        return f"ECC server {name} cannot {operation}: it is {doing}, but must be at rest"
    if not server.online or server.state is EccState.Unknown:
        return f"ECC server {name} cannot {operation}: it is Offline, but must be Online"
    if server.state is EccState.Off:
        return f"ECC server {name} cannot {operation}: it is Off, a fault: restart the ECC server"
    if target(operation, server.state) is None:
        must = " or ".join(state.name for state in sources(operation))
        return f"ECC server {name} cannot {operation}: it is {server.state.name}, but must be {must}"
    if operation in NEEDS_CONFIG and server.config is None:
        return (
            f"ECC server {name} cannot {operation}: no configuration is selected; "
            "set Config to describe/prepare/configure"
        )
    return ""


def send(turn: Turn, name: str, operation: Operation, command: Command | None = None) -> None:
    """Send one transition; only called for a server that is at rest and in a state from which it is possible."""
    server = turn.server(name)
    turn.set_server(name, pending=operation, wanted=target(operation, server.state), command=command)
    turn.emit(SendTransition(name, operation, server.config or _NO_CONFIG, turn.plan.servers[name].links))


def outcome(event: TransitionEnded, before: Server) -> str:
    """Return why a transition failed, in a sentence; empty if the server reads the new state.

    Only the state that is read afterwards counts: error code 0 does not mean success, a lost reply does not mean
    failure.
    """
    name, operation, wanted = event.server, event.operation, before.wanted
    if event.reading is None:
        return f"ECC server {name}: {operation} sent, but its state cannot be read: {event.error or 'no answer'}"
    if wanted is not None and event.reading.state is wanted:
        return ""
    if event.error:
        return event.error
    must = wanted.name if wanted is not None else "another state"
    return (
        f"ECC server {name}: {operation} was reported as done, "
        f"but the state is {event.reading.state.name} instead of {must}"
    )
