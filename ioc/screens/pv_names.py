"""Which PVs of an installation go into the files beside the screens."""

from __future__ import annotations

from collections.abc import Sequence

from ioc.topology.schema import Observable, Topology


def of_servers(topology: Topology, *names: str) -> list[str]:
    """Return these PVs of every ECC server, server by server."""
    return [f"{topology.prefix}ECC:{each.name}:{name}" for each in topology.ecc_servers for name in names]


def of_routers(topology: Topology, *names: str) -> list[str]:
    """Return these PVs of every data router, router by router."""
    return [f"{topology.prefix}Router:{each.name}:{name}" for each in topology.data_routers for name in names]


def of_system(topology: Topology, *names: str) -> list[str]:
    return [f"{topology.prefix}{name}" for name in names]


def values(topology: Topology, observables: Sequence[Observable]) -> list[str]:
    """Return the values of these observables."""
    return [f"{topology.prefix}Obs:{each.name}:Value" for each in observables]
