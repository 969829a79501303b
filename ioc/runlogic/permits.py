"""What forbids a start or a step of the whole system: every reason, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from ioc.model import EccState, InterlockState, RunState
from ioc.runlogic import datalinks
from ioc.runlogic.plan import GIGABYTE, Plan
from ioc.runlogic.state import Router, Server, State
from ioc.runlogic.turn import listing

NOT_READ = "the run database has not been read yet"


def blocked_by(plan: Plan, state: State) -> tuple[str, ...]:
    """Return every reason why a run cannot start now; empty if it can."""
    under_way = state.run.open and not _waits_for_organize(state)
    return (
        *filter(None, (system_reason(state), _database_reason(state))),
        *(
            reason
            for name, server in state.servers.items()
            for reason in _server_reasons(state, name, server, under_way=under_way)
        ),
        *(
            reason
            for name, router in state.routers.items()
            for reason in _router_reasons(plan, state, name, router, under_way=under_way)
        ),
        *(
            f"observable {name} is not connected, but this topology requires it"
            for name in plan.require
            if name in state.missing
        ),
        *_interlock_reasons(plan, state),
    )


def _interlock_reasons(plan: Plan, state: State) -> Iterator[str]:
    for name, each in plan.interlocks.items():
        now = state.interlocks[name]
        if not each.forbids_start or now.state is InterlockState.Bypassed:
            continue
        if now.state is InterlockState.Tripped:
            clearing = "" if now.inside_since is None else f", inside again, but not yet for {each.clear_seconds:g} s"
            yield f"interlock {name}: {now.reason}{clearing}"
        elif each.watches not in state.readings and not each.in_run_only:
            yield f"interlock {name}: {each.what} has no value yet"


def _database_reason(state: State) -> str:
    problem = state.database_problem
    return f"the run database cannot be written: {problem}" if problem and state.restored else ""


def system_reason(state: State) -> str:
    """Return why nothing new can begin for the whole system, such as an open run or a job under way; else empty."""
    if not state.restored:
        return NOT_READ
    if state.run.open:
        return _open_run(state)
    if state.opening is not None:
        return "another experiment is being opened"
    return f"{state.job.name} is under way" if state.job is not None else ""


def _open_run(state: State) -> str:
    run = state.run
    if state.undecided:
        silent = [name for name, server in state.servers.items() if server.busy or server.state is EccState.Unknown]
        return f"run {run.number} was open before the restart: {listing(silent)} must show whether it still runs"
    if _waits_for_organize(state):
        return f"run {run.number} is not filed: {listing(sorted(run.unfiled))} must be filed first"
    if filing := [name for name, router in state.routers.items() if router.filing]:
        return f"run {run.number} is {run.state.name}: {listing(filing)} must be filed first"
    if run.state in {RunState.Stopping, RunState.Filing}:
        return f"run {run.number} is {run.state.name}: wait until that is done"
    return f"run {run.number} is {run.state.name}: it must be stopped first"


def _waits_for_organize(state: State) -> bool:
    return state.run.state is RunState.Filing and state.job is None


def _server_reasons(state: State, name: str, server: Server, *, under_way: bool) -> tuple[str, ...]:
    if server.state is EccState.Unknown or not server.online:
        return (f"ECC server {name} is Offline, but must be Online and Ready",)
    if under_way:
        return ()  # its state belongs to the open run
    if server.state is EccState.Running and state.restored and not state.run.open:
        return (f"ECC server {name} is Running although no run is open: stop it, or Reset the system",)
    if server.busy:
        return (f"ECC server {name} is {server.doing.name}, but must be Ready and at rest",)
    if server.state is not EccState.Ready:
        return (f"ECC server {name} is {server.state.name}, but must be Ready",)
    return ()


def _router_reasons(plan: Plan, state: State, name: str, router: Router, *, under_way: bool) -> tuple[str, ...]:
    facts, servers = router.facts, plan.servers_of(name)
    if router.last is None and not router.lost:
        return (f"router {name} has not been checked yet",)
    if facts is None or not facts.online:
        why = f" ({router.message.text})" if facts is None and router.message.text else ""
        return (f"router {name} is Offline, but must be Online{why}",)
    reasons: list[str] = []
    if under_way:
        pass  # its files are those of the open run
    elif router.filing:
        reasons.append(f"router {name}: its files are being filed")
    elif not facts.work_dir:
        reasons.append(
            f"router {name}: its working directory cannot be determined: {facts.problem or 'no reason given'}"
        )
    elif facts.file_count:
        files = "1 .graw file" if facts.file_count == 1 else f"{facts.file_count} .graw files"
        reasons.append(f"router {name} is Dirty with {files}, but must be Clean: Organize it")
    if facts.run_dir_exists:
        reasons.append(
            f"router {name} already has a directory for run {state.run.next_number} of {state.experiment}, "
            f"but it must not exist: move it away, or set Run:NextNumber to a free number"
        )
    if router.restarted and not under_way and any(state.servers[name].state is EccState.Ready for name in servers):
        reasons.append(datalinks.lost(plan, name))
    if facts.work_dir and facts.disk_free < plan.min_disk_free:
        reasons.append(
            f"router {name} has {facts.disk_free / GIGABYTE:.1f} GB of free disk, "
            f"but must have {plan.min_disk_free / GIGABYTE:g} GB"
        )
    return tuple(reasons)
