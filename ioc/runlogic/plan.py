"""The core's view of an installation: its parts, their order, and the requirements of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ioc.model import Action, ConfigChoice, DataLink, FiledFile, HookPoint, Operation, Role, ValueType, Window
from ioc.topology.derived import links_of, sources_of, unit_name, units_of, watched_by
from ioc.topology.schema import Hook, Partner, Topology

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class ServerPlan:
    name: str
    role: Role
    supports_resume: bool
    links: tuple[DataLink, ...]
    sources: tuple[str, ...]
    default_config: ConfigChoice | None
    backs_up: bool
    """Its configuration files are copied with each run, and hashed when it is configured."""
    unit: str = ""
    """Name of the unit or agent that starts it on its host; empty if there is none."""


_CONSEQUENCES: Mapping[Action, str] = {
    Action.Alarm: "",
    Action.Block: ": no run can start",
    Action.Hold: ": no run can start, and an open run is paused",
    Action.Stop: ": no run can start, and an open run is stopped",
}


@dataclass(frozen=True)
class InterlockPlan:
    """One interlock; times in seconds."""

    name: str
    watches: str
    """Name of its readings."""
    observable: str
    """Name of its observable; empty if it follows a PV of its own."""
    what: str
    """The observable or PV, for messages."""
    units: str
    numeric: bool
    """Its value is shown as a number."""
    window: Window
    """Limits of the topology; a PV may change them."""
    action: Action
    in_run_only: bool
    for_seconds: float
    clear_seconds: float
    bypass_seconds: float

    @property
    def forbids_start(self) -> bool:
        return self.action is not Action.Alarm

    def tripped(self, reason: str) -> str:
        """Return the message while it is tripped."""
        return reason + _CONSEQUENCES[self.action]


@dataclass(frozen=True)
class Plan:
    """An installation, by name; immutable."""

    experiment: str
    """From the topology; the operator's later choice takes precedence."""
    servers: Mapping[str, ServerPlan]
    routers: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    """Routers that receive the data of each data source."""
    host_of: Mapping[str, str]
    """Host address of each data router."""
    server_of: Mapping[str, str]
    """ECC server that drives each data source."""
    order: Mapping[Operation, tuple[Role, ...]]
    reset_mutant_before_start: bool
    min_disk_free: int
    """Free bytes that each router's disk must have before a run may start."""
    silent_seconds: float
    """A router that has written nothing for this long during a run counts as silent."""
    require: tuple[str, ...]
    """Observables that must be connected before a run may start."""
    interlocks: Mapping[str, InterlockPlan]
    hooks: Mapping[HookPoint, tuple[Hook, ...]]
    router_units: Mapping[str, str]
    """Name of the unit or agent that starts each data router on its host, if there is one."""
    partners: Mapping[str, Partner]

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
                    unit=unit_name(server) if units_of(topology, server) else "",
                )
                for server in topology.ecc_servers
            },
            routers=tuple(router.name for router in topology.data_routers),
            sources={source.id: source.data_routers for source in topology.data_sources},
            host_of={router.name: router.host for router in topology.data_routers},
            server_of={source.id: source.ecc_server for source in topology.data_sources},
            order={
                Operation.Describe: order.describe,
                Operation.Prepare: order.prepare,
                Operation.Configure: order.configure,
                Operation.Start: order.start,
                Operation.Stop: order.stop,
                **dict.fromkeys((Operation.Pause, Operation.Resume, Operation.Breakup, Operation.Undo), order.reset),
            },
            reset_mutant_before_start=topology.runs.reset_mutant_before_start,
            min_disk_free=int(topology.runs.min_disk_free_gb * GIGABYTE),
            silent_seconds=topology.runs.silent_seconds,
            require=topology.runs.require,
            interlocks=_interlocks(topology),
            hooks={point: topology.hooks.at(point) for point in HookPoint},
            router_units={each.name: unit_name(each) for each in topology.data_routers if units_of(topology, each)},
            partners={each.name: each for each in topology.partners},
        )

    @property
    def resumes(self) -> bool:
        return all(server.supports_resume for server in self.servers.values())

    def sources_of(self, router: str) -> tuple[str, ...]:
        """Return the ids of the data sources that send to a router."""
        return self._sources_of.get(router, ())

    @cached_property
    def _sources_of(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for source, routers in self.sources.items():
            for router in routers:
                found[router] = (*found.get(router, ()), source)
        return found

    def servers_of(self, router: str) -> tuple[str, ...]:
        """Return the names of the ECC servers whose sources send to a router."""
        return tuple(dict.fromkeys(self.server_of[source] for source in self.sources_of(router)))

    def attributed(self, router: str, file: FiledFile) -> FiledFile:
        """Return a router's file with the id of the source of its data, if that can be determined.

        It may be that of another router: two of them may share a directory, and one files what both have written.
        """
        named, senders = self._named_source(file.path.rpartition("/")[2]), self.sources_of(router)
        return replace(file, source=named or (senders[0] if len(senders) == 1 else ""))

    def _named_source(self, name: str) -> str:
        """Return the source that the name of a file tells; empty if there is none of that name.

        A file of CoBo k is called ``CoBo<k>_AsAd<a>_…graw``, one of a MuTAnT ``MuTanT_…graw`` (dataRouter of GET
        release 20210208).
        """
        if board := re.match(r"CoBo(\d+)_", name):
            source = f"CoBo[{int(board[1])}]"
            return source if source in self.sources else ""
        mutants = [source for each in self.of_role(Role.MuTAnT) for source in self.servers[each].sources]
        return mutants[0] if name.startswith("MuTanT_") and len(mutants) == 1 else ""

    def of_role(self, role: Role) -> tuple[str, ...]:
        """Return the names of the servers with `role`, in the topology's order."""
        return tuple(server.name for server in self.servers.values() if server.role is role)

    def partners_of(self, *, before: bool) -> tuple[str, ...]:
        """Return the names of the partners that begin before the ECC servers, or of those that begin after them."""
        order = "before" if before else "after"
        return tuple(each.name for each in self.partners.values() if each.order == order)

    def groups(self, operation: Operation) -> tuple[tuple[str, ...], ...]:
        """Return the names of all servers, group by group in the order for `operation`."""
        groups = (self.of_role(role) for role in self.order[operation])
        return tuple(group for group in groups if group)


def _interlocks(topology: Topology) -> Mapping[str, InterlockPlan]:
    observables = {each.name: each for each in topology.observables}
    plans: dict[str, InterlockPlan] = {}
    for each in topology.interlocks:
        observable = observables[each.observable] if each.observable is not None else None
        of_number = observable is None or observable.type in {ValueType.Float, ValueType.Integer}
        plans[each.name] = InterlockPlan(
            name=each.name,
            watches=watched_by(each),
            observable=each.observable or "",
            what=each.observable or each.pv or "",
            units=observable.units if observable is not None else "",
            numeric=not each.allowed or (of_number and not any(isinstance(value, str) for value in each.allowed)),
            window=Window(each.low, each.high, each.allowed),
            action=each.action,
            in_run_only=each.when == "run",
            for_seconds=each.for_seconds,
            clear_seconds=each.clear_seconds,
            bypass_seconds=each.bypass_minutes * 60,
        )
    return plans
