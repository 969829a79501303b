"""Watching the routers: their facts, and what has to be reported to the operator in time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from ioc.model import RouterFacts, RunState, Severity
from ioc.runlogic import datalinks, filing, memory
from ioc.runlogic.events import RoutersLost, RoutersRead
from ioc.runlogic.plan import GIGABYTE, Plan
from ioc.runlogic.state import About, Cause, Router, State
from ioc.runlogic.subject import data_router
from ioc.runlogic.troubles import mend, report, standing, trouble
from ioc.runlogic.turn import Turn, listing

DISK_SECONDS = 3600.0
"""An alarm is raised if a disk will be full within this time."""
_SMOOTHING_SECONDS = 60.0
"""The growth that fills a disk is averaged over this time, because a burst is no trend."""

_Disk = tuple[str, int]
"""Host and size."""


def routers_read(turn: Turn, event: RoutersRead) -> None:
    """A host answered: take its facts, notice what changed."""
    known = [name for name in event.facts if name in turn.state.routers]
    for name in known:
        _router_read(turn, name, event.facts[name])
    _watch_observables(turn)
    rates = _disk_rates(turn.plan, turn.state)
    for name in known:
        _watch_disk(turn, name, rates)
        _watch_silence(turn, name)
        filing.resume(turn, name)


def _watch_observables(turn: Turn) -> None:
    """Also report a required observable that has not connected within a grace period after a restart of the IOC."""
    run = turn.state.run
    since = turn.steady - run.taking_since
    if run.state is RunState.Running and not turn.state.undecided and since >= turn.plan.silent_seconds:
        for name in sorted(turn.state.missing):
            trouble(turn, About.Observable, name, f"required observable {name} is not connected")


def _router_read(turn: Turn, name: str, facts: RouterFacts) -> None:
    before = turn.router(name)
    asked_for_next = facts.run_directory == turn.state.next_run.directory
    turn.set_router(name, last=facts, lost=False, checked=before.checked or asked_for_next)
    if before.unseen_since is not None and facts.asked_at >= before.unseen_since:
        turn.set_router(name, unseen_since=None)
    _measure_growth(turn, name, before, facts)
    was = before.facts.problem if before.facts is not None else ""
    if facts.online and not before.online:
        turn.say(data_router(name), "Online" if not facts.problem else facts.problem)
        mend(turn, About.Router, name, f"router {name} is Online again")
    elif not facts.online and (before.online or before.facts is None):
        reason = facts.problem or f"no dataRouter process for router {name} on its host"
        _offline(turn, name, reason, in_run=datalinks.happened_in_run(turn, before))
    elif facts.problem and facts.problem != was:
        turn.say(data_router(name), facts.problem, Severity.MINOR if facts.online else Severity.MAJOR)
    elif was and not facts.problem:
        turn.say(data_router(name), "OK again")
    if facts.work_dir:
        mend(turn, About.Directory, name, f"router {name} writes to {facts.work_dir}")
    if turn.state.run.may_write:
        _follow_directory(turn, name, before, facts)
    filing.watch_growth(turn, name)
    datalinks.router_read(turn, name, facts, in_run=datalinks.happened_in_run(turn, before))
    datalinks.hear(turn, name, before, facts)
    _note_restart(turn, name, before, facts)


def _note_restart(turn: Turn, name: str, before: Router, facts: RouterFacts) -> None:
    """Keep with the run that a router was restarted so fast that no look saw it Offline.

    One whose source is connected at Configure is reported by `datalinks`.
    """
    was = before.last.process if before.last is not None else ""
    again = was and facts.process and facts.process != was and not turn.router(name).restarted
    if again and datalinks.happened_in_run(turn, before):
        text = f"router {name} was restarted in the run: data that it had not written are lost"
        trouble(turn, About.Router, name, text)
        mend(turn, About.Router, name, f"router {name} is Online again")


def _measure_growth(turn: Turn, name: str, before: Router, facts: RouterFacts) -> None:
    """Update the growth of the staged files: now, on average, when they last grew, and their growth in the run."""
    last = before.last
    here_before = last is not None and (last.work_dir == facts.work_dir or _old_name(before, facts) != "")
    grown = facts.staged_bytes - (last.staged_bytes if last is not None and here_before else 0)
    if turn.state.run.may_write and grown > 0:
        turn.set_router(name, written=before.written + grown, grew_at=turn.steady)
    if last is None or before.facts is None or not here_before or facts.answered_at <= last.answered_at:
        turn.set_router(name, rate=0.0)
        return
    if grown > 0 and not turn.state.run.open:
        turn.set_router(name, strayed_at=turn.steady)
    seconds = facts.answered_at - last.answered_at
    rate = max(0.0, grown / seconds)
    age = min(before.rate_age + seconds, _SMOOTHING_SECONDS)
    # at first the plain mean; after a long time without a look only the growth since then counts
    weight = min(1.0, max(1 - math.exp(-seconds / _SMOOTHING_SECONDS), seconds / age))
    mean_rate = before.mean_rate + weight * (rate - before.mean_rate)
    turn.set_router(name, rate=rate, mean_rate=mean_rate, rate_age=age)


def _old_name(before: Router, facts: RouterFacts) -> str:
    """Return the former name of a directory that was renamed, else nothing: no router goes elsewhere by itself."""
    worked = before.worked
    same_process = facts.process and worked.process == facts.process
    return worked.directory if same_process and facts.work_dir not in {"", worked.directory} else ""


def _follow_directory(turn: Turn, name: str, before: Router, facts: RouterFacts) -> None:
    """Remember every directory that a router works in during a run, and which of them must be there to be filed."""
    known = before.directories
    if facts.online and not facts.work_dir:
        text = facts.problem or f"the working directory of router {name} cannot be determined"
        report(turn, data_router(name), About.Directory, name, text, cause=Cause.NoDirectory)
        return
    if not facts.work_dir:
        return
    dispensable = {*before.worked.dispensable, _old_name(before, facts)}
    if facts.work_dir not in known:
        known = (*known, facts.work_dir)
        dispensable.add(facts.work_dir)
        turn.set_router(name, directories=known)
        turn.emit(memory.DIRECTORIES.save(known, name))
    if facts.file_count:
        dispensable.discard(facts.work_dir)
    worked = memory.Worked(facts.process, facts.work_dir, tuple(each for each in known if each in dispensable))
    if worked != before.worked:
        turn.set_router(name, worked=worked)
        turn.emit(memory.WORKED.save(worked, name))


def _watch_silence(turn: Turn, name: str) -> None:
    """Report silent routers: a source whose data are lost looks normal, except that its file does not grow."""
    run, router = turn.state.run, turn.router(name)
    silent = (
        run.state is RunState.Running
        and not turn.state.undecided
        and router.online
        and turn.steady - max(run.taking_since, router.grew_at) >= turn.plan.silent_seconds
        and not _leaves_writing_to_others(turn, name)
    )
    if silent != router.silent:
        turn.set_router(name, silent=silent)
    if silent and not router.silent:
        text = f"router {name} has written nothing for {turn.plan.silent_seconds:g} s"
        if _hangs(router):
            text += " and does not read what arrives for it: press Ctrl-Q in its terminal, or continue it (kill -CONT)"
        turn.say(data_router(name), text, Severity.MAJOR)
    elif router.silent and not silent and run.state is RunState.Running and router.rate:
        turn.say(data_router(name), f"router {name} writes again")
    if run.state is RunState.Running:
        _watch_sources(turn, name)


def _leaves_writing_to_others(turn: Turn, name: str) -> bool:
    """Whether it has written nothing in this run while another router of its sources has: it is a data exporter."""
    others = {other for source in turn.plan.sources_of(name) for other in turn.plan.sources[source]} - {name}
    return not turn.router(name).written and any(turn.router(other).written for other in others)


def _watch_sources(turn: Turn, name: str) -> None:
    for source in turn.plan.sources_of(name):
        routers = [router for router in turn.plan.sources[source] if turn.router(router).online]
        if routers and all(turn.router(router).silent or _leaves_writing_to_others(turn, router) for router in routers):
            if standing(turn.state.run, About.Data, source) is None:
                hang = all(_hangs(turn.router(each)) for each in routers)
                where = listing(routers) + (", which does not read them" if hang else "")
                text = f"no data from {source} for {turn.plan.silent_seconds:g} s (router {where})"
                trouble(turn, About.Data, source, text)
        elif any(turn.router(router).rate for router in routers):
            mend(turn, About.Data, source, f"{source} sends data again")


def _hangs(router: Router) -> bool:
    """Whether its data wait in its connection."""
    return router.facts is not None and router.facts.unread > 0


def _watch_disk(turn: Turn, name: str, rates: Mapping[_Disk, float]) -> None:
    """Report once that the disk will be full within the hour; again only after the forecast was longer."""
    router = turn.router(name)
    facts = router.facts
    if facts is None or not facts.disk_total:
        return
    rate = rates[_disk(turn.plan, name, facts)]
    seconds_left = facts.disk_free / rate if rate else math.inf
    filling = seconds_left < DISK_SECONDS * (1.2 if router.disk_filling else 1.0)
    if filling and not router.disk_filling:
        turn.say(
            data_router(name),
            f"disk of router {name} will be full in {seconds_left / 60:.0f} min: {facts.disk_free / GIGABYTE:.1f} GB "
            f"are free, and {rate / 1e6:.1f} MB/s are written",
            Severity.MAJOR,
        )
    elif (
        router.disk_filling and not filling and turn.state.run.state is not RunState.Filing
    ):  # filing has the last word
        turn.say(data_router(name), f"disk of router {name} will last for more than an hour again")
    if filling != router.disk_filling:
        turn.set_router(name, disk_filling=filling)


def _disk(plan: Plan, name: str, facts: RouterFacts) -> _Disk:
    """Identify the disk of a router. Routers of a host whose disks have the same size share a disk."""
    return plan.host_of[name], facts.disk_total


def _disk_rates(plan: Plan, state: State) -> Mapping[_Disk, float]:
    """Return how fast each disk fills. Without a run, routers that write nothing now will not write again."""
    rates: defaultdict[_Disk, float] = defaultdict(float)
    for name, router in state.routers.items():
        if router.facts is not None and (state.run.may_write or router.rate):
            rates[_disk(plan, name, router.facts)] += router.mean_rate
    return rates


def seconds_to_full(plan: Plan, state: State) -> float:
    """Return the seconds until the first disk is full at the current rate."""
    if not state.run.may_write:
        return math.inf
    rates = _disk_rates(plan, state)
    return min(
        (
            router.facts.disk_free / rate
            for name, router in state.routers.items()
            if router.facts is not None and router.facts.disk_total and (rate := rates[_disk(plan, name, router.facts)])
        ),
        default=math.inf,
    )


def total_bytes(state: State) -> int:
    """Return the size of the data of the open run, or of the last one."""
    written = sum(router.written for router in state.routers.values())
    size = state.run.record.size if state.run.record is not None else 0
    return written if state.run.open else size


def routers_lost(turn: Turn, event: RoutersLost) -> None:
    """A host cannot be reached: nothing is known about its routers. Reported once, whatever the later reasons are."""
    for name in event.routers:
        if name not in turn.state.routers:
            continue
        before = turn.router(name)
        turn.set_router(name, rate=0.0, lost=True)
        if not before.lost:
            _offline(turn, name, event.reason, in_run=turn.state.run.may_write)
        elif before.message.text != event.reason:
            turn.set_router(name, message=turn.note(event.reason, Severity.MAJOR))


def _offline(turn: Turn, name: str, reason: str, *, in_run: bool) -> None:
    turn.say(data_router(name), reason, Severity.MAJOR)
    if in_run:
        trouble(turn, About.Router, name, f"router {name} is Offline: {reason}")
