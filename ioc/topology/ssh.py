"""The SSH settings that hold for one server or router."""

from __future__ import annotations

from typing import Literal

from ioc.topology.schema import DataRouter, EccServer, Ssh, Topology


def ssh_for(topology: Topology, component: EccServer | DataRouter) -> Ssh | Literal["local"]:
    """Return the general settings with the component's own put over them, key by key; or ``"local"``: no SSH."""
    general, own = topology.ssh, component.ssh
    if own is None:
        return general
    if own == "local" or general == "local":
        return own
    return general.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
