"""Reasons that block a start or a step of the whole system, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ioc.model import EccState, InterlockState, Operation, PartnerState, RunState
from ioc.runlogic import datalinks
from ioc.runlogic.plan import GIGABYTE, Plan
from ioc.runlogic.state import Partner, Router, Server, State
from ioc.runlogic.turn import listing

NOT_READ = "the run database has not been read yet"


_FEW = 3
"""The most components of a group that are named; of more, only the number is given."""
_NEXT: dict[EccState, str] = {
    EccState.Idle: f"press {Operation.Describe}",
    EccState.Described: f"press {Operation.Prepare}",
    EccState.Prepared: f"press {Operation.Configure}",
    EccState.Paused: f"press {Operation.Reset}",
    EccState.Off: "restart getEccSoapServer",
}


@dataclass(frozen=True)
class Reason:
    """One reason not to start: a sentence, and what it has in common with the same reason of other components."""

    text: str
    kind: str = ""
    """``ECC server``, ``router``, ``observable`` or ``partner``; empty for a reason that stands alone."""
    name: str = ""
    condition: str = ""
    """The condition of the component, such as ``Idle``; the same condition makes a group."""
    advice: str = ""
    """What to do about it."""
    for_several: str = ""
    """The same for several components; empty if it is the same sentence."""


def blocked_by(plan: Plan, state: State) -> tuple[str, ...]:
    """Return every reason why a run cannot start now; empty if it can."""
    return tuple(reason.text for reason in reasons(plan, state))


def grouped(plan: Plan, state: State) -> tuple[str, ...]:
    """Return the same reasons with one sentence for all components of a kind in the same condition."""
    return group(state, reasons(plan, state))


def group(state: State, found: tuple[Reason, ...]) -> tuple[str, ...]:
    """Return one sentence for all reasons of a kind of component in the same condition."""
    groups: dict[tuple[str, str, str], list[Reason]] = {}
    for reason in found:
        key = (reason.kind, reason.condition, reason.advice) if reason.kind else (reason.text, "", "")
        groups.setdefault(key, []).append(reason)
    totals = {"ECC server": len(state.servers), "router": len(state.routers), "partner": len(state.partners)}
    return tuple(_group(members, totals.get(members[0].kind, 0)) for members in groups.values())


def _group(members: list[Reason], total: int) -> str:
    first, number = members[0], len(members)
    if not first.kind:
        return first.text
    names = [member.name for member in members]
    if number == 1:
        who = f"{first.kind} {names[0]} is"
    elif number == total:
        who = f"all {number} {first.kind}s are"
    elif number <= _FEW:
        who = f"{first.kind}s {listing(names)} are"
    else:
        who = f"{number} {first.kind}s are"
    advice = first.for_several if first.for_several and number > 1 else first.advice
    return f"{who} {first.condition}" + (f": {advice}" if advice else "")


def reasons(plan: Plan, state: State) -> tuple[Reason, ...]:
    """Return every reason why a run cannot start now; empty if it can."""
    return tuple(_reasons(plan, state))


def _reasons(plan: Plan, state: State) -> Iterator[Reason]:
    under_way = state.run.open and not _waits_for_organize(state)
    yield from (Reason(text) for text in (system_reason(state), _database_reason(state)) if text)
    for name, server in state.servers.items():
        yield from _server_reasons(state, name, server, under_way=under_way)
    for name, router in state.routers.items():
        yield from _router_reasons(plan, state, name, router, under_way=under_way)
    for name in plan.require:
        if name in state.missing:
            text = f"observable {name} is not connected, but this topology requires it"
            yield Reason(text, "observable", name, "not connected", "runs require it")
    yield from _interlock_reasons(plan, state)
    for name, partner in state.partners.items():
        yield from _partner_reasons(name, partner, under_way=under_way)


def _interlock_reasons(plan: Plan, state: State) -> Iterator[Reason]:
    for name, each in plan.interlocks.items():
        now = state.interlocks[name]
        if not each.forbids_start or now.state is InterlockState.Bypassed:
            continue
        if now.state is InterlockState.Tripped:
            clearing = f"inside again, but must stay so for {each.clear_seconds:g} s (tripped: {now.reason})"
            yield Reason(f"interlock {name}: {now.reason if now.inside_since is None else clearing}")
        elif each.watches not in state.readings and not each.in_run_only:
            yield Reason(f"interlock {name}: {each.what} has no value yet")


def _partner_reasons(name: str, partner: Partner, *, under_way: bool) -> Iterator[Reason]:
    match partner.state:
        case PartnerState.Unknown:
            yield Reason(f"partner {name} has not been asked yet", "partner", name, "not asked yet", "wait")
        case PartnerState.Offline:
            why = f" ({partner.message.text})" if partner.message.text else ""
            text = f"partner {name} is Offline, but must be Online and Halted{why}"
            yield Reason(text, "partner", name, "Offline", "start its ReadoutGUI", "start their ReadoutGUIs")
        case PartnerState.Active if not under_way:
            advice = "press End in its ReadoutGUI"
            text = f"partner {name} is Active already, but must be Halted: {advice}"
            yield Reason(text, "partner", name, "Active already", advice, "press End in their ReadoutGUIs")
        case _:
            pass  # its state belongs to the open run


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


def _server_reasons(state: State, name: str, server: Server, *, under_way: bool) -> Iterator[Reason]:
    def reason(text: str, condition: str, advice: str, for_several: str = "") -> Reason:
        return Reason(f"ECC server {name} is {text}", "ECC server", name, condition, advice, for_several)

    if server.restart is not None:
        yield reason("being restarted", "being restarted", "wait")
    elif server.state is EccState.Unknown or not server.online:
        start = f"{'restart' if server.hangs else 'start'} getEccSoapServer on"
        text = "Offline, but must be Online and Ready"
        yield reason(text, "Offline", f"{start} its host", f"{start} their hosts")
    elif under_way:
        pass  # its state belongs to the open run
    elif server.state is EccState.Running and state.restored and not state.run.open:
        condition = "Running although no run is open"
        text = f"{condition}: stop it, or Reset the system"
        yield reason(text, condition, "stop it, or press Reset", "stop them, or press Reset")
    elif server.busy:
        yield reason(f"{server.doing.name}, but must be Ready and at rest", server.doing.name, "wait")
    elif server.state is not EccState.Ready:
        is_now = server.state.name
        yield reason(f"{is_now}, but must be Ready", is_now, _NEXT.get(server.state, ""))


def _router_reasons(plan: Plan, state: State, name: str, router: Router, *, under_way: bool) -> Iterator[Reason]:
    facts = router.facts

    def reason(text: str, condition: str, advice: str = "", for_several: str = "") -> Reason:
        return Reason(f"router {name}{text}", "router", name, condition, advice, for_several)

    if router.restart is not None:
        yield reason(" is being restarted", "being restarted", "wait")
        return
    if router.last is None and not router.lost:
        yield reason(" has not been checked yet", "not checked yet", "wait")
        return
    if facts is None or not facts.online:
        why = f" ({router.message.text})" if facts is None and router.message.text else ""
        advice = (
            ("start dataRouter on its host", "start dataRouter on their hosts")
            if facts is not None
            else ("the host cannot be reached", "their hosts cannot be reached")
        )
        yield reason(f" is Offline, but must be Online{why}", "Offline", *advice)
        return
    if under_way:
        pass  # its files are those of the open run
    elif router.filing:
        yield reason(": its files are being filed", "being filed", "wait")
    elif not facts.work_dir:
        why = facts.problem or "no reason given"
        text = f": its working directory cannot be determined: {why}"
        yield reason(text, "without a known working directory", why)
    elif facts.file_count:
        files = "1 .graw file" if facts.file_count == 1 else f"{facts.file_count} .graw files"
        advice, for_several = _what_to_do_with_files(state)
        yield reason(f" is Dirty with {files}, but must be Clean: {advice}", "Dirty", advice, for_several)
    elif state.restored and not router.checked:
        yield reason(" has not been checked yet", "not checked yet", "wait")
    # A look from before the number was changed asked for another directory. Start looks again.
    if facts.run_dir_exists and state.restored and facts.run_directory == state.next_run.directory:
        run = f"a directory for run {state.run.next_number} of {state.experiment}"
        advice = "move it away, or set Run:NextNumber to a free number"
        yield reason(f" already has {run}, but it must not exist: {advice}", f"blocked by {run}", advice)
    if not under_way:
        yield from _link_reasons(plan, state, name, router)
    if facts.work_dir and facts.disk_free < plan.min_disk_free:
        must = f"{plan.min_disk_free / GIGABYTE:g} GB"
        text = f" has {facts.disk_free / GIGABYTE:.1f} GB of free disk, but must have {must}"
        yield reason(text, "almost full", f"its disk must have {must}", f"their disks must have {must}")


def _what_to_do_with_files(state: State) -> tuple[str, str]:
    """Return the advice for one router, and for several."""
    if not state.restored:
        return "wait, it is not known yet whether they belong to an open run", ""
    if state.run.record is None:
        return "move the files away, there was no run yet", ""
    return "Organize it", "Organize them"


def _link_reasons(plan: Plan, state: State, name: str, router: Router) -> Iterator[Reason]:
    if router.deaf:
        yield Reason(
            datalinks.without_ears(plan, name), "router", name, "without a data port", "restart it", "restart them"
        )
    if router.restarted and any(state.servers[each].state is EccState.Ready for each in plan.servers_of(name)):
        advice = "Breakup and Configure its ECC server"
        several = "Breakup and Configure their ECC servers"
        yield Reason(datalinks.lost(plan, name), "router", name, "restarted after Configure", advice, several)
