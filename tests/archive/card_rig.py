"""Runs with files on several hosts, for the tests of run cards."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ioc.archive.cards import Pace, RunCards
from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.model import (
    ConfigChoice,
    DocumentState,
    Event,
    FiledFile,
    RunClass,
    RunConfig,
    RunId,
    RunRecord,
    Severity,
    Statistics,
)
from ioc.rundb import SqliteRunStore
from ioc.rundb.documents import Measurement
from ioc.topology.schema import DataRouter, Observable, Ssh

QUICK = Pace(look=0.1, again=0.1, first_pause=0.05, longest_pause=0.2)
EXPERIMENT = "e18008"
PRESSURE = Observable(name="pressure", label="Gas pressure", pv="GAS:P", units="Torr")
TITLE = 'Kr, 10 µA "again"\\'


@dataclass
class Site:
    """Some hosts below a directory, each with one router, all on this machine."""

    root: Path
    ssh: Ssh | None
    """None: no host is reached by SSH."""
    events: list[Event] = field(default_factory=list[Event])

    def transport(self) -> Transport:
        """Return a connection to one host."""
        return SshTransport("127.0.0.1", self.ssh, 10.0) if self.ssh else LocalTransport()

    def host(self, number: int, transport: Transport | None = None) -> MachineHost:
        """Return a host."""
        place = str(self.root / f"data{number}")
        router = DataRouter(name=f"data{number}", host=f"host{number}", port=9, work_dir=place)
        return MachineHost(
            f"host{number}",
            transport or self.transport(),
            [router],
            [],
            ssh_timeout=40.0,
            filing_timeout=60.0,
            settle_seconds=0.0,
        )

    def directory(self, number: int, run: RunId) -> Path:
        """Return the directory of a run on a host."""
        return self.root / f"data{number}" / run.directory

    def card(self, number: int, run: RunId) -> Path:
        """Return the path of a card."""
        return self.directory(number, run) / f"run_{run.number:04d}.json"

    def read(self, number: int, run: RunId) -> dict[str, Any] | None:
        """Return the card of a run on a host; None if it has none."""
        path = self.card(number, run)
        return json.loads(path.read_text()) if path.is_file() else None

    def cards(self, store: SqliteRunStore, *hosts: MachineHost, pace: Pace = QUICK) -> RunCards:
        """Return what writes cards."""
        return RunCards(store, hosts, self.events.append, pace)


async def filed_run(store: SqliteRunStore, site: Site, hosts: int = 2, files: int = 2) -> RunRecord:
    """Enter a complete run, and make its files."""
    await store.define_observables(EXPERIMENT, [PRESSURE])
    record = await store.reserve_run(EXPERIMENT, TITLE, RunClass.Production, "front/e20/e20")
    config = RunConfig("CoBo0", ConfigChoice("front", "e20", "e20"), "ab" * 32, "describe-front.xcfg=" + "cd" * 32)
    await store.save_run_configs(record.run, [config])
    statistics = Statistics(4.5, 5.5, 5.0, 7, Severity.MINOR, 0.5)
    await store.save_measurements(record.run, [Measurement("pressure", 5.0, 5.5, statistics)])
    for number in range(hosts):
        place = site.directory(number, record.run)
        place.mkdir(parents=True)
        for part in range(files):
            name = f"CoBo{number}_AsAd{part}_2026-11-22T12:00:00.500_0000.graw"
            (place / name).write_bytes(b"data")
            file = FiledFile(f"data{number}", f"host{number}", f"{place}/{name}", 4, time.time(), f"CoBo[{number}]")
            await store.add_files(record.run, file)
    began = time.time()
    done = record.changed(state=DocumentState.Complete, started_at=began, stopped_at=began + 60, message="CoBo0 died")
    await store.save_run(done)
    return done


async def due(store: SqliteRunStore) -> list[int]:
    """Return the numbers of the runs whose cards some host lacks."""
    sql = "SELECT run_number FROM runs WHERE card_due ORDER BY id"
    return await store.transaction(lambda db: [row[0] for row in db.execute(sql).fetchall()])
