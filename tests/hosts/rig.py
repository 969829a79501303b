"""What the tests of hosts work with: hosts of either kind, real dataRouter processes, a stand-in for the database."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

from ioc.hosts import LocalHost, MachineHost, RouterSite, ServerSite, SshHost
from ioc.model import FiledFile, LinkType
from ioc.topology.schema import Ssh
from tests.sshd import SshServer, free_port

TIMES = {"ssh_timeout": 10.0, "filing_timeout": 20.0, "settle_seconds": 0.1}


class Hosts:
    """Makes hosts of one kind and closes them."""

    def __init__(self, sshd: SshServer | None) -> None:
        self.sshd = sshd
        self.made: list[MachineHost] = []

    def __call__(
        self,
        *routers: RouterSite,
        servers: tuple[ServerSite, ...] = (),
        settings: Ssh | None = None,
        address: str = "127.0.0.1",
        **times: float,
    ) -> MachineHost:
        chosen = {**TIMES, **times}
        host = (
            SshHost(address, settings or self.sshd.settings(), routers, servers, **chosen)
            if self.sshd
            else LocalHost(routers, servers, **chosen)
        )
        self.made.append(host)
        return host

    async def close(self) -> None:
        """Close all."""
        for host in self.made:
            await host.close()


def site(name: str = "data0", port: int = 46005, work_dir: pathlib.Path | str | None = None) -> RouterSite:
    """Return a router."""
    return RouterSite(name, port, str(work_dir) if work_dir else None, LinkType.TCP)


ROUTER_PROGRAM = """
import signal, socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
if kind != "none":
    listener = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", port))
    if kind == "tcp":
        listener.listen()
print("ready", flush=True)
signal.pause()
"""


class DataRouters:
    """Starts processes called dataRouter that really listen, and ends them."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.program = directory / "dataRouter"
        self.program.symlink_to(pathlib.Path(sys.executable).resolve())
        self.running: list[subprocess.Popen[str]] = []

    def start(self, work_dir: pathlib.Path, port: int | None = None, kind: str = "tcp") -> int:
        """Start one in `work_dir`; returns its port."""
        port = port or free_port()
        process = subprocess.Popen(
            [str(self.program), "-I", "-S", "-c", ROUTER_PROGRAM, kind, str(port)],
            cwd=work_dir,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return port

    def stop(self) -> None:
        """End all."""
        for process in self.running:
            process.kill()
            process.communicate()
        self.running.clear()


class Records:
    """Takes what a filing records, as the run database does: the same host and path again replaces."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], FiledFile] = {}
        self.on_record: Callable[[], None] = lambda: None

    async def __call__(self, file: FiledFile) -> None:
        self.files[file.host, file.path] = file
        self.on_record()

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by path."""
        return {file.path: file.size for file in self.files.values()}


def contents(directory: pathlib.Path) -> dict[bytes, bytes]:
    """Return the content of the regular files in `directory` by name."""
    return {os.fsencode(file.name): file.read_bytes() for file in directory.iterdir() if file.is_file()}


def put(directory: pathlib.Path, files: dict[bytes, bytes]) -> None:
    """Write files."""
    for name, content in files.items():
        pathlib.Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).write_bytes(content)
