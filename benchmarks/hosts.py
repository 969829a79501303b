"""How long filing takes over loopback SSH, and what polling costs: ``python benchmarks/hosts.py``.

Goals: 12 routers with 50 files each are Clean within 3 s after the settle time; polling 100 routers every 2 s takes
at most 25 % of one core of this program (what the hosts spend is not counted).
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from ioc.hosts import MachineHost
from ioc.hosts.ssh import SshTransport
from ioc.model import FiledFile, RunId
from ioc.topology.schema import DataRouter
from tests.sshd import SshServer

RUN = RunId("e18008", 12)
PERIOD = 2.0
"""Seconds between looks, the default of ``polling: {routers: …}``."""


def make_hosts(sshd: SshServer, directory: pathlib.Path, number: int) -> list[MachineHost]:
    """One host, and so one connection, for each router."""
    hosts: list[MachineHost] = []
    for i in range(number):
        work_dir = directory / f"data{i}"
        work_dir.mkdir(exist_ok=True)
        router = DataRouter(name=f"data{i}", host="127.0.0.1", work_dir=str(work_dir))
        transport = SshTransport("127.0.0.1", sshd.settings(), 30.0)
        times = {"ssh_timeout": 30.0, "filing_timeout": 60.0, "settle_seconds": 0.0}
        hosts.append(MachineHost("127.0.0.1", transport, [router], [], **times))
    return hosts


async def look(host: MachineHost) -> bool:
    """Whether every router of the host is Clean."""
    facts = await host.router_facts(RUN.directory)
    return all(each.clean for each in facts.values())


async def filing(sshd: SshServer, directory: pathlib.Path, routers: int, files: int) -> None:
    """Time from settled to Clean."""
    hosts = make_hosts(sshd, directory, routers)
    await asyncio.gather(*(look(host) for host in hosts))
    for host in hosts:
        for i in range(files):
            (directory / host.routers[0] / f"CoBo_{i:04d}.graw").write_bytes(b"x" * 100)
    recorded: list[FiledFile] = []

    async def record(file: FiledFile) -> None:
        recorded.append(file)

    begin, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(host.file_run(host.routers[0], RUN, record) for host in hosts))
    clean = await asyncio.gather(*(look(host) for host in hosts))
    took, used = time.perf_counter() - begin, time.process_time() - used
    await asyncio.gather(*(host.close() for host in hosts))
    print(
        f"filing {routers} routers x {files} files: {took:.2f} s to Clean (CPU {used:.2f} s), {len(recorded)} recorded"
    )
    if not all(clean):
        sys.exit("a router is not Clean")


async def polling(sshd: SshServer, directory: pathlib.Path, routers: int, rounds: int) -> None:
    """CPU time of this process for a look at every router, related to the polling period."""
    hosts = make_hosts(sshd, directory, routers)
    for host in hosts:
        await look(host)
    begin, used = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        await asyncio.gather(*(look(host) for host in hosts))
    took, used = (time.perf_counter() - begin) / rounds, (time.process_time() - used) / rounds
    await asyncio.gather(*(host.close() for host in hosts))
    print(
        f"polling {routers} routers on as many hosts: {1e3 * used:.0f} ms CPU a round = {100 * used / PERIOD:.1f} % "
        f"of a core at {PERIOD:g} s (a round takes {took:.2f} s here, where all the hosts are this machine)"
    )


async def main() -> None:
    """Measure all."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with SshServer(directory) as sshd:
            await filing(sshd, directory, 12, 50)
            await polling(sshd, directory, 12, 5)
            await polling(sshd, directory, 100, 2)


if __name__ == "__main__":
    asyncio.run(main())
