"""What lives on a host, as the topology describes it."""

from __future__ import annotations

from dataclasses import dataclass

from ioc.model import LinkType


@dataclass(frozen=True)
class RouterSite:
    """One data router."""

    name: str
    port: int
    """Where it takes data; tells it from other dataRouters of the host."""
    work_dir: str | None
    """Where it writes, if the process cannot tell; ``~`` is the home directory on the host."""
    link_type: LinkType
    address: str = ""
    """Address of the host as the topology has it; tells two routers apart that share a port number."""


@dataclass(frozen=True)
class ServerSite:
    """One ECC server; only its configuration files matter here."""

    name: str
    config_root: str | None
    config_backup_root: str | None
