"""The one next step of a shift: which command to give now, and what it will do, in a sentence."""

from __future__ import annotations

from ioc.model import EccState, NextStep, RunState, SystemState
from ioc.runlogic import permits, runs
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import State
from ioc.runlogic.turn import few, listing

_STEPS = {
    SystemState.Idle: NextStep.Describe,
    SystemState.Described: NextStep.Prepare,
    SystemState.Prepared: NextStep.Configure,
}
_NAMED = 3
"""The most servers that are named; of more, only the number is given."""


def next_step(plan: Plan, state: State) -> tuple[NextStep, str]:
    """Return the next step and what it will do; with Wait, what is missing."""
    if not state.restored or state.undecided:
        return NextStep.Wait, f"Wait: {permits.system_reason(state)}"
    if state.run.open:
        return _of_the_run(plan, state)
    if runs.awaits_hooks(state):
        return NextStep.Wait, f"Wait: {runs.hooks_awaited(plan, state)}; Stop cancels the start"
    if state.opening is not None or state.job is not None:
        return NextStep.Wait, f"Wait: {permits.system_reason(state)}"
    return _of_the_servers(plan, state)


def _of_the_run(plan: Plan, state: State) -> tuple[NextStep, str]:
    run = state.run
    name = f"run {run.number}{_quoted(run.title)}"
    match run.state:
        case RunState.Running:
            return NextStep.Stop, f"Stop {name}"
        case RunState.Paused if all(server.supports_resume for server in plan.servers.values()):
            return NextStep.Resume, f"Resume {name}"
        case RunState.Paused:
            return NextStep.Stop, f"Stop {name}, which cannot be resumed"
        case RunState.Filing if state.job is None:
            if running := [n for n, server in state.servers.items() if server.takes_data]:
                still = f"{_servers(running, len(state.servers))} still taking data"
                return NextStep.Stop, f"Stop run {run.number} again: {still}"
            waiting = listing(sorted(run.unfiled))
            return NextStep.Stop, f"File run {run.number}: the files of {waiting} are not in place yet"
        case _:
            return NextStep.Wait, f"Wait: run {run.number} is {run.state.name}"


def _of_the_servers(plan: Plan, state: State) -> tuple[NextStep, str]:
    servers = state.servers
    if trouble := _not_at_rest(state):
        return NextStep.Wait, trouble
    whole = state.whole
    if whole in _STEPS:
        step = _STEPS[whole]
        return step, f"{step.name} {_all(len(servers))}"
    if whole is not SystemState.Ready:
        return NextStep.Reset, f"Reset {_all(len(servers))}: {whole.name} although no run is open"
    if reasons := permits.grouped(plan, state):
        return NextStep.Wait, f"Not ready to start: {few(reasons, 2)}"
    if failed := [name for name, server in servers.items() if server.start_failed]:
        where = listing(failed) if len(failed) <= _NAMED else f"{len(failed)} of them"
        boards = "its board" if len(failed) == 1 else "their boards"
        why = f"Start failed at {where} ({'was' if len(failed) == 1 else 'were'} {boards} restarted?)"
        return NextStep.Reset, f"Reset {_all(len(servers))}, then Configure: {why}"
    return NextStep.Start, f"Start run {state.run.next_number}{_quoted(state.run.title)}"


def _not_at_rest(state: State) -> str:
    """Return what keeps all servers from doing the next step together; empty if nothing does."""
    servers = state.servers
    if silent := [n for n, each in servers.items() if each.state is EccState.Unknown or not each.online]:
        if gone := [name for name in silent if not servers[name].hangs]:
            return f"Start getEccSoapServer: {_servers(gone, len(servers))} Offline"
        subject = "it does" if len(silent) == 1 else "they do"
        return f"Restart getEccSoapServer: {_servers(silent, len(servers))} Offline, because {subject} not answer"
    if off := [name for name, server in servers.items() if server.state is EccState.Off]:
        return f"Restart getEccSoapServer: {_servers(off, len(servers))} Off, which is a fault"
    if busy := [name for name, server in servers.items() if server.busy]:
        return f"Wait: {_servers(busy, len(servers))} {servers[busy[0]].doing.name}"
    return _bring_together(state) if state.whole is SystemState.Mixed else ""


def _quoted(title: str) -> str:
    return f" “{title}”" if title else " without a title"


def _all(number: int) -> str:
    return "the ECC server" if number == 1 else f"all {number} ECC servers"


def _servers(names: list[str], total: int) -> str:
    """Return the servers and their verb."""
    if len(names) == 1:
        return f"ECC server {names[0]} is" if total > 1 else "the ECC server is"
    if len(names) == total:
        return f"all {total} ECC servers are"
    return f"{listing(names) if len(names) <= _NAMED else f'{len(names)} ECC servers'} are"


def _bring_together(state: State) -> str:
    """Return which servers are in another state than most."""
    by_state: dict[EccState, list[str]] = {}
    for name, server in state.servers.items():
        by_state.setdefault(server.state, []).append(name)
    most = max(by_state, key=lambda each: len(by_state[each]))
    odd = "; ".join(
        f"{_servers(names, len(state.servers))} {each.name}" for each, names in by_state.items() if each is not most
    )
    others = "the other is" if len(by_state[most]) == 1 else "the others are"
    return f"{odd}, {others} {most.name}: bring them to the same state on their pages"
