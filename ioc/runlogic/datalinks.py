"""The connections between data sources and data routers, as far as the IOC can observe them.

A source with a link of type TCP or ZBUF is connected to its router at Configure, over many runs, until Breakup. A
router that is restarted in between gets no data, and nothing else shows it: Start still succeeds. FDT links are
made at each Start, and ICE links reconnect to the new process automatically (GET release 20210208). So we remember
which process a router was when its source was connected to it.
"""

from __future__ import annotations

from ioc.model import EccState, LinkType, RouterFacts, RunState, Severity
from ioc.runlogic import memory, troubles
from ioc.runlogic.effects import ProbeRouters
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Router
from ioc.runlogic.subject import data_router
from ioc.runlogic.turn import Turn, listing

LINKED = frozenset({EccState.Ready, EccState.Running, EccState.Paused})
"""States in which the sources of an ECC server are connected."""
LASTING = frozenset({LinkType.TCP, LinkType.ZBUF})
"""Links that are made once, at Configure."""


def state_changed(turn: Turn, server: str, was: EccState, now: EccState) -> None:
    """An ECC server was configured or broken up, by us or by another client. The state Unknown changes nothing."""
    if now is EccState.Unknown:
        return
    if now not in LINKED:
        _set(turn, server, None)
    elif was not in LINKED and was is not EccState.Unknown:
        _set(turn, server, turn.steady)


def look(turn: Turn) -> None:
    """Look at the routers right after Configure, so that hardly any restart in between is missed."""
    if any(router.linked_at is not None and not router.linked for router in turn.state.routers.values()):
        turn.emit(ProbeRouters(job=0))


def _set(turn: Turn, server: str, linked_at: float | None) -> None:
    links = turn.plan.servers[server].links
    for name in dict.fromkeys(link.router for link in links if link.link_type in LASTING):
        router = turn.router(name)
        if (router.linked_at, router.linked) != (linked_at, ""):
            turn.set_router(name, linked_at=linked_at, linked="")
            turn.emit(memory.LINK.save("", name))
            troubles.mend(turn, About.Link, name, f"router {name} was reconnected by Configure")


def happened_in_run(turn: Turn, before: Router) -> bool:
    """Whether what a look finds may have happened to a router while the open run took data.

    The first look after the end of the data may find what happened before it.
    """
    run = turn.state.run
    return run.may_write or (run.state is RunState.Filing and before.unseen_since is not None)


def router_read(turn: Turn, name: str, facts: RouterFacts, *, in_run: bool) -> None:
    """Remember the process that a source was just connected to; report a different process during a run."""
    router = turn.router(name)
    if router.linked_at is not None and not router.linked and facts.process and facts.asked_at >= router.linked_at:
        turn.set_router(name, linked=facts.process)
        turn.emit(memory.LINK.save(facts.process, name))
    if turn.router(name).restarted and in_run:
        troubles.report(turn, data_router(name), About.Link, name, lost(turn.plan, name))


def hear(turn: Turn, name: str, before: Router, facts: RouterFacts) -> None:
    """Notice that a router takes no data any more, as the real one after a TCP RST from its source: it goes on living.

    A single look may fall into the moment between two connections.
    """
    last = before.last
    twice = last is not None and last.deaf and last.process == facts.process
    deaf = facts.deaf and (before.deaf or twice)
    if deaf == before.deaf:
        return
    turn.set_router(name, deaf=deaf)
    text = without_ears(turn.plan, name) if deaf else "Online"
    turn.say(data_router(name), text, Severity.MAJOR if deaf else Severity.NO_ALARM)
    if deaf and happened_in_run(turn, before):
        troubles.trouble(turn, About.Link, name, text)
    elif not deaf and not _linked_at_configure(turn.plan, name):
        troubles.mend(turn, About.Link, name, f"router {name} listens again")


def without_ears(plan: Plan, name: str) -> str:
    """Return what an operator must do about a router that takes no data any more."""
    servers = _linked_at_configure(plan, name)
    again = f", then Breakup and Configure ECC server {listing(servers)}" if servers else ""
    return f"router {name} takes no data any more, for it neither listens nor is connected: restart it{again}"


def _linked_at_configure(plan: Plan, name: str) -> list[str]:
    """Return the ECC servers that connect a source to a router at Configure."""
    return [
        server
        for server in plan.servers_of(name)
        if any(link.router == name and link.link_type in LASTING for link in plan.servers[server].links)
    ]


def lost(plan: Plan, name: str) -> str:
    """Return what an operator must do about a router that was restarted after Configure."""
    servers = plan.servers_of(name)
    return f"router {name} was restarted after Configure: Breakup and Configure ECC server {listing(servers)}"
