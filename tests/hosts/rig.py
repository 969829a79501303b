"""What the tests of hosts work with: hosts of either kind, real dataRouter processes, a stand-in for the database."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.model import FiledFile
from ioc.sim.ports import free_port
from ioc.topology.schema import DataRouter, EccServer, Ssh
from tests.sshd import SshServer

UNUSED_PORT = 9
"""Nobody's: a router that really runs on this machine must not be taken for one of a test, whose files are moved."""
TIMES = {"ssh_timeout": 40.0, "filing_timeout": 60.0, "settle_seconds": 0.1}


class Hosts:
    """Makes hosts of one kind and closes them."""

    def __init__(self, sshd: SshServer | None) -> None:
        self.sshd = sshd
        self.made: list[MachineHost] = []

    def __call__(
        self,
        *routers: DataRouter,
        servers: tuple[EccServer, ...] = (),
        settings: Ssh | None = None,
        address: str = "127.0.0.1",
        wrap: Callable[[Transport], Any] = lambda transport: transport,
        units: Mapping[str, Any] = MappingProxyType({}),
        aside: Transport | None = None,
        **times: float,
    ) -> MachineHost:
        chosen = {**TIMES, **times}
        transport: Transport = LocalTransport()
        if self.sshd:
            transport = SshTransport(address, settings or self.sshd.settings(), chosen["ssh_timeout"])
        host = MachineHost(
            address if self.sshd else "localhost",
            wrap(transport),
            routers,
            servers,
            units=units,
            aside=aside,
            ssh_timeout=chosen["ssh_timeout"],
            filing_timeout=chosen["filing_timeout"],
            settle_seconds=chosen["settle_seconds"],
        )
        self.made.append(host)
        return host

    async def close(self) -> None:
        """Close all."""
        for host in self.made:
            await host.close()


def site(name: str = "data0", port: int = UNUSED_PORT, work_dir: pathlib.Path | str | None = None) -> DataRouter:
    """Return a router of any name; its address is nobody's."""
    return DataRouter.model_construct(name=name, host="", port=port, work_dir=str(work_dir) if work_dir else None)


def ecc_server(name: str, config_root: pathlib.Path | str | None, backup_root: pathlib.Path | str | None) -> EccServer:
    """Return an ECC server; only its configuration files matter here."""
    return EccServer.model_construct(
        name=name,
        config_root=str(config_root) if config_root else None,
        config_backup_root=str(backup_root) if backup_root else None,
    )


ROUTER_PROGRAM = """
import ctypes, os, socket, sys, time
if "USER_ID" in os.environ:
    os.setuid(int(os.environ["USER_ID"]))
    ctypes.CDLL(None).prctl(4, 1)  # as one that was started by this user: its /proc is his
kind, host, port = os.environ["KIND"], os.environ["ADDRESS"], int(os.environ["PORT"])
control = socket.socket(); control.bind((host, 0)); control.listen()
def now(): return time.strftime("%Y-%m-%dT%H:%M:%S") + ".%03d" % (time.time() % 1 * 1000)
def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port)); listener.listen()
    return listener
if kind == "udp":
    datagrams = socket.socket(type=socket.SOCK_DGRAM); datagrams.bind((host, port))
elif kind == "outgoing":
    out = socket.socket(); out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.bind((host, port)); out.connect((host, int(os.environ["PEER"])))
elif kind == "none":
    control.close()
else:
    listener = listen()
    if kind == "forking" and os.fork() == 0: time.sleep(3600)
print("ready", flush=True)
while kind in ("udp", "outgoing", "none"): time.sleep(3600)
while True:
    source, _ = listener.accept()
    listener.close()
    source.sendall(b"connected" + bytes([10]))
    names, lines = {}, source.makefile("rb")
    for line in lines:
        board, _, frame = line.rstrip().decode().partition(" ")
        name = names.setdefault(board, board + "_" + now() + "_0000.graw")
        with open(name, "ab") as file: file.write(frame.encode())
        source.sendall(b"stored " + name.encode() + bytes([10]))
    lines.close(); source.close()
    if kind == "deaf":
        open("deaf", "w").close()
        time.sleep(3600)
    listener = listen()
"""
"""As strict as the real one: a control port beside the data port; one source at a time, during which it does not listen
for data; a new file for each AsAd of each source, opened and closed again for each frame. Its source sends lines,
``CoBo0_AsAd0 FRAME``, and is told where each was stored.
"""


class Source:
    """A data source that is connected to a router."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        deadline = time.monotonic() + 60
        while True:  # a router whose source has just gone does not listen yet
            try:
                self._socket = socket.create_connection((address, port), timeout=60)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        self._answers = self._socket.makefile("r")
        self._answers.readline()

    def send(self, board: str, frame: str) -> str:
        """Send one frame, ``MuTanT`` or ``CoBo0_AsAd0``; returns the name of the file it is in."""
        self.push(board, frame)
        return self.stored()

    def push(self, board: str, frame: str) -> None:
        """Send one frame to a router that may not read it now."""
        self._socket.sendall(f"{board} {frame}\n".encode())

    def stored(self) -> str:
        """Wait until the next frame is stored; returns the name of its file."""
        return self._answers.readline().strip().removeprefix("stored ")

    def close(self) -> None:
        """Go."""
        self._answers.close()
        self._socket.close()


class DataRouters:
    """Starts processes called dataRouter that really listen, and ends them."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.program = directory / "dataRouter"
        self.program.symlink_to(pathlib.Path(sys.executable).resolve())
        self.running: list[subprocess.Popen[str]] = []
        self.sources: list[Source] = []

    def start(
        self,
        work_dir: pathlib.Path,
        port: int | None = None,
        kind: str = "tcp",
        *,
        address: str = "127.0.0.1",
        peer: int = 0,
        told: bool = True,
        user: int | None = None,
    ) -> int:
        """Start one in `work_dir`; returns its data port.

        Its arguments are those of the real program, unless it is not `told`: without them, a process that does not
        listen yet could be the only router of a host in a test beside this one.
        """
        port = port or free_port()
        process = subprocess.Popen(
            [
                *(str(self.program), "-I", "-S", "-c", ROUTER_PROGRAM),
                *(("127.0.0.1:0", f"{address}:{port}", "TCP", "FrameStorage") if told else ()),
            ],
            env={
                "KIND": kind,
                "ADDRESS": address,
                "PORT": str(port),
                "PEER": str(peer),
                **({} if user is None else {"USER_ID": str(user)}),
            },
            cwd=work_dir,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return port

    def connect(self, port: int, address: str = "127.0.0.1") -> Source:
        """Connect a source to a router, and wait until it has begun to serve it."""
        self.sources.append(Source(port, address))
        return self.sources[-1]

    def freeze(self) -> None:
        """Stop all, as Ctrl-S or Ctrl-Z in their terminals."""
        for process in self.running:
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let all continue."""
        for process in self.running:
            os.kill(process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End all."""
        for source in self.sources:
            source.close()
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self.running.clear()
        self.sources.clear()


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
