"""A real SSH server for tests: OpenSSH on a port of 127.0.0.1, with keys and configuration of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

import asyncssh
import psutil

from ioc.sim.ports import free_port
from ioc.topology.schema import Ssh

ROOT = pathlib.Path(__file__).parents[1]
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server")


def make_key(file: pathlib.Path) -> asyncssh.SSHKey:
    """Write a new ed25519 key and its public half (``.pub``)."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    file.touch(mode=0o600)
    key.write_private_key(str(file))
    key.write_public_key(f"{file}.pub")
    return key


class SshServer:
    """Owns one server; its files lie in `directory`. Where OpenSSH is missing, asyncssh stands in."""

    address = "127.0.0.1"

    def __init__(
        self, directory: pathlib.Path, environment: Mapping[str, str] | None = None, **options: object
    ) -> None:
        self.directory = directory
        self.environment = {} if environment is None else dict(environment)
        """What a login there exports."""
        self.options = {key: str(value) for key, value in options.items()}
        """Put before the others into sshd_config: ``MaxSessions=1``."""
        self.port = free_port()
        self.host_key = directory / "host_key"
        self.client_key = directory / "client_key"
        self.known_hosts = directory / "known_hosts"
        make_key(self.host_key)
        make_key(self.client_key)
        self.trust()
        self._server: _Process | None = None

    def trust(self) -> None:
        """Write the known_hosts file for the present host key."""
        key = pathlib.Path(f"{self.host_key}.pub").read_text().strip()
        where = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        self.known_hosts.write_text(f"{where} {key}\n")

    def let_in(self, other: SshServer) -> None:
        """Accept the client key of another server too, instead of our own."""
        for suffix in ("", ".pub"):
            shutil.copyfile(f"{other.client_key}{suffix}", f"{self.client_key}{suffix}")

    def settings(self, **changes: Any) -> Ssh:
        """Return the SSH settings that reach this server."""
        return Ssh(
            **{
                "username": getpass.getuser(),
                "port": self.port,
                "key": str(self.client_key),
                "known_hosts": str(self.known_hosts),
                "config": None,
                **changes,
            }
        )

    def start(self) -> None:
        """Begin to listen; returns when it does."""
        self._server = _Process(openssh(self, SSHD) if SSHD else _stand_in(self), self.directory / "sshd.log")
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((self.address, self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Kill the server and every connection to it."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def logins(self) -> int:
        """Count the connections that were let in so far (OpenSSH only)."""
        return (self.directory / "sshd.log").read_text(errors="replace").count("Accepted publickey")

    def sessions(self) -> int:
        """Count the programs that run for clients now, SFTP among them (OpenSSH with an external sftp-server only)."""
        assert self._server is not None
        names = [child.name() for child in psutil.Process(self._server.pid).children(recursive=True)]
        return sum(not name.startswith("sshd") for name in names)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Process:
    """The server's process."""

    def __init__(self, command: list[str], log: pathlib.Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        # Connections and commands have processes of their own, in sessions of their own.
        for pid in [self._process.pid, *_descendants(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def openssh(server: SshServer, sshd: str) -> list[str]:
    """Write the configuration of a server; returns the command that runs it."""
    if os.getuid() == 0:
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # OpenSSH wants it when it runs as root
    sftp = next((path for path in SFTP_SERVERS if pathlib.Path(path).exists()), "internal-sftp")
    configuration = server.directory / "sshd_config"
    # bash reads ~/.bashrc for a command over SSH unless it is a shell below another one.
    variables = {"SHLVL": "2", **server.environment}
    configuration.write_text(
        "".join(f"{key} {value}\n" for key, value in server.options.items())
        + f"SetEnv {' '.join(_quoted(f'{name}={value}') for name, value in variables.items())}\n"
        f"ListenAddress {server.address}\nPort {server.port}\nHostKey {server.host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {server.client_key}.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\nPrintMotd no\n"
        f"{'' if 'Subsystem' in server.options else f'Subsystem sftp {sftp}'}\n"
    )
    return [sshd, "-D", "-e", "-f", str(configuration)]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _stand_in(server: SshServer) -> list[str]:
    arguments = (server.port, server.host_key, f"{server.client_key}.pub")
    return [sys.executable, "-m", "tests.sshd_stand_in", *map(str, arguments)]


def _descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in table.splitlines())}
    children = [child for child, parent in parents.items() if parent == pid]
    return children + [below for child in children for below in _descendants(child)]
