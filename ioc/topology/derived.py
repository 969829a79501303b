"""What follows from a topology: data links, the SSH settings of a host, absolute paths on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ioc.model import DataLink
from ioc.topology.schema import DataRouter, DataSource, EccServer, Section, Ssh, Topology

_SSH_PATHS = ("key", "known_hosts", "config")


def sources_of(topology: Topology, server: str) -> tuple[DataSource, ...]:
    """The data sources that the ECC server of this name drives, in the order of the file."""
    return tuple(source for source in topology.data_sources if source.ecc_server == server)


def links_of(topology: Topology, server: str) -> tuple[DataLink, ...]:
    """One link for each pair of a source of this ECC server and a router that gets its data."""
    routers = {router.name: router for router in topology.data_routers}
    return tuple(
        DataLink(source.id, router.name, router.host, router.port, router.type)
        for source in sources_of(topology, server)
        for router in (routers[name] for name in source.data_routers)
    )


def ssh_for(topology: Topology, component: EccServer | DataRouter) -> Ssh | Literal["local"]:
    """Return the general settings with the component's own put over them, key by key; or ``"local"``: no SSH."""
    general, own = topology.ssh, component.ssh
    if own is None:
        return general
    if own == "local" or general == "local":
        return own
    return general.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})


def resolve_paths(topology: Topology, folder: Path) -> Topology:
    """Return the topology with ``~`` expanded and relative paths taken from `folder`."""

    def resolved(ssh: Ssh | Literal["local"] | None, *, defaults: bool) -> Ssh | Literal["local"] | None:
        if not isinstance(ssh, Ssh):
            return ssh
        paths = {key: getattr(ssh, key) for key in _SSH_PATHS if defaults or key in ssh.model_fields_set}
        return ssh.model_copy(update={key: str(absolute(path, folder)) for key, path in paths.items() if path})

    # What a component's section leaves out comes from the general section, unless that has no settings.
    alone = topology.ssh == "local"

    def overridden(components: tuple[EccServer, ...] | tuple[DataRouter, ...]) -> tuple[Section, ...]:
        return tuple(each.model_copy(update={"ssh": resolved(each.ssh, defaults=alone)}) for each in components)

    return topology.model_copy(
        update={
            "database": str(absolute(topology.database, folder)),
            "ssh": resolved(topology.ssh, defaults=True),
            "ecc_servers": overridden(topology.ecc_servers),
            "data_routers": overridden(topology.data_routers),
        }
    )


def absolute(path: str, folder: Path) -> Path:
    """A path as it is written in a topology, taken from `folder` if it is relative."""
    return folder / Path(path).expanduser()
