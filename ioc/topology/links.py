"""Which sources an ECC server drives, and where their data go."""

from __future__ import annotations

from ioc.model import DataLink
from ioc.topology.schema import DataSource, Topology


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
