"""The hosts of an installation."""

from __future__ import annotations

from typing import Literal

from ioc.hosts.host import LocalHost, MachineHost, SshHost
from ioc.hosts.sites import RouterSite, ServerSite
from ioc.topology.derived import ssh_for
from ioc.topology.schema import DataRouter, EccServer, Ssh, Topology

Machine = tuple[str, int | None, str | None] | Literal["local"]
"""Address, SSH port and user; or this machine."""


def build_hosts(topology: Topology) -> tuple[MachineHost, ...]:
    """Make one host for each distinct machine, with the routers and ECC servers that live there."""
    settings: dict[Machine, Ssh | Literal["local"]] = {}
    components: dict[Machine, list[EccServer | DataRouter]] = {}
    for component in (*topology.ecc_servers, *topology.data_routers):
        ssh = ssh_for(topology, component)
        machine: Machine = "local" if ssh == "local" else (component.host, ssh.port, ssh.username)
        settings.setdefault(machine, ssh)
        components.setdefault(machine, []).append(component)
    return tuple(_host(topology, settings[machine], living) for machine, living in components.items())


def _host(topology: Topology, ssh: Ssh | Literal["local"], components: list[EccServer | DataRouter]) -> MachineHost:
    routers = [RouterSite(c.name, c.port, c.work_dir, c.type, c.host) for c in components if isinstance(c, DataRouter)]
    servers = [ServerSite(c.name, c.config_root, c.config_backup_root) for c in components if isinstance(c, EccServer)]
    times = {
        "ssh_timeout": topology.timeouts.ssh,
        "filing_timeout": topology.timeouts.filing,
        "settle_seconds": topology.runs.settle_seconds,
    }
    if ssh != "local":
        return SshHost(components[0].host, ssh, routers, servers, **times)
    addresses = {component.host for component in components}
    return LocalHost(routers, servers, name=addresses.pop() if len(addresses) == 1 else "localhost", **times)
