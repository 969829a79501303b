"""Which dataRouter process is which router.

A router listens on its data port until a source connects; while one is connected, it has that connection and no
listener. Then its port is only the local end of a connection, and such an end may also be a chance port of a connection
that another dataRouter opened to somebody. So evidence is taken in the order of its strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ioc.hosts.look import Look, Process, data_port
from ioc.hosts.sockets import SocketState
from ioc.topology.schema import DataRouter

Test = Callable[[Process, DataRouter], bool]


def find_owners(look: Look, sites: Sequence[DataRouter]) -> dict[str, Process]:
    """Return the process of each router that has exactly one; every process is at most one router's."""
    owners: dict[str, Process] = {}
    free = _without_children(look.processes)
    given = {site.name: look.given.get(i) for i, site in enumerate(sites)}

    def at_home(process: Process, site: DataRouter) -> bool:
        place, port = given[site.name], data_port(process.arguments)
        works_there = place is not None and process.directory is not None and process.directory.path == place.path
        return works_there and port in (None, site.port)

    def here(process: Process, site: DataRouter) -> bool:
        """Listens on the address of this router: another one may listen on the same port of another address."""
        return any(s.port == site.port and s.address == site.host != "" for s in process.sockets)

    def only(process: Process, site: DataRouter) -> bool:
        """Its connection can be of no other router."""
        return not any(_connected(process, other) for other in sites if other.port != site.port)

    evidence: tuple[Test, ...] = (
        lambda p, s: _listens(p, s) and at_home(p, s),
        lambda p, s: _listens(p, s) and here(p, s),
        _listens,
        lambda p, s: _connected(p, s) and data_port(p.arguments) == s.port and at_home(p, s),
        lambda p, s: _connected(p, s) and data_port(p.arguments) == s.port and here(p, s),
        lambda p, s: _connected(p, s) and data_port(p.arguments) == s.port,
        lambda p, s: _connected(p, s) and at_home(p, s),
        lambda p, s: _connected(p, s) and only(p, s) and here(p, s),
        lambda p, s: _connected(p, s) and only(p, s),
        _connected,
        at_home,
    )
    for test in evidence:
        matches = {site.name: [process for process in free if test(process, site)] for site in sites}
        for site in sites:
            mine = matches[site.name]
            shared = [other for other, theirs in matches.items() if other not in owners and mine and mine[0] in theirs]
            if site.name not in owners and len(mine) == 1 and shared == [site.name] and mine[0] in free:
                owners[site.name] = mine[0]
                free.remove(mine[0])
    alone = len(sites) == len(free) == 1 and not owners
    if alone and not free[0].sockets and data_port(free[0].arguments) in (None, sites[0].port):
        owners[sites[0].name] = free[0]
    return owners


def rivals(look: Look, sites: Sequence[DataRouter], site: DataRouter) -> list[Process]:
    """Return the processes that may all be `site`, and are no other router."""
    owned = {process.pid for process in find_owners(look, sites).values()}
    return [
        process
        for process in _without_children(look.processes)
        if process.pid not in owned and (_listens(process, site) or _connected(process, site))
    ]


def _listens(process: Process, site: DataRouter) -> bool:
    return any(s.port == site.port and s.state is SocketState.LISTENING for s in process.sockets)


def _connected(process: Process, site: DataRouter) -> bool:
    """Whether it has a connection on the router's port, or had one a moment ago, and was not told to use another."""
    return data_port(process.arguments) in (None, site.port) and any(
        s.port == site.port and s.state is not SocketState.LISTENING and not s.outgoing for s in process.sockets
    )


def _without_children(processes: Sequence[Process]) -> list[Process]:
    """Leave out what another one forked: it inherits the sockets, but it is not the router."""
    sockets = {process.pid: set(process.sockets) for process in processes}
    return [process for process in processes if not sockets.get(process.parent, set()) & set(process.sockets)]
