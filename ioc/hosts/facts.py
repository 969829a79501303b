"""Which dataRouter process is which router, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ioc.hosts.look import Directory, Look, Process
from ioc.hosts.sites import RouterSite
from ioc.hosts.transport import shown
from ioc.model import RouterFacts


@dataclass(frozen=True)
class Finding:
    """What a look says about one router."""

    process: Process | None
    directory: Directory | None
    """Where its files are: the process's, else the one given."""
    problem: str

    def facts(self, read_at: float) -> RouterFacts:
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
        )


def find_routers(look: Look, sites: Sequence[RouterSite], host: str) -> dict[str, Finding]:
    """Tell the routers of a host apart; the directories given to the look are in the order of `sites`.

    A process belongs to the router on whose port it listens, else to the one whose ``work_dir`` it works in. A single
    process that listens nowhere belongs to the only router there is.
    """
    owners = _owners(look, sites)
    owned = {process.pid for process in owners.values()}
    strangers = [process for process in look.processes if process.pid not in owned]
    return {
        site.name: _finding(site, owners.get(site.name), strangers, look.given.get(i), host)
        for i, site in enumerate(sites)
    }


def _owners(look: Look, sites: Sequence[RouterSite]) -> dict[str, Process]:
    owners: dict[str, Process] = {}
    free = list(look.processes)

    def claim(site: RouterSite, candidates: list[Process]) -> None:
        if site.name not in owners and len(candidates) == 1:
            owners[site.name] = candidates[0]
            free.remove(candidates[0])

    directories = {site.name: look.given.get(i) for i, site in enumerate(sites)}

    def works_for(process: Process, site: RouterSite) -> bool:
        given = directories[site.name]
        return given is not None and process.directory is not None and process.directory.path == given.path

    for site in sites:
        claim(site, [p for p in free if site.port in p.ports and works_for(p, site)])
    for site in sites:
        claim(site, [p for p in free if site.port in p.ports])
    for site in sites:
        claim(site, [p for p in free if works_for(p, site)])
    if len(sites) == len(look.processes) == 1 and not look.processes[0].ports:
        claim(sites[0], free)
    return owners


def _finding(
    site: RouterSite, process: Process | None, strangers: Sequence[Process], given: Directory | None, host: str
) -> Finding:
    if process is None:
        return Finding(None, given, _why_offline(site, strangers, given, host))
    if process.directory is not None:
        problem = ""
        if site.work_dir and given and given.path != process.directory.path:
            problem = (
                f"router {site.name} works in {shown(process.directory.path)} on {host}, "
                f"but its work_dir in the topology is {site.work_dir}"
            )
        return Finding(process, process.directory, problem)
    if given is not None:
        return Finding(process, given, "")
    return Finding(
        process,
        None,
        f"the working directory of router {site.name} (process {process.pid} on {host}) cannot be told: "
        "the process must belong to the SSH user, or the topology must give work_dir",
    )


def _why_offline(site: RouterSite, strangers: Sequence[Process], given: Directory | None, host: str) -> str:
    """Return a sentence if there is more to say than that no process runs; `strangers` are no router's."""
    if site.work_dir and given is None:
        return f"work_dir {site.work_dir} of router {site.name} must be a directory on {host} that can be read"
    if not strangers:
        return ""
    if all(site.port in process.ports for process in strangers):
        return f"several dataRouters on {host} listen on port {site.port}: router {site.name} cannot be told from them"
    ports = (
        ", ".join(str(port) for process in strangers for port in sorted(process.ports)) or "no port that can be seen"
    )
    return f"no dataRouter listens on port {site.port} of {host}: router {site.name} must be started (others: {ports})"
