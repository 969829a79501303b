"""What stands in the way of a start, and of a step of the whole system: every reason, a sentence each."""

from __future__ import annotations

from ioc.model import EccState, RunState
from ioc.runlogic.plan import GIGABYTE, Plan
from ioc.runlogic.state import JobKind, Router, Server, State
from ioc.runlogic.turn import listing


def blocked_by(plan: Plan, state: State) -> tuple[str, ...]:
    """Return every reason why a run cannot start now; empty if it can."""
    if not state.restored:
        return ("the run database has not been read yet",)
    return (
        *_run_reasons(state),
        *(reason for name, server in state.servers.items() for reason in _server_reasons(name, server)),
        *(reason for name, router in state.routers.items() for reason in router_reasons(plan, state, name, router)),
        *(
            f"observable {name} is not connected, but this topology requires it"
            for name in plan.require
            if name in state.missing
        ),
    )


def _run_reasons(state: State) -> tuple[str, ...]:
    run = state.run
    if state.undecided:
        return (f"run {run.number} was open before the restart: waiting for every ECC server to say whether it runs",)
    if run.state is RunState.Filing and state.job is None:
        return (f"run {run.number} is not filed: {listing(sorted(run.unfiled))} must be organized first",)
    if run.open:
        return (f"run {run.number} is {run.state.name}: it must be stopped first",)
    if state.job is not None and state.job.kind is not JobKind.Start:
        return (f"{state.job.name} is under way",)
    return ()


def _server_reasons(name: str, server: Server) -> tuple[str, ...]:
    if server.state is EccState.Unknown or not server.online:
        return (f"ECC server {name} is Offline, but must be Online and Ready",)
    if server.state is EccState.Running:
        return (f"ECC server {name} is Running although no run is open: stop it, or Reset the system",)
    if server.busy:
        return (f"ECC server {name} is {server.doing.name}, but must be Ready and at rest",)
    if server.state is not EccState.Ready:
        return (f"ECC server {name} is {server.state.name}, but must be Ready",)
    return ()


def router_reasons(plan: Plan, state: State, name: str, router: Router) -> tuple[str, ...]:
    """Return why this router cannot take a run now."""
    facts = router.facts
    if facts is None or not facts.online:
        why = f" ({router.message.text})" if facts is None and router.message.text else ""
        return (f"router {name} is Offline, but must be Online{why}",)
    reasons: list[str] = []
    if router.filing:
        reasons.append(f"router {name} is being organized")
    elif not facts.work_dir:
        reasons.append(f"router {name}: its working directory cannot be told: {facts.problem or 'no reason given'}")
    elif facts.file_count:
        reasons.append(f"router {name} is Dirty with {facts.file_count} .graw files, but must be Clean: Organize it")
    if facts.run_dir_exists:
        reasons.append(
            f"router {name} already has a directory for run {state.run.next_number} of {state.experiment}, "
            "but it must not exist"
        )
    if facts.work_dir and facts.disk_free < plan.min_disk_free:
        reasons.append(
            f"router {name} has {facts.disk_free / GIGABYTE:.1f} GB of free disk, "
            f"but must have {plan.min_disk_free / GIGABYTE:g} GB"
        )
    return tuple(reasons)
