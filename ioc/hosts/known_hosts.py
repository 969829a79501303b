"""Checking the keys of SSH servers against a known_hosts file."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry

from ioc.errors import PeerError


def load(client: paramiko.SSHClient, file: str) -> None:
    """Give `client` the keys of a known_hosts file; one that does not exist holds no keys.

    Raises:
        PeerError: it cannot be read.
    """
    try:
        lines = Path(file).expanduser().read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise PeerError(f"the file of known hosts {file} cannot be read: {error.strerror}") from None
    known = client.get_host_keys()
    for line in lines:
        entry = _entry(line.strip())
        if entry is not None:
            for name in entry.hostnames or ():
                known.add(name, entry.key.get_name(), entry.key)


def _entry(line: str) -> HostKeyEntry | None:
    try:
        return HostKeyEntry.from_line(line)
    except Exception:
        return None


class UnknownKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Refuses a host whose key is not known, or adds the key to the file."""

    def __init__(self, file: str, *, add: bool) -> None:
        self._file = file
        self._add = add

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Decide about the key of `hostname`, which is spelt as in the file (``[host]:port`` if the port is not 22).

        Raises:
            PeerError: the key is refused, or cannot be added.
        """
        del client
        if not self._add:
            raise PeerError(
                f"the SSH host key of {hostname} ({described(key)}) is not in {self._file}: "
                "compare it with the host's own, then add it (ssh-keyscan), or log in once by hand"
            )
        try:
            _append(Path(self._file).expanduser(), f"{hostname} {key.get_name()} {key.get_base64()}\n")
        except OSError as error:
            raise PeerError(f"the SSH host key of {hostname} cannot be added to {self._file}: {error}") from None


def changed(error: paramiko.BadHostKeyException, file: str, port: int) -> PeerError:
    """Return the error for a host that shows another key than the one known."""
    name = error.hostname if port == 22 else f"[{error.hostname}]:{port}"
    return PeerError(
        f"the SSH host key of {name} has changed to {described(error.key)}, but {file} has "
        f"{described(error.expected_key)}: if the machine was set up anew, remove the old key with "
        f"ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(file)}; if not, somebody may be in between"
    )


def described(key: paramiko.PKey) -> str:
    """Return type and fingerprint of a key, as ``ssh-keygen -l`` shows them."""
    return f"{key.get_name()} {key.fingerprint}"


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab+") as known:
        if known.tell() > 0:
            known.seek(-1, os.SEEK_END)
            if known.read(1) != b"\n":
                line = "\n" + line
        known.write(line.encode())
