"""The hosts of an installation."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Literal

from ioc.hosts.host import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.topology.derived import ssh_for, unit_name, units_of
from ioc.topology.schema import DataRouter, EccServer, Ssh, Topology

Machine = tuple[str, int | None, str | None] | Literal["local"]
"""Address, SSH port and user; or this machine."""


def build_hosts(topology: Topology) -> tuple[MachineHost, ...]:
    """Make one host for each distinct machine, with its routers and ECC servers."""
    settings: dict[Machine, Ssh | Literal["local"]] = {}
    components: dict[Machine, list[EccServer | DataRouter]] = {}
    for component in (*topology.ecc_servers, *topology.data_routers):
        ssh = ssh_for(topology, component)
        machine: Machine = "local" if ssh == "local" else (component.host, ssh.port, ssh.username)
        settings.setdefault(machine, ssh)
        components.setdefault(machine, []).append(component)
    return tuple(_host(topology, settings[machine], living) for machine, living in components.items())


def host_with(hosts: Sequence[MachineHost], host: str, router: str) -> MachineHost | None:
    """Return the machine where a filed file is (`FiledFile.host` and `router`); None if the topology has it no more.

    `runs adopt` enters the files of this machine under its own name.
    """
    named = [each for each in hosts if each.name == host]
    if not named and host == socket.gethostname():
        named = [each for each in hosts if each.is_local]
    return next((each for each in named if router in each.routers), named[0] if named else None)


def build_transport(topology: Topology, address: str) -> Transport:
    """Make a connection of its own to the host of a component, or to this machine, ``local``."""
    components = (*topology.ecc_servers, *topology.data_routers)
    component = next((each for each in components if each.host == address), None)
    return _transport(address, "local" if component is None else ssh_for(topology, component), topology)


def _transport(address: str, ssh: Ssh | Literal["local"], topology: Topology) -> Transport:
    return LocalTransport() if ssh == "local" else SshTransport(address, ssh, topology.timeouts.ssh)


def _host(topology: Topology, ssh: Ssh | Literal["local"], components: list[EccServer | DataRouter]) -> MachineHost:
    addresses = {component.host for component in components}
    name = addresses.pop() if len(addresses) == 1 else "localhost"
    return MachineHost(
        name,
        _transport(name, ssh, topology),
        [component for component in components if isinstance(component, DataRouter)],
        [component for component in components if isinstance(component, EccServer)],
        ssh_timeout=topology.timeouts.ssh,
        filing_timeout=topology.timeouts.filing,
        settle_seconds=topology.runs.settle_seconds,
        units={unit_name(each): units for each in components if (units := units_of(topology, each))},
        aside=_transport(name, ssh, topology),
    )
