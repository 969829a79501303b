"""All PVs of an installation, updated from the engine's state and the recorder's views."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ioc.ca import CaServer, CommandPv, Pv
from ioc.engine import Engine
from ioc.errors import PeerError
from ioc.model import (
    ArchiveStatus,
    ChecksumStatus,
    Client,
    Event,
    LogbookStatus,
    ObservableView,
    PutRecord,
    Scalar,
    Severity,
)
from ioc.pvs.archive import ArchivePvs
from ioc.pvs.automatic import AutomaticPvs
from ioc.pvs.ecc import EccPvs
from ioc.pvs.group import Group
from ioc.pvs.health import HealthPvs
from ioc.pvs.history import HistoryPvs, LastRuns
from ioc.pvs.interlock import InterlockPvs, SummaryPvs, shown_as
from ioc.pvs.log import LogPvs
from ioc.pvs.logbook import LogbookPvs
from ioc.pvs.new_observable import AddObservable, NewObservablePvs
from ioc.pvs.observable import HISTORY_SECONDS, HistoryAxis, ObservablePvs, SetManual
from ioc.pvs.partner import PartnerPvs
from ioc.pvs.router import RouterPvs
from ioc.pvs.run import RunPvs
from ioc.pvs.system import SystemPvs
from ioc.rundb import StoreHealth
from ioc.runlogic.events import PutRefused
from ioc.runlogic.state import State
from ioc.runlogic.subject import AUTO, RUN, SYSTEM, Kind, Subject, data_router, ecc, interlock, partner
from ioc.topology.schema import Observable, Topology

_log = logging.getLogger(__name__)

_BAD_ROW_SECONDS = 60.0
_SLICE = 15
"""Observables whose statistics are shown in one turn of the event loop."""


@dataclass(frozen=True)
class Services:
    """Functions that PVs need in addition to the engine."""

    read_server_log: Callable[[str], Awaitable[str]]
    """Fetches the end of an ECC server's log file, by the server's name."""
    read_router_log: Callable[[str], Awaitable[str]]
    set_manual: SetManual
    views: Callable[[Iterable[str]], Iterable[ObservableView]]
    """Returns the current views, with statistics, of those named observables that exist."""
    database_health: Callable[[], StoreHealth]
    reload: Callable[[Client], Awaitable[None]]
    add_observable: AddObservable
    last_runs: LastRuns
    database_changes: Callable[[], int]
    """Returns another number after another program has changed the database."""
    logbook: Callable[[], LogbookStatus] = LogbookStatus
    checksums: Callable[[str], ChecksumStatus] = lambda _: ChecksumStatus()
    """Returns what is known of the checksums of a router's files."""
    archive: Callable[[str], ArchiveStatus] = lambda _: ArchiveStatus()
    """Returns the state of the safe copies at a destination, by its name."""


