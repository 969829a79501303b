"""Hosts on a network of their own: Linux network namespaces joined by a cable that can be pulled."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.epics import BINARIES

ROOT = Path(__file__).parent.parent.parent
_numbers = count()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=60)


def why_not() -> str:
    """Why this machine cannot have such hosts; empty if it can."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "network namespaces need Linux with iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"attpc-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (subprocess.SubprocessError, OSError):
        return "this machine does not let root make network namespaces"
    return ""


class Program:
    """A program on a host; `lines` is what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def until(self, word: str, timeout: float = 60.0) -> str:
        """The first line with this in it."""
        deadline = time.monotonic() + timeout
        while True:
            for line in self.lines:
                if word in line:
                    return line
            assert time.monotonic() < deadline, f"no line with {word!r} within {timeout} s: {self.lines}"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Host:
    """One end of the cable. It begins without any address but loopback's."""

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.device = device
        self._programs: list[Program] = []
        self.environment: dict[str, str] = {}

    def ip(self, *arguments: str) -> None:
        _ip("-n", self.name, *arguments)

    def address(self, address: str, *more: str) -> None:
        """Give it one more address, like 10.9.0.1/24."""
        self.ip("address", "add", address, *(more or ("broadcast", "+")), "dev", self.device)

    def start(self, *command: str | Path, **extra: str) -> Program:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
        program = Program(
            subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env={**kept, "PYTHONPATH": str(ROOT), **self.environment, **extra},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        self._programs.append(program)
        return program

    def serve(self, *names: str, limits: dict[str, float] | None = None, **extra: str) -> Program:
        """Our server, when it serves."""
        command = (sys.executable, "-m", "tests.ca.served", json.dumps(limits or {}), *names)
        program = self.start(*command, **extra)
        program.until("port is")
        return program

    def soft_ioc(self, database: Path, **extra: str) -> Program:
        return self.start(BINARIES / "softIoc", "-S", "-d", database, **extra)

    def caget(self, *arguments: str, **extra: str) -> str:
        """What caget prints for one PV."""
        program = self.start(BINARIES / "caget", "-t", *arguments, **extra)
        program.process.wait(60)
        program.end()
        return " ".join(program.lines)

    def end(self) -> None:
        for program in self._programs:
            program.end()
        with contextlib.suppress(subprocess.SubprocessError):
            _ip("netns", "del", self.name)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with a cable between them, or the test is skipped where that cannot be."""
    if reason := why_not():
        pytest.skip(reason)
    tag = f"{os.getpid() % 100000}n{next(_numbers)}"
    hosts = Host(f"attpc-a{tag}", f"a{tag}"), Host(f"attpc-b{tag}", f"b{tag}")
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            host.ip("link", "set", "lo", "up")
        one, other = hosts
        one.ip("link", "add", one.device, "type", "veth", "peer", "name", other.device, "netns", other.name)
        for host in hosts:
            host.ip("link", "set", host.device, "up")
            host.start(BINARIES / "caRepeater")
        yield hosts
    finally:
        for host in hosts:
            host.end()
