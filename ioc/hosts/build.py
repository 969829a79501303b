"""The hosts of an installation."""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from typing import Literal

from ioc.hosts.host import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.topology.derived import ssh_for, unit_name, units_of
from ioc.topology.schema import DataRouter, EccServer, Ssh, Topology

Machine = tuple[str, int | None, str | None] | Literal["local"]
"""Address, SSH port and user; or this machine."""
Way = Ssh | Literal["local"]
"""How a machine is reached."""


def build_hosts(topology: Topology) -> tuple[MachineHost, ...]:
    """Make one host for each distinct machine, with its routers and ECC servers."""
    settings: dict[Machine, Way] = {}
    components: dict[Machine, list[EccServer | DataRouter]] = {}
    for component in (*topology.ecc_servers, *topology.data_routers):
        ssh = ssh_for(topology, component)
        machine: Machine = "local" if ssh == "local" else (component.host, ssh.port, ssh.username)
        settings.setdefault(machine, ssh)
        components.setdefault(machine, []).append(component)
    return tuple(_host(topology, settings[machine], living) for machine, living in components.items())


def host_with(hosts: Sequence[MachineHost], host: str, router: str) -> MachineHost | None:
    """Return the machine where a filed file is (`FiledFile.host` and `router`); None if the topology has it no more."""
    named = [each for each in hosts if each.name == host] or [each for each in hosts if host in each.addresses]
    return next((each for each in named if router in each.routers), named[0] if named else None)


def build_transport(topology: Topology, address: str) -> Transport:
    """Make a connection of its own to the host of a component, or to this machine, ``local``."""
    components = (*topology.ecc_servers, *topology.data_routers)
    component = next((each for each in components if each.host == address), None)
    return connect(topology, address, "local" if component is None else ssh_for(topology, component))


def way_to(topology: Topology, host: str, router: str) -> Way | None:
    """Return how to reach the host on which a router's files were recorded; None if the topology does not tell.

    Adopted runs have the name of the machine that they were adopted on, those of the demo a loopback address.
    """
    components = [each for each in (*topology.data_routers, *topology.ecc_servers) if each.host == host]
    component = next((each for each in components if each.name == router), next(iter(components), None))
    if component is not None:
        return ssh_for(topology, component)
    return "local" if host in {"localhost", "::1", socket.gethostname()} or host.startswith("127.") else None


def this_machine(topology: Topology, addresses: Collection[str]) -> MachineHost:
    """Make a host for files of this machine that were recorded under addresses which the topology does not have."""
    return _host(topology, "local", [], frozenset(addresses))


def connect(topology: Topology, address: str, way: Way) -> Transport:
    """Make a connection of its own to a machine, which begins with its first use."""
    return LocalTransport() if way == "local" else SshTransport(address, way, topology.timeouts.ssh)


def _host(
    topology: Topology,
    ssh: Way,
    components: Sequence[EccServer | DataRouter],
    others: Collection[str] = (),
) -> MachineHost:
    addresses = {*(component.host for component in components), *others}
    name = next(iter(addresses)) if len(addresses) == 1 else "localhost"
    return MachineHost(
        name,
        connect(topology, name, ssh),
        [component for component in components if isinstance(component, DataRouter)],
        [component for component in components if isinstance(component, EccServer)],
        ssh_timeout=topology.timeouts.ssh,
        filing_timeout=topology.timeouts.filing,
        settle_seconds=topology.runs.settle_seconds,
        units={unit_name(each): units for each in components if (units := units_of(topology, each))},
        aside=connect(topology, name, ssh),
        addresses=addresses,
    )
