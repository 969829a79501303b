"""All PVs of an installation: the engine's state and the recorder's views go in, PVs change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ioc.ca import CaServer, Pv
from ioc.engine import Engine
from ioc.model import Client, Event, ObservableView, PutRecord, Scalar
from ioc.pvs.ecc import EccPvs
from ioc.pvs.group import Group
from ioc.pvs.health import HealthPvs
from ioc.pvs.log import LogPvs
from ioc.pvs.observable import ObservablePvs, SetManual
from ioc.pvs.router import RouterPvs
from ioc.pvs.run import RunPvs
from ioc.pvs.system import SystemPvs
from ioc.rundb import StoreHealth
from ioc.runlogic.events import PutRefused
from ioc.runlogic.state import State
from ioc.runlogic.subject import RUN, SYSTEM, Subject, data_router, ecc
from ioc.topology.schema import Observable, Topology

_SLICE = 15
"""Observables whose statistics are shown before the loop's other work goes on."""


@dataclass(frozen=True)
class Services:
    """What PVs need beside the engine."""

    read_server_log: Callable[[str], Awaitable[str]]
    """Fetches the end of an ECC server's log file, by the server's name."""
    read_router_log: Callable[[str], Awaitable[str]]
    set_manual: SetManual
    views: Callable[[Iterable[str]], Iterable[ObservableView]]
    """Those of the named observables that exist, as they are now, with statistics."""
    database_health: Callable[[], StoreHealth]
    reload: Callable[[Client], Awaitable[None]]


class PvTree:
    """Every PV under the prefix. Observables may come and go; everything else is fixed."""

    def __init__(self, topology: Topology, engine: Engine, services: Services, *, simulated: bool) -> None:
        self._prefix = prefix = topology.prefix
        self._services = services
        self._engine = engine
        servers, routers = topology.ecc_servers, topology.data_routers
        read_server, read_router = services.read_server_log, services.read_router_log
        self._run = RunPvs(prefix, engine)
        self._detector: dict[Subject, Group] = {
            SYSTEM: SystemPvs(prefix, engine),
            **{ecc(each.name): EccPvs(prefix, each.name, engine, partial(read_server, each.name)) for each in servers},
            **{
                data_router(each.name): RouterPvs(prefix, each.name, engine, partial(read_router, each.name))
                for each in routers
            },
            RUN: self._run,
        }
        """What follows the state of the core."""
        self._subjects = {pv.name: subject for subject, group in self._detector.items() for pv in group.pvs}
        """Whose message is nearest to a PV; that of the system for all others."""
        self._log = LogPvs(prefix)
        self._health = HealthPvs(prefix, simulated=simulated, database=services.database_health, reload=services.reload)
        self._observables: dict[str, ObservablePvs] = {}
        for observable in topology.observables:
            self._add(observable)
        engine.subscribe(self.show)

    @property
    def pvs(self) -> Iterable[Pv[Any]]:
        """All PVs, in the order of the interface's documentation."""
        for group in (*self._detector.values(), *self._observables.values(), self._log, self._health):
            yield from group.pvs

    def show(self, state: State) -> None:
        """Show a new state of the core."""
        for group in self._detector.values():
            group.update(state)

    def show_observables(self, views: Iterable[ObservableView]) -> None:
        """Show what some observables do; statistics that they are without follow with the next tick."""
        for view in views:
            if view.name in self._observables:
                self._observables[view.name].show(view)

    def show_put(self, put: PutRecord) -> None:
        """Say in the nearest message why a put was refused or failed, and what there is to say of one that was not."""
        if put.message and put.result != "denied" and not put.logged:
            self._engine.post(PutRefused(self._subjects.get(put.pv, SYSTEM), put.message, put.occurred_at))

    def show_event(self, event: Event) -> None:
        """Show one more line of the log."""
        self._log.show(event)

    def set_observables(self, observables: Sequence[Observable], server: CaServer) -> None:
        """Serve these observables from now on; one that has not changed keeps its PVs and their clients."""
        wanted = {observable.name: observable for observable in observables}
        for name, group in list(self._observables.items()):
            if wanted.get(name) != group.observable:
                for pv in group.pvs:
                    server.remove(pv.name)
                del self._observables[name]
        for name, observable in wanted.items():
            if name not in self._observables:
                for pv in self._add(observable).pvs:
                    server.add(pv)

    def _add(self, observable: Observable) -> ObservablePvs:
        group = ObservablePvs(self._prefix, observable, self._set_manual)
        self._observables[observable.name] = group
        return group

    async def _set_manual(self, name: str, value: Scalar, client: Client) -> None:
        await self._services.set_manual(name, value, client)
        self.show_observables(self._services.views([name]))  # before it is answered

    async def tick(self, server: CaServer) -> None:
        """Measure health and time once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._health.tick(server)
            self._run.tick()
            await self._show_statistics()
            due = max(due + 1.0, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _show_statistics(self) -> None:
        """Show all observables, a few at a time: a thousand at once would keep commands waiting."""
        names = list(self._observables)
        for start in range(0, len(names), _SLICE):
            self.show_observables(self._services.views(names[start : start + _SLICE]))
            await asyncio.sleep(0)
