"""What the core needs to know of an installation: who is there, in which order they go, what a run requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ioc.model import ConfigChoice, DataLink, Operation, Role
from ioc.topology.links import links_of, sources_of
from ioc.topology.schema import Topology

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class ServerPlan:
    """One ECC server."""

    name: str
    role: Role
    supports_resume: bool
    links: tuple[DataLink, ...]
    sources: tuple[str, ...]
    default_config: ConfigChoice | None
    backs_up: bool
    """Its configuration files are copied beside each run, and digested when it is configured."""


@dataclass(frozen=True)
class Plan:
    """An installation, by name; immutable."""

    experiment: str
    """Of the topology; what the operator typed later goes before it."""
    servers: Mapping[str, ServerPlan]
    routers: tuple[str, ...]
    peers: Mapping[str, frozenset[str]]
    """For each router those of its link type, which should write when it writes."""
    order: Mapping[Operation, tuple[Role, ...]]
    reset_mutant_before_start: bool
    min_disk_free: int
    """Bytes that each router's disk must have before a run may start."""
    require: tuple[str, ...]
    """Observables that must be connected before a run may start."""

    @classmethod
    def of(cls, topology: Topology) -> Plan:
        """Extract the plan from a topology."""
        order = topology.order
        return cls(
            experiment=topology.experiment,
            servers={
                server.name: ServerPlan(
                    name=server.name,
                    role=server.role,
                    supports_resume=server.supports_resume,
                    links=links_of(topology, server.name),
                    sources=tuple(source.id for source in sources_of(topology, server.name)),
                    default_config=server.config.choice if server.config else None,
                    backs_up=server.config_root is not None and server.config_backup_root is not None,
                )
                for server in topology.ecc_servers
            },
            routers=tuple(router.name for router in topology.data_routers),
            peers={
                router.name: frozenset(other.name for other in topology.data_routers if other.type is router.type)
                for router in topology.data_routers
            },
            order={
                Operation.Describe: order.describe,
                Operation.Prepare: order.prepare,
                Operation.Configure: order.configure,
                Operation.Start: order.start,
                Operation.Stop: order.stop,
                Operation.Pause: order.reset,
                Operation.Resume: order.reset,
                Operation.Breakup: order.reset,
                Operation.Undo: order.reset,
            },
            reset_mutant_before_start=topology.runs.reset_mutant_before_start,
            min_disk_free=int(topology.runs.min_disk_free_gb * GIGABYTE),
            require=topology.runs.require,
        )

    def of_role(self, role: Role) -> tuple[str, ...]:
        """Return the names of the servers with `role`, in the topology's order."""
        return tuple(server.name for server in self.servers.values() if server.role is role)

    def groups(self, operation: Operation) -> tuple[tuple[str, ...], ...]:
        """Return the names of all servers, group after group in the order that `operation` asks for."""
        groups = (self.of_role(role) for role in self.order[operation])
        return tuple(group for group in groups if group)
