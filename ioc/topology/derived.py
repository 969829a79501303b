"""Data derived from a topology: data links and the SSH settings of a host."""

from __future__ import annotations

from typing import Literal

from ioc.model import DataLink, ValueType
from ioc.topology.schema import DataRouter, DataSource, EccServer, Interlock, Observable, Ssh, Topology, Units


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


def units_of(topology: Topology, component: EccServer | DataRouter) -> Units | None:
    """Return what starts the program on its host: its own setting, else the general one."""
    return component.units or topology.units


def unit_name(component: EccServer | DataRouter) -> str:
    """Return the fixed name of its unit (systemd) or agent (launchd)."""
    return f"attpc-{'ecc' if isinstance(component, EccServer) else 'router'}-{component.name}"


def watched_by(interlock: Interlock) -> str:
    """Name of the readings of an interlock: its observable's, or one that no observable can have."""
    return interlock.observable or f"Interlock:{interlock.name}"


def watched_pvs(topology: Topology) -> tuple[Observable, ...]:
    """The PVs of interlocks that are no observables, as observables that are followed but not recorded."""
    return tuple(
        Observable.model_construct(name=watched_by(each), pv=each.pv, type=_type_of(each))
        for each in topology.interlocks
        if each.pv is not None
    )


def _type_of(interlock: Interlock) -> ValueType:
    """A PV that is compared with texts is read as a text, which for an enum is its label."""
    texts = any(isinstance(value, str) for value in interlock.allowed)
    return ValueType.String if texts else ValueType.Float