class PvTree:
    """Every PV under the prefix. Observables and interlocks may come and go; everything else is fixed."""

    def __init__(self, topology: Topology, engine: Engine, services: Services, *, simulated: bool) -> None:
        self._prefix = prefix = topology.prefix
        self._services = services
        self._engine = engine
        servers, routers = topology.ecc_servers, topology.data_routers
        read_server, read_router = services.read_server_log, services.read_router_log
        self._run = RunPvs(prefix, engine)
        self._automatic = AutomaticPvs(prefix, engine, self._present_observables)
        self._routers = [
            RouterPvs(
                prefix, each.name, engine, partial(read_router, each.name), partial(services.checksums, each.name)
            )
            for each in routers
        ]
        self._detector: dict[Subject, Group] = {
            SYSTEM: SystemPvs(prefix, engine),
            **{ecc(each.name): EccPvs(prefix, each.name, engine, partial(read_server, each.name)) for each in servers},
            **{data_router(each.name): group for each, group in zip(routers, self._routers, strict=True)},
            **{partner(each.name): PartnerPvs(prefix, each.name) for each in topology.partners},
            RUN: self._run,
            AUTO: self._automatic,
        }
        """Groups that show the state of the core."""
        self._alarming = {
            str(subject): [pv for pv in group.pvs if not isinstance(pv, CommandPv)]
            for subject, group in self._detector.items()
        }
        """Those that can be in alarm, by the name of the component."""
        self._subjects = {pv.name: subject for subject, group in self._detector.items() for pv in group.pvs}
        """The subject whose message shows errors of a PV; for all others, the system."""
        self._summary = SummaryPvs(prefix)
        self._interlocks = {name: InterlockPvs(prefix, each, engine) for name, each in engine.plan.interlocks.items()}
        self._history = HistoryPvs(prefix, engine, services.last_runs, services.database_changes)
        self._axis = HistoryAxis(prefix)
        self._log = LogPvs(prefix)
        self._health = HealthPvs(prefix, simulated=simulated, database=services.database_health, reload=services.reload)
        self._new = NewObservablePvs(prefix, services.add_observable)
        self._logbook = LogbookPvs(prefix, services.logbook)
        self._archive = {each.name: ArchivePvs(prefix, each.name, services.archive) for each in topology.archive}
        self.observables: dict[str, ObservablePvs] = {}
        """By name."""
        for observable in topology.observables:
            self._add(observable)
        self._due = False
        """A new state will be shown in the next turn of the event loop."""

    @property
    def pvs(self) -> Iterable[Pv[Any]]:
        """All PVs, in the order of the documentation."""
        for group in (
            *self._detector.values(),
            self._history,
            self._axis,
            *self.observables.values(),
            self._new,
            *self._interlocks.values(),
            self._summary,
            self._log,
            self._health,
            self._logbook,
            *self._archive.values(),
        ):
            yield from group.pvs

    def rows(self, kind: Kind) -> Mapping[str, Group]:
        return {subject.name: group for subject, group in self._detector.items() if subject.kind is kind}

    def show_soon(self, _: State) -> None:
        """Take a state from the engine. All those of one turn of the event loop are shown as one.

        So a hundred servers that answer at the same time are not shown a hundred times.
        """
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._show_newest)

    def _show_newest(self) -> None:
        self._due = False
        self.show(self._engine.state)

    def show(self, state: State) -> None:
        for group in (*self._detector.values(), *self._interlocks.values(), self._summary, self._history):
            try:
                group.update(state)
            except Exception:  # the others must not stop with it
                _log.exception("the PVs %s… cannot be shown", group.base)

    def show_observables(self, views: Iterable[ObservableView]) -> None:
        """Show the views of some observables; missing statistics follow with the next tick."""
        for view in views:
            if view.name in self.observables:
                self.observables[view.name].show(view)

    def show_put(self, put: PutRecord) -> None:
        """Show in the nearest message why a put was refused or failed, or the remark on an accepted one."""
        if put.message and put.result not in {"ok", "denied"} and (group := self._observable_of(put.pv)) is not None:
            group.show_refusal(put.message)
        if put.message and put.result != "denied" and not put.logged:
            self._engine.post(PutRefused(self._subject_of(put.pv), put.message, put.occurred_at))
            self.show(self._engine.state)  # before the put is answered

    def _subject_of(self, pv: str) -> Subject:
        for name, group in self._interlocks.items():
            if pv.startswith(group.base):
                return interlock(name)
        return self._subjects.get(pv, SYSTEM)

    def _observable_of(self, pv: str) -> ObservablePvs | NewObservablePvs | None:
        """Return the observable that a PV belongs to, None if it belongs to none."""
        if pv.startswith(self._new.base):
            return self._new
        begin, _, rest = pv.partition("Obs:")
        return self.observables.get(rest.partition(":")[0]) if begin == self._prefix else None

    def show_event(self, event: Event) -> None:
        self._log.show(event)

    def set_observables(self, observables: Sequence[Observable], server: CaServer) -> None:
        """Serve these observables from now on; unchanged ones keep their PVs and clients."""
        wanted = {observable.name: observable for observable in observables}
        for name, group in list(self.observables.items()):
            if wanted.get(name) != group.observable:
                for pv in group.pvs:
                    server.remove(pv.name)
                del self.observables[name]
        for name, observable in wanted.items():
            if name not in self.observables:
                for pv in self._add(observable).pvs:
                    server.add(pv)

    def _present_observables(self) -> Sequence[Observable]:
        return [group.observable for group in self.observables.values()]

    def set_interlocks(self, server: CaServer) -> None:
        """Serve the interlocks of the engine's plan from now on; those that look the same keep PVs and clients."""
        wanted = self._engine.plan.interlocks
        for name, group in list(self._interlocks.items()):
            if name not in wanted or shown_as(wanted[name]) != group.looks_like:
                for pv in group.pvs:
                    server.remove(pv.name)
                del self._interlocks[name]
        for name, plan in wanted.items():
            if name not in self._interlocks:
                self._interlocks[name] = group = InterlockPvs(self._prefix, plan, self._engine)
                group.update(self._engine.state)
                for pv in group.pvs:
                    server.add(pv)

    def _add(self, observable: Observable) -> ObservablePvs:
        group = ObservablePvs(self._prefix, observable, self._set_manual)
        self.observables[observable.name] = group
        return group

    async def _set_manual(self, name: str, value: Scalar, client: Client) -> None:
        await self._services.set_manual(name, value, client)
        self.show_observables(self._services.views([name]))  # before the put is answered

    async def tick(self, server: CaServer) -> None:
        """Update health and run time once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        remembered = due - HISTORY_SECONDS
        while True:
            self._health.tick(server)
            self._run.tick()
            self._automatic.tick()
            for group in (self._logbook, *self._archive.values(), *self._routers):
                group.tick()
            self._health.show_alarms(self._alarms())
            remember = due - remembered >= HISTORY_SECONDS
            await self._show_statistics(remember=remember)
            remembered = due if remember else remembered
            due = max(due + 1.0, loop.time())
            await asyncio.sleep(due - loop.time())

    async def keep_history(self) -> None:
        """Read the earlier runs of each experiment that is chosen, until cancelled."""
        while True:
            try:
                await self._history.load()
            except PeerError:
                pass  # the database's own PVs say what is wrong
            except Exception:  # a row that somebody has changed by hand
                _log.exception("the latest runs cannot be shown")
                await asyncio.sleep(_BAD_ROW_SECONDS)
            await asyncio.sleep(1.0)

    def _alarms(self) -> dict[str, int]:
        """Return the severity of everything that is in alarm, by the name of the component."""
        found = {name: max(pv.severity for pv in pvs) for name, pvs in self._alarming.items()}
        found |= {f"Obs:{name}": group.severity for name, group in self.observables.items()}
        found |= {f"Interlock:{name}": group.state.severity for name, group in self._interlocks.items()}
        found["Logbook"] = self._logbook.state.severity
        found |= self._health.alarms()
        found |= {f"Archive:{name}": group.state.severity for name, group in self._archive.items()}
        return {name: severity for name, severity in found.items() if severity > Severity.NO_ALARM}

    async def _show_statistics(self, *, remember: bool) -> None:
        """Show all observables, a few at a time: a thousand at once would delay commands."""
        names = list(self.observables)
        for start in range(0, len(names), _SLICE):
            some = names[start : start + _SLICE]
            self.show_observables(self._services.views(some))
            if remember:
                for name in some:
                    self.observables[name].remember()
            await asyncio.sleep(0)
