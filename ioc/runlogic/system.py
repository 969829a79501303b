"""Describe, Prepare, Configure and Reset of all ECC servers, group by group."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import EccState, Operation, RunState, Severity, SystemState
from ioc.runlogic import datalinks, jobs, permits
from ioc.runlogic.events import SystemCommand
from ioc.runlogic.state import Job, JobKind, Move
from ioc.runlogic.subject import SYSTEM
from ioc.runlogic.turn import Turn, listing
from ioc.states import sent, sources


def command(turn: Turn, event: SystemCommand) -> None:
    """Begin one step of the whole system."""
    operation = event.operation
    if reason := permits.system_reason(turn.state):
        raise Refused(f"system cannot {operation}: {reason}")
    states = {server.state for server in turn.state.servers.values()}
    if operation is Operation.Reset and turn.state.run.state is RunState.Failed:
        turn.set_run(state=RunState.Stopped, message=turn.note(""))
        if states == {EccState.Idle}:
            turn.say(
                SYSTEM, "Reset done: the failed run is acknowledged, every ECC server is Idle", client=event.client
            )
            turn.answer(event)
            return
    _refuse_if_servers_differ(turn, operation)
    [state] = states
    if operation is Operation.Reset and state is EccState.Idle:
        raise Refused("system cannot Reset: every ECC server is Idle already")
    if reasons := [
        reason for name, server in turn.state.servers.items() if (reason := jobs.cannot(name, server, operation))
    ]:
        raise Refused("; ".join(reasons))
    on_wire = sent(operation, state)
    assert on_wire is not None, "cannot() refuses states without a step back"
    moves = tuple(Move(on_wire, group) for group in turn.plan.groups(on_wire))
    jobs.launch(turn, JobKind.Step, operation.value, moves, command=event)
    turn.say(SYSTEM, f"{operation} started", client=event.client)


def _refuse_if_servers_differ(turn: Turn, operation: Operation) -> None:
    servers = turn.state.servers
    unknown = [name for name, server in servers.items() if server.state is EccState.Unknown or not server.online]
    if unknown:
        names = listing(unknown)
        raise Refused(f"system cannot {operation}: {names} cannot be read, but every ECC server must be Online")
    if turn.state.whole is not SystemState.Mixed:
        return
    by_state: dict[EccState, list[str]] = {}
    for name, server in servers.items():
        by_state.setdefault(server.state, []).append(name)
    if operation is Operation.Reset:
        must, wanted = "in one state", max(by_state, key=lambda state: len(by_state[state]))
    else:
        wanted = sources(operation)[0]
        must = wanted.name
    differ = ", ".join(
        f"{listing(names)} {'is' if len(names) == 1 else 'are'} {state.name}"
        for state, names in by_state.items()
        if state is not wanted
    )
    raise Refused(f"system cannot {operation}: it is Mixed, but every ECC server must be {must}: {differ}")


def finish(turn: Turn, job: Job) -> None:
    """Answer the command; name what failed and the servers that were left alone."""
    turn.set(job=None)
    datalinks.look(turn)
    if not job.failures:
        turn.say(SYSTEM, f"{job.name} done: every ECC server is {turn.state.whole.name}", client=job.client)
        turn.answer(job.command)
        return
    untouched = [name for stage in job.stages[1:] if isinstance(stage, Move) for name in stage.servers]
    left = f"; {listing(untouched)} not touched" if untouched else ""
    text = f"{job.name} failed: {'; '.join(job.failures)}{left}"
    turn.say(SYSTEM, text, Severity.MAJOR, job.client)
    turn.answer(job.command, text)
