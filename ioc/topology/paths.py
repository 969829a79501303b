"""Paths on this machine, made absolute. (Those on other hosts stay as written.)"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ioc.topology.schema import Ssh, Topology

_SSH_PATHS = ("key", "known_hosts", "config")


def resolve_paths(topology: Topology, folder: Path) -> Topology:
    """Return the topology with ``~`` expanded and relative paths taken from `folder`."""

    def overridden(ssh: Ssh | Literal["local"] | None) -> Ssh | Literal["local"] | None:
        # What a component's section leaves out comes from the general section, unless that has no settings.
        return _resolve(ssh, folder, with_defaults=topology.ssh == "local") if isinstance(ssh, Ssh) else ssh

    servers = (server.model_copy(update={"ssh": overridden(server.ssh)}) for server in topology.ecc_servers)
    routers = (router.model_copy(update={"ssh": overridden(router.ssh)}) for router in topology.data_routers)
    general = topology.ssh
    return topology.model_copy(
        update={
            "database": str(absolute(topology.database, folder)),
            "ssh": general if general == "local" else _resolve(general, folder, with_defaults=True),
            "ecc_servers": tuple(servers),
            "data_routers": tuple(routers),
        }
    )


def _resolve(ssh: Ssh, folder: Path, *, with_defaults: bool) -> Ssh:
    paths = {key: getattr(ssh, key) for key in _SSH_PATHS if with_defaults or key in ssh.model_fields_set}
    return ssh.model_copy(update={key: str(absolute(path, folder)) for key, path in paths.items() if path is not None})


def absolute(path: str, folder: Path) -> Path:
    """A path as it is written in a topology, taken from `folder` if it is relative."""
    return folder / Path(path).expanduser()
