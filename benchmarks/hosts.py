"""What the machines of routers cost: looking, filing, backups and polling, on this machine and over loopback SSH.

``python benchmarks/hosts.py``. Routers are processes of the simulator with a source each, which sends small frames to
each of them all the time, so that files grow while the host is looked at; for filing, the sources pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.model import ConfigChoice, FiledFile, Role, RunId
from ioc.topology.schema import DataRouter, EccServer
from tests.sshd import SshServer

PERIOD = 2.0
"""Seconds between looks, the default of ``polling: {routers: …}``."""
SETTLE = 0.5
EVENTS_PER_SECOND = 100
"""Of all routers of a host together."""
TIMES = {"ssh_timeout": 30.0, "filing_timeout": 60.0}
PROGRAM = pathlib.Path(__file__).parents[1] / "ioc/sim/datarouter.py"
BOARDS = 3
"""Files of each router in a run."""


def frame(board: int, event: int) -> bytes:
    """Return a frame of 256 bytes, as the simulator's routers accept it."""
    content = bytearray(256)
    content[0], content[1:4], content[5:7] = 8, (1).to_bytes(3, "big"), (1).to_bytes(2, "big")
    content[22:26], content[27] = event.to_bytes(4, "big"), board
    return bytes(content)


@dataclass
class Routers:
    """Processes called dataRouter and their sources."""

    directory: pathlib.Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    sources: list[socket.socket] = field(default_factory=list[socket.socket])
    sites: list[DataRouter] = field(default_factory=list[DataRouter])
    event: int = 0

    def start(self, number: int) -> None:
        """Start them, and connect the sources."""
        program = self.directory / "dataRouter"
        program.symlink_to(pathlib.Path(sys.executable).resolve())
        for i in range(number):
            place = self.directory / f"data{i}"
            place.mkdir()
            ends = ("127.0.0.1:0", "127.0.0.1:0", "TCP", "FrameStorage", "/dev/null", str(1 << 30), str(1 << 40))
            command = [str(program), "-I", "-S", str(PROGRAM), *ends]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.processes.append(subprocess.Popen(command, cwd=place, **pipes))
        for i, process in enumerate(self.processes):
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1])
            self.sites.append(DataRouter(name=f"data{i}", host="127.0.0.1", port=port))
            self.sources.append(socket.create_connection(("127.0.0.1", port)))

    def send(self) -> None:
        """Send one event to each of them."""
        self.event += 1
        frames = b"".join(frame(board, self.event) for board in range(BOARDS))
        for source in self.sources:
            source.sendall(frames)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send events all the time."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(len(self.sources) / EVENTS_PER_SECOND):
                self.send()

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def stop(self) -> None:
        """End them."""
        for source in self.sources:
            source.close()
        for process in self.processes:
            process.communicate()


