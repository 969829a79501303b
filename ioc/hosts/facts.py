"""The facts about each router, and what is wrong with it in words for an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ioc.hosts.look import Directory, Look, Process
from ioc.hosts.owners import find_owners, rivals
from ioc.hosts.transport import shown
from ioc.model import RouterFacts
from ioc.topology.schema import DataRouter


@dataclass(frozen=True)
class Finding:
    """What a look says about one router."""

    process: Process | None
    directory: Directory | None
    """Where its files are: the process's, else the one given."""
    problem: str

    def facts(self, asked_at: float, read_at: float) -> RouterFacts:
        place = self.directory
        return RouterFacts(
            online=self.process is not None,
            work_dir=shown(place.path) if place else "",
            file_count=place.file_count if place else 0,
            staged_bytes=place.staged_bytes if place else 0,
            disk_free=place.disk_free if place else 0,
            disk_total=place.disk_total if place else 0,
            run_dir_exists=place.run_dir_exists if place else False,
            read_at=read_at,
            problem=self.problem,
            asked_at=asked_at,
            process=f"{self.process.pid}@{self.process.started}" if self.process and self.process.started else "",
        )


def find_routers(look: Look, sites: Sequence[DataRouter], host: str) -> dict[str, Finding]:
    """Tell the routers of a host apart; the directories given to the look are in the order of `sites`."""
    owners = find_owners(look, sites)
    return {
        site.name: _finding(site, owners[site.name], look.given.get(i), host)
        if site.name in owners
        else Finding(None, look.given.get(i), _why_offline(site, look, sites, look.given.get(i), host))
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
    return Finding(process, place, problem)


def _why_offline(site: DataRouter, look: Look, sites: Sequence[DataRouter], given: Directory | None, host: str) -> str:
    claimants = rivals(look, sites, site)
    if len(claimants) > 1:
        pids = " and ".join(str(process.pid) for process in claimants)
        reason = f"several dataRouters on {host} use port {site.port} (processes {pids}), so router {site.name} "
        reason += "cannot be identified: end all but one of them"
    else:
        reason = f"no dataRouter of router {site.name} runs on {host} (port {site.port}): start it"
    if site.work_dir and given is None:
        reason += f"; its work_dir {site.work_dir} in the topology must be a directory there that can be read"
    return reason
