"""What the checksums of filed files cost a start, and how fast they are.

``python benchmarks/checksums.py``: 12 hosts over loopback SSH, each an sshd of its own, with 50 sparse files of 1 GiB
each. *Gone* is the time from a start (the state that the core shows) until no program on any host has a file open.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from ioc.archive.checksums import Checksums
from ioc.hosts import MachineHost
from ioc.hosts.checksums import NoProgramError
from ioc.hosts.ssh import SshTransport
from ioc.model import Checksum, DocumentState, FiledFile, RunClass
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import DataRouter
from tests.archive.checksum_rig import AT_REST, RUNNING
from tests.runlogic.installation import topology
from tests.sshd import SshServer

HOSTS, FILES, SIZE = 12, 50, 1 << 30
STARTS = 10
TIMES = {"ssh_timeout": 30.0, "filing_timeout": 60.0, "settle_seconds": 1.0}


def users(directory: pathlib.Path) -> int:
    """Count the processes that have a file below a directory open."""
    found: set[str] = set()
    for descriptor in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink().is_relative_to(directory):
                found.add(descriptor.parts[2])
    return len(found)


def host(server: SshServer, number: int) -> MachineHost:
    """Return a host with one router, with a connection of its own for work in the background."""
    router = DataRouter.model_construct(name=f"data{number}", host="", port=9, work_dir=None)
    connections = [SshTransport("127.0.0.1", server.settings(), 30.0) for _ in range(2)]
    return MachineHost(f"host{number}", connections[0], [router], [], aside=connections[1], **TIMES)


async def speeds(machine: MachineHost, directory: pathlib.Path) -> None:
    """Print the speed of each algorithm on one host."""
    paths = [str(directory / f"0/{file:02}.graw") for file in range(4)]

    async def record(result: Checksum) -> None:
        assert result.text, result

    for algorithm in ("xxh128", "sha256"):
        began = time.monotonic()
        try:
            await machine.checksums(paths, record, algorithm=algorithm)
        except NoProgramError:
            print(f"{algorithm:>8}  its program is not installed")
        else:
            print(f"{algorithm:>8}  {len(paths) * SIZE / 1e9 / (time.monotonic() - began):.2f} GB/s on one host")


async def starts(store: SqliteRunStore, hosts: list[MachineHost], directory: pathlib.Path) -> None:
    """Print how long programs are there after a start."""
    checksums = Checksums(topology(), hosts, store, print, look_seconds=1.0)
    checksums.show(AT_REST)
    task = asyncio.create_task(checksums.run())
    gone: list[float] = []
    shown: list[float] = []
    for _ in range(STARTS):
        while await asyncio.to_thread(users, directory) < 2 * HOSTS:  # a shell and a program on each
            pass
        began = time.monotonic()
        checksums.show(RUNNING)
        shown.append(time.monotonic() - began)
        while await asyncio.to_thread(users, directory):
            pass
        gone.append(time.monotonic() - began)
        checksums.show(AT_REST)
    task.cancel()
    await asyncio.wait([task])
    print(f"    gone  median {statistics.median(gone):.2f} s, worst {max(gone):.2f} s after {STARTS} starts")
    print(f"   shown  the core waited {max(shown) * 1e3:.2f} ms at most")


async def main() -> None:
    """Measure and print."""
    with contextlib.ExitStack() as stack:
        base = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers: list[SshServer] = []
        for number in range(HOSTS):
            (base / f"sshd{number}").mkdir()
            servers.append(stack.enter_context(SshServer(base / f"sshd{number}")))
        hosts = [host(server, number) for number, server in enumerate(servers)]
        data = base / "data"
        store = await SqliteRunStore.open(base / "runs.db")
        run = await store.reserve_run("e1", "benchmark", RunClass.Testing, "a/b/c")
        for number in range(HOSTS):
            place = data / str(number)
            place.mkdir(parents=True)
            for file in range(FILES):
                with (place / f"{file:02}.graw").open("wb") as made:
                    made.truncate(SIZE)
            files = (
                FiledFile(f"data{number}", f"host{number}", str(path), SIZE, time.time()) for path in place.iterdir()
            )
            await store.add_files(run.run, *files)
        now = time.time()
        await store.save_run(run.changed(state=DocumentState.Complete, started_at=now - 1, stopped_at=now))
        await speeds(hosts[0], data)
        await starts(store, hosts, data)
        await store.close()
        await asyncio.gather(*(each.close() for each in hosts))


if __name__ == "__main__":
    asyncio.run(main())
