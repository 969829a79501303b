"""Which dataRouter process is which router, and the facts about each.

A router listens on its data port until a source connects; while one is connected, it has that connection and no
listener. Then its port is only the local end of a connection, which may also be an ephemeral port of a connection
opened by another dataRouter. So evidence is used in the order of its strength (`find_owners`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ioc.hosts.look import Directory, Look, Process
from ioc.hosts.sockets import Socket
from ioc.hosts.transport import shown
from ioc.model import RouterFacts
from ioc.topology.schema import DataRouter

Test = Callable[[Process, DataRouter], bool]

_NOWHERE = Directory(b"", 0, 0, 0, 0, run_dir_exists=False)


@dataclass(frozen=True)
class Finding:
    process: Process | None
    directory: Directory | None
    """The directory of its files: that of the process, else the one given."""
    problem: str
    unread: int = 0
    """Bytes of data that have arrived, but that it has not read."""
    deaf: bool = False
    """It certainly has no socket on its data port."""

    def facts(self, run_directory: str, asked_at: float, answered_at: float, read_at: float) -> RouterFacts:
        """Return the facts of a look for this directory that began and ended at these times (see `RouterFacts`)."""
        place = self.directory or _NOWHERE
        return RouterFacts(
            online=self.process is not None,
            work_dir=shown(place.path),
            file_count=place.file_count,
            staged_bytes=place.staged_bytes,
            disk_free=place.disk_free,
            disk_total=place.disk_total,
            run_dir_exists=place.run_dir_exists,
            read_at=read_at,
            problem=self.problem,
            asked_at=asked_at,
            answered_at=answered_at,
            process=f"{self.process.pid}@{self.process.started}" if self.process and self.process.started else "",
            run_directory=run_directory,
            unread=self.unread,
            deaf=self.deaf,
        )


def find_routers(look: Look, sites: Sequence[DataRouter], host: str) -> dict[str, Finding]:
    """Assign processes and directories to routers; the look's given directories are in the order of `sites`."""
    owners = find_owners(look, sites)
    return {
        site.name: _finding(site, owners[site.name], look.given.get(i), host)
        if site.name in owners
        else Finding(None, look.given.get(i), _why_offline(site, look, owners, look.given.get(i), host))
        for i, site in enumerate(sites)
    }


def _finding(site: DataRouter, process: Process, given: Directory | None, host: str) -> Finding:
    place = process.directory
    where = f"the working directory of router {site.name} ({shown(process.place)}) on {host}"
    problem = ""
    if place is not None:
        if site.work_dir and given and given.path != place.path:
            problem = (
                f"router {site.name} works in {shown(place.path)} on {host}, "
                f"but its work_dir in the topology is {site.work_dir}"
            )
    elif process.lost:
        problem = f"{where} {process.lost}: its files cannot be filed; "
        problem += "end this dataRouter and start it in a directory that exists"
    elif process.unreadable:
        problem = f"{where} cannot be read by the SSH user: {process.unreadable}; its files cannot be filed"
    elif given is not None:
        place = given
    else:
        problem = (
            f"the working directory of router {site.name} (process {process.pid} on {host}) cannot be determined: "
            "the process must belong to the SSH user, or the topology must give work_dir"
        )
    if place is not None and place.unwritable and not problem:
        problem = (
            f"the SSH user cannot write into the working directory of router {site.name} ({shown(place.path)}) on "
            f"{host}: {place.unwritable}; its files cannot be filed"
        )
    unread = sum(each.unread for each in process.sockets if _is_of_data(each, site))
    return Finding(process, place, problem, unread, _is_deaf(process, site))


def _why_offline(site: DataRouter, look: Look, owners: dict[str, Process], given: Directory | None, host: str) -> str:
    unowned = [process for process in _without_children(look.processes) if process not in owners.values()]
    claimants = [process for process in unowned if _listens(process, site) or _connected(process, site)]
    if len(claimants) > 1:
        pids = " and ".join(str(process.pid) for process in claimants)
        reason = f"several dataRouters on {host} use port {site.port} (processes {pids}), so router {site.name} "
        reason += "cannot be identified: end all but one of them"
    else:
        reason = f"no dataRouter of router {site.name} runs on {host} (port {site.port}): start it"
    if site.work_dir and given is None:
        reason += f"; its work_dir {site.work_dir} in the topology must be a directory there that can be read"
    return reason


