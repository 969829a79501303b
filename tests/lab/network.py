"""Hosts on a network of their own: Linux namespaces joined by a switch, whose cables can be pulled.

Nothing of it has a name outside. A host is its first process and all that lives in its namespaces: processes, cables
and addresses end with it. It ends with its stdin, and so when the tests are killed, too; there is nothing to sweep.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psutil

from tests.epics import BINARIES

_UNSHARE = ("unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child")
_FIRST_PROCESS = 'trap "" CHLD; ip link set lo up && echo up && exec cat'
"""To ignore SIGCHLD is to reap what others leave behind, as the first process of a machine does."""
_WITHIN = 20.0
_DEVICE = "eth0"
_BRIDGE = "switch"
_TABLE = "attpc"


@functools.cache
def why_not() -> str:
    """Why this machine cannot have such hosts; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "hosts of a test are Linux network namespaces"
    if missing := [tool for tool in ("ip", "unshare", "nsenter", "sshd") if _path_of(tool) is None]:
        return f"hosts of a test need {', '.join(missing)} (iproute2, util-linux, openssh-server)"
    if os.geteuid() != 0:
        return "hosts of a test are network namespaces, which need root"
    tried = _run([*_UNSHARE, "ip", "link", "add", "type", "veth"])
    return f"root may not make network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


@functools.cache
def why_no_loss() -> str:
    """Why packets cannot be lost by chance on this machine; empty if they can."""
    if _path_of("nft") is None:
        return "packets are lost by chance with nft (nftables)"
    tried = _run([*_UNSHARE, "nft", "-f", "-"], input=_losing(5))
    return f"nft cannot lose packets by chance here: {tried.stderr.strip()}" if tried.returncode else ""


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    common = {"env": environment(), "capture_output": True, "text": True, "timeout": 60.0}
    if "input" not in options:
        common["stdin"] = subprocess.DEVNULL
    return subprocess.run(command, check=False, **{**common, **options})


def _path_of(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _losing(percent: int) -> str:
    return (
        f"add table ip {_TABLE}\n"
        f"add chain ip {_TABLE} in {{ type filter hook input priority 0; }}\n"
        f'add rule ip {_TABLE} in iifname != "lo" numgen random mod 100 < {percent} counter drop\n'
    )


class Host:
    """A machine: an own network, own process ids, the files of this one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self._first = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _FIRST_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._programs: list[subprocess.Popen[str]] = []
        assert self._first.stdout is not None
        if self._first.stdout.readline() != "up\n":
            self.end()
            raise AssertionError(f"host {name} did not start")
        (child,) = psutil.Process(self._first.pid).children()
        self.pid = child.pid

    def within(self, *command: str | Path) -> list[str]:
        """What to run here to run a command there."""
        return ["nsenter", "-t", str(self.pid), "--net", "--pid", "--mount", "--", *map(str, command)]

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return _run(self.within(*command), **options)

    def start(self, *command: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command; it ends with the host at the latest."""
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        program = subprocess.Popen(self.within(*command), **{"env": environment(), "text": True, **quiet, **options})
        self._programs.append(program)
        return program

    def ip(self, *arguments: str) -> None:
        done = self.run("ip", *arguments)
        assert done.returncode == 0, f"ip {' '.join(arguments)} on {self.name}: {done.stderr}"

    def give(self, address: str, length: int = 24) -> None:
        """Give it an address in its network."""
        self.address = address
        self.ip("address", "add", f"{address}/{length}", "broadcast", "+", "dev", _DEVICE)

    def take_addresses(self) -> None:
        """Take what it was given."""
        self.ip("address", "flush", "dev", _DEVICE)

    def lose(self, percent: int) -> None:
        """Lose so many of the packets that come from others."""
        done = self.run("nft", "-f", "-", input=_losing(percent))
        assert done.returncode == 0, done.stderr

    def lost(self) -> int:
        """How many packets it has lost."""
        rules = self.run("nft", "list", "table", "ip", _TABLE).stdout.split()
        return int(rules[rules.index("packets") + 1])

    def end(self) -> None:
        """Kill all that runs there."""
        assert self._first.stdin is not None
        self._first.stdin.close()
        for program in self._programs:
            program.send_signal(signal.SIGCONT)  # nsenter stops with its command, but must be there when that ends
        self._first.wait(_WITHIN)
        for program in (self._first, *self._programs):
            program.wait(_WITHIN)
            for stream in (program.stdin, program.stdout, program.stderr):
                if stream is not None:
                    stream.close()


class Network:
    """A switch and the hosts at it. Context manager."""

    def __init__(self) -> None:
        self._switch = Host("switch")
        self._hosts: list[Host] = []

    def host(self, name: str, address: str = "") -> Host:
        """Add a host, which has a name of at most 15 letters, and a caRepeater."""
        host = Host(name)
        self._hosts.append(host)
        # in its network only: the host's process id is ours
        at_switch = ("nsenter", "-t", str(self._switch.pid), "--net")
        cable = ("ip", "link", "add", name, "type", "veth", "peer", "name", _DEVICE, "netns", str(host.pid))
        done = _run([*at_switch, *cable])
        assert done.returncode == 0, done.stderr
        self._switch.ip("link", "set", name, "master", _BRIDGE, "up")
        host.ip("link", "set", _DEVICE, "up")
        if address:
            host.give(address)
        host.start(BINARIES / "caRepeater")
        return host

    def pull(self, *hosts: Host) -> None:
        """Pull their cables out of the switch: nobody hears of it."""
        for host in hosts:
            self._switch.ip("link", "set", host.name, "down")

    def plug(self, *hosts: Host) -> None:
        """Put them in again."""
        for host in hosts:
            self._switch.ip("link", "set", host.name, "up")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as failed:
            failed.callback(self.__exit__)
            self._switch.ip("link", "add", _BRIDGE, "up", "type", "bridge")
            failed.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for host in (*self._hosts, self._switch):
            host.end()


def environment(**extra: str) -> dict[str, str]:
    """Ours without what it says of EPICS: the ports are the usual ones, and clients search by broadcast."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}
