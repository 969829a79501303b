"""The composition root: builds every part of a topology, and starts nothing."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from ioc import ca
from ioc.app.journal import Journal
from ioc.app.pvaccess import PvAccess
from ioc.app.watching import Watching
from ioc.archive.cards import RunCards
from ioc.archive.checksums import Checksums
from ioc.archive.copies import Copies
from ioc.ecc import build_clients
from ioc.engine import Engine, Timing
from ioc.errors import Refused
from ioc.hooks import HookRunner
from ioc.hosts import MachineHost, build_hosts, build_transport
from ioc.logbook.logbooks import Logbooks
from ioc.model import Client, Event, HookPoint, RunId, Scalar, Severity
from ioc.notify.notifier import Notifier
from ioc.observables import ObservableFeed
from ioc.partners import Place, ReadoutGui
from ioc.pvs import Access, AddObservable, PvTree, Services, put_record, tables
from ioc.recorder import ObservableRecorder
from ioc.rundb import SqliteRunStore
from ioc.runlogic.events import RunRecorded
from ioc.runlogic.plan import Plan
from ioc.topology.derived import watched_pvs
from ioc.topology.schema import PORT_MANAGER, DataRouter, EccServer, Topology


class Parts:
    """All parts of the IOC of a topology, wired to each other.

    Nothing is connected, opened or listened to before `app.serve` starts it.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        simulated: bool,
        reload: Callable[[Client], Awaitable[None]],
        add_observable: AddObservable,
    ) -> None:
        self.topology = topology
        self.store = store = SqliteRunStore(Path(topology.database))
        self.recorder = recorder = ObservableRecorder(
            store,
            ObservableFeed(),
            experiment=topology.experiment,
            observables=topology.observables,
            record=topology.record,
            unrecorded=watched_pvs(topology),
        )
        self.hosts = hosts = build_hosts(topology)
        self.ecc = build_clients(topology)
        named = {hook.host for point in HookPoint for hook in topology.hooks.at(point)}
        self.hooks = HookRunner(topology.hooks, {host: build_transport(topology, host) for host in named})
        self.partners = {
            each.name: ReadoutGui(
                each.name,
                Place(each.host, each.port, each.port_manager or PORT_MANAGER, each.user),
                timeout=each.timeout,
                state_timeout=topology.timeouts.state,
            )
            for each in topology.partners
        }
        self.journal = journal = Journal(keep=store.add_event, show=self._show_event)
        self.engine = engine = Engine(
            Plan.of(topology),
            ecc=self.ecc,
            hosts=hosts,
            partners=self.partners,
            store=store,
            recorder=recorder,
            hooks=self.hooks,
            timing=Timing(
                poll_ecc=topology.polling.ecc,
                poll_ecc_busy=topology.polling.ecc_busy,
                poll_routers=topology.polling.routers,
                state_timeout=topology.timeouts.state,
                transition_timeout=topology.timeouts.transition,
            ),
            journal=journal.add,
        )
        self.logbooks = Logbooks(topology, store.last_runs, journal.add)
        self.notifier = Notifier(topology, engine, journal.add)
        self.checksums = Checksums(topology, hosts, store, journal.add)
        self.cards = RunCards(store, hosts, journal.add)
        self.copies = Copies(topology, store, hosts, journal.add)
        for follower in (self.logbooks, self.checksums, self.cards, self.copies):
            engine.subscribe(follower.show)
        recorder.when_stored_late(lambda run: engine.post(RunRecorded(run)))
        self.tree = tree = PvTree(
            topology,
            engine,
            Services(
                read_server_log=_log_reader(hosts, "ECC server", {s.name: s for s in topology.ecc_servers}),
                read_router_log=_log_reader(hosts, "router", {r.name: r for r in topology.data_routers}),
                set_manual=_manual_setter(recorder, engine, journal),
                views=recorder.views,
                database_health=store.health,
                reload=reload,
                add_observable=add_observable,
                last_runs=store.last_runs,
                database_changes=store.changes_elsewhere,
                logbook=self.logbooks.status,
                checksums=self.checksums.status,
                archive=self.copies.status,
            ),
            simulated=simulated,
        )
        engine.subscribe(tree.show_soon)
        self.server = ca.CaServer(tree.pvs, may_write=Access(topology.access).may_write, journal=self._record_put)
        shown_whole = tables(topology.prefix, tree, engine, store.last_rows, store.changes_elsewhere)
        self.pva = PvAccess(self.server.site, shown_whole, wanted=topology.pva)
        engine.subscribe(lambda _: self.pva.refresh())
        self.watching = Watching(engine, recorder)

    def _show_event(self, event: Event) -> None:
        self.tree.show_event(event)

    def _record_put(self, record: ca.PutRecord) -> None:
        put = put_record(record)
        self.store.add_put(replace(put, run=_run_of(self.engine, put.occurred_at)))
        self.tree.show_put(put)


def _run_of(engine: Engine, since: float) -> RunId | None:
    """The open run, or the one that was open at the time `since`; None if there is none."""
    run = engine.state.run
    if run.record is None or not (run.open or (run.record.stopped_at or 0.0) >= since):
        return None
    return run.record.run


def _log_reader(
    hosts: tuple[MachineHost, ...], what: str, components: dict[str, EccServer] | dict[str, DataRouter]
) -> Callable[[str], Awaitable[str]]:
    by_name = {name: host for host in hosts for name in (host.servers if what == "ECC server" else host.routers)}

    async def read(name: str) -> str:
        path = components[name].log_path
        if path is None:
            raise Refused(f"{what} {name}: set log_path in the topology to show its log file")
        return await by_name[name].log_tail(path)

    return read


def _manual_setter(
    recorder: ObservableRecorder, engine: Engine, journal: Journal
) -> Callable[[str, Scalar, Client], Awaitable[None]]:
    async def set_manual(name: str, value: Scalar, client: Client) -> None:
        before, value = await recorder.set_manual(name, value)
        if value == before:
            return  # the put has its row in the database
        now = time.time()
        journal.add(
            Event(
                occurred_at=now,
                severity=Severity.NO_ALARM,
                source=f"Obs:{name}",
                message=f"set to {value}" if before is None else f"set from {before} to {value}",
                run=_run_of(engine, now),
                client=client,
            )
        )

    return set_manual
