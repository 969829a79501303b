"""``attpc-ioc check --live``: asks everything that a run needs, without changing anything on the detector.

Theory of operation. The checks use the same code as the IOC: `ioc.hosts` logs in and looks at the routers, `ioc.ecc`
asks the servers, `ioc.observables` connects to the PVs. No transition is sent, and no connection is made to a router,
which takes only one. Everything is asked at the same time; on a machine, the login comes first, and then all that needs
it. Each check ends in time, whatever its peer does (`live_report`). An IOC that runs and takes data is not disturbed:
where it has a port or the database, that is said instead of tried (`live_site`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from ioc.app.live_report import ANSWER_SECONDS, Doubt, Finding, Judge, Table, skipped
from ioc.app.live_site import ThisMachine
from ioc.ecc import ZeepEccClient, build_clients
from ioc.errors import PeerError
from ioc.hosts import MachineHost, Tools, build_hosts
from ioc.model import ConfigChoice, EccState, RouterFacts, RunId, chosen_experiment
from ioc.runlogic import memory
from ioc.topology.derived import ssh_for
from ioc.topology.schema import EccServer, Topology

_CLOSE_SECONDS = 0.5
_CLOCK_SECONDS = 2.0
"""A clock that is off by less causes no trouble; the check is exact to one second."""
_GIGABYTE = 1e9

Check = tuple[str, Awaitable[str]]


async def check_live(topology: Topology) -> tuple[Table, ...]:
    """Check an installation; the first table is that of this machine.

    Hosts that hang may leave threads behind: the caller ends the process as `ioc.app.ending` does.
    """
    timeouts = topology.timeouts
    limits = {"ssh": min(timeouts.ssh, ANSWER_SECONDS), "state": min(timeouts.state, ANSWER_SECONDS)}
    quick = timeouts.model_copy(update=limits)
    topology = topology.model_copy(update={"timeouts": quick})
    judge, here = Judge(), ThisMachine(topology)
    hosts, servers = build_hosts(topology), build_clients(topology)
    try:
        machines = [_Machine(topology, host, servers, here.settings, judge) for host in hosts]
        return tuple(await asyncio.gather(here.check(judge), *(machine.check() for machine in machines)))
    finally:
        closing = [asyncio.ensure_future(peer.close()) for peer in (*hosts, *servers.values())]
        await asyncio.wait(closing, timeout=_CLOSE_SECONDS)


class _Machine:
    """The checks of one machine with ECC servers or routers."""

    def __init__(
        self,
        topology: Topology,
        host: MachineHost,
        clients: Mapping[str, ZeepEccClient],
        settings: Callable[[], Awaitable[Mapping[str, str]]],
        judge: Judge,
    ) -> None:
        """`settings` waits for the settings that an IOC stored, none if it cannot read them."""
        self._topology = topology
        self._host = host
        self._clients = clients
        self._servers = [each for each in topology.ecc_servers if each.name in host.servers]
        self._routers = [each for each in topology.data_routers if each.name in host.routers]
        self._settings = settings
        self._judge = judge

    async def check(self) -> Table:
        asked, on_host = await asyncio.gather(
            self._judge.all(*((f"ECC server {each.name}", self._ask(each)) for each in self._servers)),
            self._on_host(),
        )
        return Table(self._host.name, (*on_host, *asked))

    async def _on_host(self) -> tuple[Finding, ...]:
        local = any(ssh_for(self._topology, each) == "local" for each in (*self._servers, *self._routers))
        good = "not needed: this machine" if local else "logged in, the host key is known"
        found, tools = await self._judge.ask("SSH", self._host.tools(), lambda tools: good, ANSWER_SECONDS)
        if tools is None:
            return found, skipped("SFTP, programs, clock, files, routers, disks", "they need SSH")
        first, routers = await asyncio.gather(
            self._judge.all(
                ("SFTP", self._sftp()),
                ("programs", _programs(tools)),
                ("clock", _clock(tools.ahead)),
                *self._folders(),
            ),
            self._look(),
        )
        return (found, *first, *routers)

    async def _sftp(self) -> str:
        await self._host.check_files()
        return "files can be handled"

    def _folders(self) -> Iterator[Check]:
        for server in self._servers:
            if server.config_root is not None:
                yield f"files of {server.name}", self._files(server)
            if server.config_backup_root is not None:
                yield f"backups of {server.name}", self._writable(server.config_backup_root)

    async def _files(self, server: EccServer) -> str:
        config = await self._config(server)
        if config is None:
            raise Doubt("no configuration is selected")
        found = await self._host.look_for_configs(server.name, config)
        names = ", ".join(name for name, _ in found.digests)
        if found.missing:
            return f"{names} (not there, and not needed by every release: {', '.join(found.missing)})"
        return names

    async def _writable(self, path: str) -> str:
        experiment = chosen_experiment(await self._settings(), self._topology.experiment)
        return f"{await self._host.try_writing(path, experiment)} can be written"

    async def _look(self) -> tuple[Finding, ...]:
        """Look at the routers as the IOC does; the directory that is tried is the one the router works in."""
        if not self._routers:
            return ()
        look = self._host.router_facts(RunId(self._topology.experiment, 0).directory)
        found, looked = await self._judge.ask("routers", look, lambda facts: "")
        if looked is None:
            return found, skipped("directories and disks of the routers", "they need the check of the routers")
        checks: list[Check] = []
        for name, facts in looked.items():
            checks.append((f"router {name}", _router(facts)))
            if facts.work_dir:
                checks.append((f"directory of {name}", self._writable(facts.work_dir)))
                checks.append((f"disk of {name}", _disk(facts, self._topology.runs.min_disk_free_gb)))
        return await self._judge.all(*checks)

    async def _ask(self, server: EccServer) -> str:
        client = self._clients[server.name]
        reading = await client.get_state()
        if reading.state is EccState.Off:
            raise PeerError(f"ECC server {server.name} is Off, a fault: restart the ECC server")
        offers, config = await client.get_configs(), await self._config(server)
        says = f"{reading.state.name}, lists {len(offers)} configurations"
        if config is None:
            raise Doubt(f"{says}; none is selected: set its config in the topology, or put to the PV Config")
        if config not in offers:
            raise Doubt(f"{says}, but not the selected one, {config}")
        return f"{says}, {config} among them"

    async def _config(self, server: EccServer) -> ConfigChoice | None:
        chosen = memory.CONFIG.read(await self._settings(), server.name)
        return chosen or (server.config.choice if server.config is not None else None)


async def _programs(tools: Tools) -> str:
    if tools.has_proc:
        return "/proc is available to find routers"
    if tools.missing:
        raise PeerError(f"install {' and '.join(tools.missing)} there: without it no router can be found")
    return "ps and lsof are available to find routers"


async def _clock(ahead: float) -> str:
    if abs(ahead) > _CLOCK_SECONDS:
        raise Doubt(
            f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine: synchronize both (NTP), or the "
            "times of files and runs differ"
        )
    return "agrees with this machine to 2 s"


async def _router(facts: RouterFacts) -> str:
    if facts.problem or not facts.online:
        raise PeerError(facts.problem or "no dataRouter process runs")
    staged = "" if facts.clean else f", with {facts.file_count} staged files"
    return f"process {facts.process.partition('@')[0]} works in {facts.work_dir}{staged}"


async def _disk(facts: RouterFacts, needed: float) -> str:
    free = f"{facts.disk_free / _GIGABYTE:.1f} of {facts.disk_total / _GIGABYTE:.1f} GB are free"
    if facts.disk_free < needed * _GIGABYTE:
        raise PeerError(f"{free}, but a run needs {needed:g} GB (runs.min_disk_free_gb)")
    return free
