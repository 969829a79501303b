"""How soon run cards are on all hosts, and what that costs the next start: ``python -m benchmarks.cards [HOSTS]``.

12 hosts (each with its own SSH connection to one of three servers on this machine), 50 files of 1 GiB each (sparse) on
each host, 300 observables. It prints a table for docs/performance.md.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ioc.archive.cards import RunCards
from ioc.hosts import MachineHost
from ioc.hosts.ssh import SshTransport
from ioc.model import DocumentState, FiledFile, RunClass, RunId, RunRecord, Severity, Statistics
from ioc.rundb import SqliteRunStore
from ioc.rundb.documents import Measurement
from ioc.runlogic.state import Run, State
from ioc.topology.schema import DataRouter, Observable
from tests.sshd import SshServer

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 12
FILES = 50
SERVERS = 3
EXPERIMENT = "e18008"
OBSERVABLES = [Observable(name=f"observable_{number}", label="A label", pv=f"B:{number}") for number in range(300)]
ROUNDS = 7
TIMES = {"ssh_timeout": 30.0, "filing_timeout": 60.0, "settle_seconds": 0.0}


@dataclass
class Bench:
    """The hosts, and where their files are."""

    root: Path
    store: SqliteRunStore
    hosts: list[MachineHost]
    cards: RunCards

    def place(self, host: int, run: RunId) -> Path:
        """Return the directory of a run on a host."""
        return self.root / f"data{host}" / run.directory

    def stage(self, record: RunRecord) -> None:
        """Make the files of a run where routers write them."""
        for host in range(HOSTS):
            (self.root / f"data{host}").mkdir(exist_ok=True)
            for number in range(FILES):
                path = self.root / f"data{host}" / f"CoBo{host}_AsAd{number}_2026-11-22T12:00:00.500_0000.graw"
                with path.open("wb") as file:
                    os.truncate(file.fileno(), 2**30)

    async def finish(self, record: RunRecord) -> None:
        """Let a run be filed as the IOC does: its files are placed, recorded, and the run is complete."""
        numbers = Statistics(1 / 3, 2 / 3, 1 / 7, 36000, Severity.NO_ALARM, 0.0)
        measured = [Measurement(each.name, 1 / 3, 2 / 3, numbers) for each in OBSERVABLES]
        await self.store.save_measurements(record.run, measured)

        async def recorded(file: FiledFile) -> None:
            await self.store.add_files(record.run, file)

        names = [f"data{number}" for number in range(HOSTS)]
        filed = zip(self.hosts, names, strict=True)
        await asyncio.gather(*(host.file_run(name, record.run, recorded) for host, name in filed))
        done = record.changed(state=DocumentState.Complete, started_at=time.time() - 60, stopped_at=time.time())
        await self.store.save_run(done)
        self.cards.show(State(run=Run(record=done)))

    def written(self, run: RunId) -> list[float]:
        """Return when the cards appeared."""
        paths = [self.place(host, run) / f"run_{run.number:04d}.json" for host in range(HOSTS)]
        return [path.stat().st_mtime for path in paths if path.exists()]

    async def start(self) -> float:
        """Return the seconds that hosts and database take at the beginning of a start."""
        begin = time.perf_counter()
        record = await self.store.reserve_run(EXPERIMENT, "next", RunClass.Beam, "a/b/c")
        await asyncio.gather(*(host.router_facts(record.run.directory) for host in self.hosts))
        await self.store.save_run(record.changed(state=DocumentState.Failed))
        return time.perf_counter() - begin


async def measure(bench: Bench) -> None:
    """Measure, and print."""
    quiet = [await bench.start() for _ in range(ROUNDS)]
    first, last, beside, lags, used, size = [], [], [], [], [], 0
    running = asyncio.create_task(bench.cards.run())
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            begin = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - begin - 0.005)

    for _ in range(ROUNDS):
        record = await bench.store.reserve_run(EXPERIMENT, "a run", RunClass.Beam, "a/b/c")
        bench.stage(record)
        await bench.finish(record)
        begin, cpu = time.time(), time.process_time()
        ended.clear()
        watching = asyncio.create_task(watch())
        beside.append(await bench.start())  # at once, while the cards are written
        while len(times := bench.written(record.run)) < HOSTS:  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.005)
        ended.set()
        await watching
        used.append(time.process_time() - cpu)
        first.append(min(times) - begin)
        last.append(max(times) - begin)
        size = (bench.place(0, record.run) / f"run_{record.run.number:04d}.json").stat().st_size
    running.cancel()
    await asyncio.wait([running])
    print("| what | median | worst |\n|---|---:|---:|")
    rows = {
        "filed to the first card, s": first,
        f"filed to the card on the last of {HOSTS} hosts, s": last,
        "reserve a run and look at all hosts, without cards, s": quiet,
        "the same at once after filing, beside the cards, s": beside,
        "the event loop is late beside the cards, s": lags,
        "CPU of this process until all cards are there, s": used,
    }
    for name, values in rows.items():
        print(f"| {name} | {statistics.median(values):.3f} | {max(values):.3f} |")
    print(
        f"\n{HOSTS} hosts, {FILES} files of 1 GiB each, {len(OBSERVABLES)} observables: a card has {size / 1e3:.0f} kB"
    )


async def main() -> None:
    """Make the hosts, and measure."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        servers: list[SshServer] = []
        for number in range(SERVERS):
            (root / f"sshd{number}").mkdir()
            servers.append(SshServer(root / f"sshd{number}"))
            servers[-1].start()
        store = await SqliteRunStore.open(root / "runs.db")
        await store.define_observables(EXPERIMENT, OBSERVABLES)
        hosts: list[MachineHost] = []
        for number in range(HOSTS):
            work_dir = root / f"data{number}"
            work_dir.mkdir()
            router = DataRouter(name=f"data{number}", host=f"host{number}", port=9, work_dir=str(work_dir))
            transport = SshTransport("127.0.0.1", servers[number % SERVERS].settings(), 30.0)
            hosts.append(MachineHost(f"host{number}", transport, [router], [], **TIMES))
        bench = Bench(root, store, hosts, RunCards(store, hosts, print))
        try:
            await measure(bench)
        finally:
            for host in hosts:
                await host.close()
            await store.close()
            for server in servers:
                server.stop()


if __name__ == "__main__":
    asyncio.run(main())
