"""Data derived from a topology: data links and the SSH settings of a host."""

from __future__ import annotations

from typing import Literal

from ioc.model import DataLink
from ioc.topology.schema import DataRouter, DataSource, EccServer, Ssh, Topology


def sources_of(topology: Topology, server: str) -> tuple[DataSource, ...]:
    """The data sources that the ECC server of this name drives, in the order of the file."""
    return tuple(source for source in topology.data_sources if source.ecc_server == server)


def links_of(topology: Topology, server: str) -> tuple[DataLink, ...]:
    """One link for each pair of a source of this ECC server and a router of that source."""
    routers = {router.name: router for router in topology.data_routers}
    return tuple(
        DataLink(source.id, router.name, router.host, router.port, router.type)
        for source in sources_of(topology, server)
        for router in (routers[name] for name in source.data_routers)
    )


def ssh_for(topology: Topology, component: EccServer | DataRouter) -> Ssh | Literal["local"]:
    """Return the general settings, overridden key by key by the component's own; or ``"local"``: no SSH."""
    general, own = topology.ssh, component.ssh
    if own is None:
        return general
    if own == "local" or general == "local":
        return own
    return general.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
