"""Describe, Prepare, Configure and Reset of all ECC servers, group after group."""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import EccState, Operation, RunState, Severity, SystemState
from ioc.runlogic import datalinks, jobs, permits
from ioc.runlogic.effects import Answer
from ioc.runlogic.events import SystemCommand, SystemStep
from ioc.runlogic.state import Job, JobKind, Move
from ioc.runlogic.turn import Turn, listing
from ioc.states import aggregate, sources, step_back


def command(turn: Turn, event: SystemCommand) -> None:
    """Begin one step of the whole system.

    Raises:
        Refused: unless all servers are at rest in one and the same fitting state, and no run is open.
    """
    step = event.step
    if reason := permits.system_reason(turn.state):
        raise Refused(f"system cannot {step}: {reason}")
    if step is SystemStep.Reset and turn.state.run.state is RunState.Failed:
        turn.set_run(state=RunState.Stopped, message=turn.note(""))
        if _same_state(turn) is EccState.Idle:
            turn.say("Reset done: the failed run is acknowledged, every ECC server is Idle", client=event.client)
            turn.done(event)
            return
    state = _common_state(turn, step)
    operation = step_back(state) if step is SystemStep.Reset else Operation(step.value)
    if step is SystemStep.Reset and state is EccState.Idle:
        raise Refused("system cannot Reset: every ECC server is Idle already")
    if reasons := [
        reason for name, server in turn.state.servers.items() if (reason := jobs.cannot(name, server, step))
    ]:
        raise Refused("; ".join(reasons))
    assert operation is not None, "cannot() refuses states that have no step back"
    jobs.launch(
        turn,
        JobKind.Step,
        step.value,
        tuple(Move(operation, group) for group in turn.plan.groups(operation)),
        token=event.token,
        client=event.client,
    )
    turn.say(f"{step} begun", client=event.client)


def _same_state(turn: Turn) -> EccState | None:
    states = {server.state for server in turn.state.servers.values()}
    return states.pop() if len(states) == 1 else None


def _common_state(turn: Turn, step: SystemStep) -> EccState:
    servers = turn.state.servers
    whole = aggregate(server.state for server in servers.values())
    unknown = [name for name, server in servers.items() if server.state is EccState.Unknown or not server.online]
    if unknown:
        raise Refused(f"system cannot {step}: {listing(unknown)} cannot be read, but every ECC server must be Online")
    if whole is SystemState.Mixed:
        must = "in one state" if step is SystemStep.Reset else sources(Operation(step.value))[0].name
        differ = _who_differs(turn, None if step is SystemStep.Reset else sources(Operation(step.value))[0])
        raise Refused(f"system cannot {step}: it is Mixed, but every ECC server must be {must}: {differ}")
    return next(iter(servers.values())).state


def _who_differs(turn: Turn, wanted: EccState | None) -> str:
    by_state: dict[EccState, list[str]] = {}
    for name, server in turn.state.servers.items():
        by_state.setdefault(server.state, []).append(name)
    if wanted is None:
        wanted = max(by_state, key=lambda state: len(by_state[state]))
    parts = [
        f"{listing(names)} {'is' if len(names) == 1 else 'are'} {state.name}"
        for state, names in by_state.items()
        if state is not wanted
    ]
    return ", ".join(parts)


def finish(turn: Turn, job: Job) -> None:
    """Answer the step's command, naming what failed and who was left where."""
    turn.set(job=None)
    datalinks.look(turn)
    if not job.failures:
        text = f"{job.name} done: every ECC server is {_name_of_state(turn)}"
        turn.say(text, client=job.client)
    else:
        text = f"{job.name} failed: {'; '.join(job.failures)}{_left(job)}"
        turn.say(text, Severity.MAJOR, client=job.client)
    if job.token is not None:
        turn.emit(Answer(job.token, text if job.failures else ""))


def _name_of_state(turn: Turn) -> str:
    return aggregate(server.state for server in turn.state.servers.values()).name


def _left(job: Job) -> str:
    untouched = [name for stage in job.stages[1:] if isinstance(stage, Move) for name in stage.servers]
    return f"; {listing(untouched)} not touched" if untouched else ""