def find_owners(look: Look, sites: Sequence[DataRouter]) -> dict[str, Process]:
    """Return the process of each router that has exactly one; a process belongs to at most one router."""
    owners: dict[str, Process] = {}
    free = _without_children(look.processes)
    given = {site.name: look.given.get(i) for i, site in enumerate(sites)}

    def at_home(process: Process, site: DataRouter) -> bool:
        place, port = given[site.name], process.data_port
        works_there = place is not None and process.directory is not None and process.directory.path == place.path
        return works_there and port in (None, site.port)

    def here(process: Process, site: DataRouter) -> bool:
        """Whether it listens on the address of this router: another router may use the same port on another address."""
        return any(s.port == site.port and s.address == site.host != "" for s in process.sockets)

    by_port = {site.port: site for site in sites}

    def only(process: Process, site: DataRouter) -> bool:
        """Whether its connection cannot belong to any other router."""
        others = {s.port for s in process.sockets} & by_port.keys() - {site.port}
        return not any(_connected(process, by_port[port]) for port in others)

    evidence: tuple[Test, ...] = (
        lambda p, s: _listens(p, s) and at_home(p, s),
        lambda p, s: _listens(p, s) and here(p, s),
        _listens,
        lambda p, s: _connected(p, s) and p.data_port == s.port and at_home(p, s),
        lambda p, s: _connected(p, s) and p.data_port == s.port and here(p, s),
        lambda p, s: _connected(p, s) and p.data_port == s.port,
        lambda p, s: _connected(p, s) and at_home(p, s),
        lambda p, s: _connected(p, s) and only(p, s) and here(p, s),
        lambda p, s: _connected(p, s) and only(p, s),
        _connected,
        at_home,
    )
    candidates = _candidates(free, sites, given)
    owned: set[int] = set()
    for test in evidence:
        open_sites = [site for site in sites if site.name not in owners]
        matches = {
            site.name: [each for each in candidates[site.name] if each.pid not in owned and test(each, site)]
            for site in open_sites
        }
        claims = Counter(process.pid for mine in matches.values() for process in mine)
        for name, mine in matches.items():
            if len(mine) == 1 and claims[mine[0].pid] == 1:
                owners[name] = mine[0]
                owned.add(mine[0].pid)
    alone = len(sites) == len(free) == 1 and not owners
    if alone and not free[0].sockets and free[0].data_port in (None, sites[0].port):
        owners[sites[0].name] = free[0]
    return owners


def _candidates(
    processes: Sequence[Process], sites: Sequence[DataRouter], given: Mapping[str, Directory | None]
) -> dict[str, list[Process]]:
    """Return the processes that can be each router's: with a socket on its port, or in its directory."""
    on_port: dict[int, list[Process]] = defaultdict(list)
    in_directory: dict[bytes, list[Process]] = defaultdict(list)
    for process in processes:
        for port in {socket.port for socket in process.sockets}:
            on_port[port].append(process)
        if process.directory is not None:
            in_directory[process.directory.path].append(process)
    found: dict[str, list[Process]] = {}
    for site in sites:
        place = given[site.name]
        near = [*on_port[site.port], *(in_directory[place.path] if place is not None else ())]
        found[site.name] = list({process.pid: process for process in near}.values())
    return found


def _listens(process: Process, site: DataRouter) -> bool:
    return any(s.port == site.port and s.listening for s in process.sockets)


def _connected(process: Process, site: DataRouter) -> bool:
    """Whether it has or just had a connection on the router's port, and its arguments give no other port."""
    return process.data_port in (None, site.port) and any(_is_of_data(s, site) for s in process.sockets)


def _is_deaf(process: Process, site: DataRouter) -> bool:
    """Whether none of its sockets is on the data port that its arguments give; its control port shows that they are
    readable."""
    return (
        process.data_port == site.port and bool(process.sockets) and all(s.port != site.port for s in process.sockets)
    )


def _is_of_data(socket: Socket, site: DataRouter) -> bool:
    """Whether it can be the connection of a source to this router."""
    return socket.port == site.port and not socket.listening and not socket.outgoing


def _without_children(processes: Sequence[Process]) -> list[Process]:
    """Leave out children of another process in the list: they inherit the sockets, but are not the router."""
    sockets = {process.pid: set(process.sockets) for process in processes}
    return [process for process in processes if sockets.get(process.parent, set()).isdisjoint(process.sockets)]
