"""Watching the routers: what is read of them, and what of it an operator must hear of in time."""

from __future__ import annotations

import math

from ioc.model import RouterFacts, RunState, Severity
from ioc.runlogic import filing
from ioc.runlogic.events import RoutersLost, RoutersRead
from ioc.runlogic.plan import GIGABYTE
from ioc.runlogic.state import TAKING_DATA, Router
from ioc.runlogic.turn import Turn

SILENCE_SECONDS = 10.0
"""A router that has not written for so long while another of its type has, is silent."""
DISK_SECONDS = 3600.0
"""A disk that will be full within this time is said to be so."""
_SMOOTHING_SECONDS = 60.0
"""Over which the growth is averaged that fills a disk: a burst is no trend."""


def routers_read(turn: Turn, event: RoutersRead) -> None:
    """A host answered: take its facts, notice what changed."""
    for name, facts in event.facts.items():
        if name not in turn.state.routers:
            continue
        before = turn.router(name)
        turn.set_router(name, facts=facts, **_growth(before, facts))
        if facts.online and not before.online:
            turn.say_router(name, "Online" if not facts.problem else facts.problem)
        elif not facts.online and (before.online or before.facts is None):
            _offline(turn, name, facts.problem or "no dataRouter process of this router runs on its host")
        elif facts.problem and facts.problem != before.message.text:
            turn.say_router(name, facts.problem, Severity.MINOR)
        filing.cleaned_by_hand(turn, name)
        _watch_silence(turn, name)
        _watch_disk(turn, name)


def _growth(before: Router, facts: RouterFacts) -> dict[str, float]:
    """Return how fast the staged files grow, now and on average, and when they last grew."""
    if before.facts is None or facts.read_at <= before.facts.read_at:
        return {"rate": 0.0}
    seconds = facts.read_at - before.facts.read_at
    rate = max(0.0, (facts.staged_bytes - before.facts.staged_bytes) / seconds)
    weight = 1 - math.exp(-seconds / _SMOOTHING_SECONDS)
    return {
        "rate": rate,
        "mean_rate": before.mean_rate + weight * (rate - before.mean_rate),
        "grew_at": facts.read_at if rate else before.grew_at,
    }


def _watch_silence(turn: Turn, name: str) -> None:
    """A source whose data get lost looks like any other, but for the file that does not grow."""
    run, router = turn.state.run, turn.router(name)
    began_at = run.record.started_at if run.state is RunState.Running and run.record is not None else None
    silent = False
    if began_at is not None and router.online:
        since = max(began_at, router.grew_at)
        silent = any(
            turn.router(peer).grew_at > since + SILENCE_SECONDS for peer in turn.plan.peers[name] if peer != name
        )
    if silent and not router.silent:
        text = f"router {name} has written nothing for {SILENCE_SECONDS:.0f} s while its peers write"
        turn.say_router(name, text, Severity.MAJOR)
        turn.say_run(f"run {run.number}: {text}", Severity.MAJOR)
    elif router.silent and not silent and run.state is RunState.Running:
        turn.say_router(name, f"router {name} writes again")
    turn.set_router(name, silent=silent)


def _watch_disk(turn: Turn, name: str) -> None:
    """Say once that the disk will be full within the hour; again only after it had more time than that."""
    router = turn.router(name)
    facts = router.facts
    if facts is None or not facts.disk_total:
        return
    seconds_left = facts.disk_free / router.mean_rate if router.mean_rate else math.inf
    filling = seconds_left < DISK_SECONDS * (1.2 if router.disk_filling else 1.0)
    if filling and not router.disk_filling:
        turn.say_router(
            name,
            f"disk of router {name} will be full in {seconds_left / 60:.0f} min: {facts.disk_free / GIGABYTE:.1f} GB "
            f"are free, and {router.mean_rate / 1e6:.1f} MB/s are written",
            Severity.MAJOR,
        )
    turn.set_router(name, disk_filling=filling)


def routers_lost(turn: Turn, event: RoutersLost) -> None:
    """A host cannot be asked: nothing is known of its routers."""
    for name in event.routers:
        if name not in turn.state.routers:
            continue
        before = turn.router(name)
        if before.facts is not None or before.message.text != event.reason:
            turn.set_router(name, facts=None, rate=0.0)
            _offline(turn, name, event.reason)


def _offline(turn: Turn, name: str, reason: str) -> None:
    turn.say_router(name, reason, Severity.MAJOR)
    run = turn.state.run
    if run.state in TAKING_DATA:
        turn.say_run(f"run {run.number}: router {name} is Offline: {reason}", Severity.MAJOR)
