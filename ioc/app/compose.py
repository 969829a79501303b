"""The composition root: builds every part of a topology, and starts nothing."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ioc import ca
from ioc.app.journal import Journal
from ioc.app.pvaccess import PvAccess
from ioc.app.watching import Watching
from ioc.archive.cards import RunCards
from ioc.archive.checksums import Checksums
from ioc.archive.copies import Copies
from ioc.ecc import ZeepEccClient
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


@dataclass(frozen=True)
class Parts:
    """All parts of a running IOC, wired to each other."""

    topology: Topology
    store: SqliteRunStore
    recorder: ObservableRecorder
    hosts: tuple[MachineHost, ...]
    ecc: dict[str, ZeepEccClient]
    hooks: HookRunner
    partners: dict[str, ReadoutGui]
    engine: Engine
    tree: PvTree
    server: ca.CaServer
    pva: PvAccess
    journal: Journal
    watching: Watching
    logbooks: Logbooks
    notifier: Notifier
    checksums: Checksums
    cards: RunCards
    copies: Copies


def build(
    topology: Topology,
    *,
    simulated: bool,
    reload: Callable[[Client], Awaitable[None]],
    add_observable: AddObservable,
) -> Parts:
    """Build the IOC of a topology. Nothing is connected, opened or listened to before `app.serve` starts it."""
    store = SqliteRunStore(Path(topology.database))
    recorder = ObservableRecorder(
        store,
        ObservableFeed(),
        experiment=topology.experiment,
        observables=topology.observables,
        record=topology.record,
        unrecorded=watched_pvs(topology),
    )
    hosts = build_hosts(topology)
    ecc = {
        server.name: ZeepEccClient(
            server.name,
            server.host,
            server.port,
            state_timeout=topology.timeouts.state,
            transition_timeout=topology.timeouts.transition,
        )
        for server in topology.ecc_servers
    }
    named = {hook.host for point in HookPoint for hook in topology.hooks.at(point)}
    hooks = HookRunner(topology.hooks, {host: build_transport(topology, host) for host in named})
    partners = {
        each.name: ReadoutGui(
            each.name,
            Place(each.host, each.port, each.port_manager or PORT_MANAGER, each.user),
            timeout=each.timeout,
            state_timeout=topology.timeouts.state,
        )
        for each in topology.partners
    }
    shown: list[Callable[[Event], None]] = []  # the PVs of the log are created after the parts that log

    def show_event(event: Event) -> None:
        for show in shown:
            show(event)

    journal = Journal(keep=store.add_event, show=show_event)
    engine = Engine(
        Plan.of(topology),
        ecc=ecc,
        hosts=hosts,
        partners=partners,
        store=store,
        recorder=recorder,
        hooks=hooks,
        timing=Timing(
            poll_ecc=topology.polling.ecc,
            poll_ecc_busy=topology.polling.ecc_busy,
            poll_routers=topology.polling.routers,
            state_timeout=topology.timeouts.state,
            transition_timeout=topology.timeouts.transition,
        ),
        journal=journal.add,
    )
    logbooks = Logbooks(topology, store.last_runs, journal.add)
    engine.subscribe(logbooks.show)
    notifier = Notifier(topology, engine, journal.add)
    checksums = Checksums(topology, hosts, store, journal.add)
    engine.subscribe(checksums.show)
    cards = RunCards(store, hosts, journal.add)
    engine.subscribe(cards.show)
    copies = Copies(topology, store, hosts, journal.add)
    engine.subscribe(copies.show)
    recorder.when_stored_late(lambda run: engine.post(RunRecorded(run)))
    tree = PvTree(
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
            logbook=logbooks.status,
            checksums=checksums.status,
            archive=copies.status,
        ),
        simulated=simulated,
    )
    engine.subscribe(tree.show_soon)
    shown.append(tree.show_event)

    def record_put(record: ca.PutRecord) -> None:
        put = put_record(record)
        store.add_put(replace(put, run=_run_of(engine, put.occurred_at)))
        tree.show_put(put)

    server = ca.CaServer(tree.pvs, may_write=Access(topology.access).may_write, journal=record_put)
    shown_whole = tables(topology.prefix, tree, engine, store.last_rows, store.changes_elsewhere)
    pva = PvAccess(server.site, shown_whole, wanted=topology.pva)
    engine.subscribe(lambda _: pva.refresh())
    watching = Watching(engine, recorder)
    return Parts(
        topology,
        store,
        recorder,
        hosts,
        ecc,
        hooks,
        partners,
        engine,
        tree,
        server,
        pva,
        journal,
        watching,
        logbooks,
        notifier,
        checksums,
        cards,
        copies,
    )


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
