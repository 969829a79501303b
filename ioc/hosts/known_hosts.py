"""Checks the keys of SSH servers against known-hosts files, read in the same way as OpenSSH does (man sshd)."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko

from ioc.errors import PeerError
from ioc.hosts.ssh_config import Endpoint


@dataclass(frozen=True)
class KnownKey:
    file: str
    line: int
    marker: str
    """``@revoked``, ``@cert-authority`` or empty."""
    type: str
    key: bytes

    def __str__(self) -> str:
        return f"{self.type} {_fingerprint(self.key)} in line {self.line} of {self.file}"


def known_keys(files: Sequence[str], name: str) -> tuple[KnownKey, ...]:
    """Return the known keys of the host `name` (``[host]:port`` if the port is not 22).

    Raises:
        PeerError: a file cannot be read.
    """
    return tuple(key for file in files for key in _of_file(file, name.lower()))


def _of_file(file: str, name: str) -> Iterator[KnownKey]:
    try:
        lines = Path(file).expanduser().read_bytes().split(b"\n")
    except FileNotFoundError:
        return  # holds no keys
    except OSError as error:
        raise PeerError(f"the file of known hosts {file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.decode(errors="replace").split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked", "@cert-authority"):
            continue
        if not _matches(words[0], name):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        yield KnownKey(file, number, marker, words[1], key)


def _matches(patterns: str, name: str) -> bool:
    """Whether the first word of a line matches this host: a hashed name, or patterns with ``*``, ``?`` and ``!``."""
    if patterns.startswith("|"):
        try:
            _, kind, salt, digest = patterns.split("|")
            expected = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
            return kind == "1" and hmac.compare_digest(expected, base64.b64decode(digest))
        except ValueError:
            return False
    found = False
    for pattern in patterns.lower().split(","):
        # Brackets are literal here: [host]:port.
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


class HostKeys(paramiko.MissingHostKeyPolicy):
    """Accepts or refuses the key of a server."""

    def __init__(self, endpoint: Endpoint, *, add: bool) -> None:
        self._name = endpoint.known_as
        self._files = endpoint.known_hosts
        self._add = add
        self._known = known_keys(self._files, self._name)
        self._bare: tuple[KnownKey, ...] = ()
        if self._name.startswith("["):
            # As with ssh, a key known for the host on port 22 is also valid for another port.
            self._bare = known_keys(self._files, self._name[1:].partition("]")[0])

    def in_order(self, types: Sequence[str]) -> tuple[str, ...]:
        """Return the types of keys, known ones first."""
        known = {key.type for key in (*self._known, *self._bare) if not key.marker}
        return tuple(sorted(types, key=lambda kind: _family(kind) not in known))

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Accept `key`, or raise.

        Raises:
            PeerError: it is refused, or cannot be added.
        """
        del client, hostname
        shown = key.asbytes()
        same = [known for known in (*self._known, *self._bare) if known.key == shown]
        if revoked := [known for known in same if known.marker == "@revoked"]:
            raise PeerError(
                f"the SSH host key of {self._name} is revoked ({revoked[0]}): make a new key on that machine"
            )
        if any(not known.marker for known in same):
            return
        if others := [known for known in self._known if not known.marker]:
            raise self._changed(key, others)
        if not self._add:
            raise self._unknown(key)
        file = self._files[0] if self._files else ""
        try:
            _append(Path(file).expanduser(), f"{self._name} {key.get_name()} {key.get_base64()}\n")
        except OSError as error:
            raise PeerError(f"the SSH host key of {self._name} cannot be added to {file}: {error.strerror}") from None

    def _changed(self, key: paramiko.PKey, known: Sequence[KnownKey]) -> PeerError:
        alike = [each for each in known if each.type == key.get_name()] or known
        return PeerError(
            f"the SSH host key of {self._name} has changed to {_described(key)}, but the known key is "
            f"{', '.join(map(str, alike))}: if the machine was reinstalled, remove the old key with ssh-keygen -R "
            f"{shlex.quote(self._name)} -f {shlex.quote(alike[0].file)}; if not, another machine may impersonate it"
        )

    def _unknown(self, key: paramiko.PKey) -> PeerError:
        files = " or ".join(self._files) or "any file (UserKnownHostsFile none)"
        text = (
            f"the SSH host key of {self._name} ({_described(key)}) is not in {files}: "
            "compare it with the key of the host, then add it (ssh-keyscan), or log in once by hand"
        )
        if any(known.marker == "@cert-authority" for known in self._known):
            text += "; a certificate authority (@cert-authority) is known, but certificates cannot be used here"
        return PeerError(text)


def _described(key: paramiko.PKey) -> str:
    """Return type and fingerprint of a key, as ``ssh-keygen -l`` shows them."""
    return f"{key.get_name()} {_fingerprint(key.asbytes())}"


def _fingerprint(key: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _family(kind: str) -> str:
    """Return the type of key of a signature algorithm."""
    return "ssh-rsa" if kind.startswith("rsa-sha2-") else kind


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab+", buffering=0) as known:
        size = known.tell()
        if size > 0:
            known.seek(-1, os.SEEK_END)
            if known.read(1) != b"\n":
                line = "\n" + line
        content = line.encode()
        if known.write(content) < len(content):  # the disk is full; a part of a key would be another key
            known.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