def children_cpu() -> float:
    """Return the CPU time of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def new_transport(sshd: SshServer | None) -> Transport:
    """Connect to this machine, through a server if there is one."""
    return SshTransport("127.0.0.1", sshd.settings(), 30.0) if sshd else LocalTransport()


async def one_host(sshd: SshServer | None, directory: pathlib.Path, number: int, rounds: int = 3) -> None:
    """Measure one host with many routers and ECC servers."""
    configs = directory / "configs"
    configs.mkdir(parents=True)
    for name in ("describe-sim", "prepare-sim", "configure-sim"):
        (configs / f"{name}.xcfg").write_bytes(name.encode() * 30_000)
    routers = Routers(directory)
    routers.start(number)
    servers = [
        EccServer(
            name=f"CoBo{i}",
            role=Role.CoBo,
            host="127.0.0.1",
            port=8083,
            config_root=str(configs),
            config_backup_root=str(directory / "copies"),
        )
        for i in range(number)
    ]
    host = MachineHost("127.0.0.1", new_transport(sshd), routers.sites, servers, settle_seconds=SETTLE, **TIMES)
    looks, cpu, filings, filing_cpu, copies, copying_cpu = [], [], [], [], [], []
    written: list[FiledFile] = []

    async def record(file: FiledFile) -> None:
        written.append(file)

    try:
        await host.router_facts("e18008/run_0000")
        for run in (RunId("e18008", i) for i in range(rounds)):
            with routers.sending():
                for _ in range(5):
                    used, begin = children_cpu(), time.perf_counter()
                    facts = await host.router_facts(run.directory)
                    looks.append(time.perf_counter() - begin)
                    cpu.append(children_cpu() - used)
                    assert all(fact.online for fact in facts.values()), facts
            while True:  # until the routers have read all that was sent
                before = await host.router_facts(run.directory)
                staged = sum(fact.staged_bytes for fact in before.values())
                if staged % (number * BOARDS * 256) == 0 and staged:
                    break
            begin, used = time.perf_counter(), time.process_time()
            reports = await asyncio.gather(*(host.file_run(site.name, run, record) for site in routers.sites))
            filings.append(time.perf_counter() - begin - SETTLE)
            filing_cpu.append(time.process_time() - used)
            assert all(report.complete and len(report.files) == BOARDS for report in reports), reports
            facts = await host.router_facts(run.directory)
            assert all(fact.clean for fact in facts.values())
            begin, used = time.perf_counter(), time.process_time()
            choice = ConfigChoice("sim", "sim", "sim")
            await asyncio.gather(*(host.backup_configs(server.name, run, choice) for server in servers))
            copies.append(time.perf_counter() - begin)
            copying_cpu.append(time.process_time() - used)
    finally:
        await host.close()
        routers.stop()
    columns = [f"{min(times):.3f}" for times in (looks, filings, copies)]
    columns += [f"{1e3 * statistics.median(times):.0f}" for times in (filing_cpu, copying_cpu)]
    columns += ["" if sshd else f"{1e3 * statistics.median(cpu):.0f}"]
    print(f"| {'SSH' if sshd else 'local'} | {number} | {' | '.join(columns)} |", flush=True)


async def many_hosts(sshd: SshServer, directory: pathlib.Path, number: int, rounds: int) -> None:
    """CPU time of this process for looking at many hosts, related to the polling period."""
    hosts: list[MachineHost] = []
    for i in range(number):
        (directory / f"data{i}").mkdir()
        site = DataRouter(name=f"data{i}", host="127.0.0.1", work_dir=str(directory / f"data{i}"))
        hosts.append(MachineHost("127.0.0.1", new_transport(sshd), [site], [], settle_seconds=SETTLE, **TIMES))
    for host in hosts:
        await host.router_facts("e18008/run_0000")
    begin, used = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        await asyncio.gather(*(host.router_facts("e18008/run_0000") for host in hosts))
    took, used = (time.perf_counter() - begin) / rounds, (time.process_time() - used) / rounds
    await asyncio.gather(*(host.close() for host in hosts))
    print(
        f"polling {number} hosts with a router each: {1e3 * used:.0f} ms CPU a round = {100 * used / PERIOD:.1f} % of "
        f"a core at {PERIOD:g} s (a round takes {took:.2f} s here, where all the hosts are this machine)"
    )


async def main() -> None:
    """Measure all."""
    with tempfile.TemporaryDirectory() as name, SshServer(pathlib.Path(name)) as sshd:
        directory = pathlib.Path(name)
        print(
            "| by | routers | look, s | filing after settling, s | backups, s | CPU of the IOC for filing, ms "
            "| for backups, ms | CPU of a look on the host, ms |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for server in (None, sshd):
            for number in (1, 12, 100):
                place = directory / f"{'ssh' if server else 'local'}{number}"
                place.mkdir()
                await one_host(server, place, number)
        for number in (12, 100):
            place = directory / f"many{number}"
            place.mkdir()
            await many_hosts(sshd, place, number, 2)


if __name__ == "__main__":
    asyncio.run(main())
