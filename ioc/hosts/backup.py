"""Copies and digests of the .xcfg files that a run used."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from ioc.errors import PeerError
from ioc.hosts.config_files import Wanted, hardware_descriptions, of_choice
from ioc.hosts.placing import names
from ioc.hosts.transport import Transport, exists, expand, make_directories, reason, shown, told
from ioc.model import ConfigBackup, ConfigChoice, RunId
from ioc.topology.schema import EccServer

LARGEST = 16 * 1024 * 1024
"""Bytes of a configuration file; a real one has some hundred thousand."""


def digest(transport: Transport, server: EccServer, config: ConfigChoice, host: str) -> ConfigBackup:
    """Digest the files where they lie.

    Raises:
        PeerError: naming a file that cannot be read, or that no release can do without.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    found = _find(transport, root, config, server, host)
    found.check(shown(root), server, host)
    return ConfigBackup(shown(root), _digests(found.contents), tuple(found.missing))


def back_up(transport: Transport, server: EccServer, run: RunId, config: ConfigChoice, host: str) -> ConfigBackup:
    """Copy the files to ``config_backup_root/EXPERIMENT/run_NNNN``; one that differs from what is there is kept beside.

    Raises:
        PeerError: naming a file that cannot be read or written, or that no release can do without; what exists is
            copied all the same.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    backup_root = _expanded(transport, server.config_backup_root, "config_backup_root", server)
    found = _find(transport, root, config, server, host)
    relative = f"{os.fsdecode(backup_root).strip('/')}/{run.directory}"
    try:
        directory = make_directories(transport, b"", relative) if found.contents else b""
        kept = {_keep(transport, directory, name, content, server): content for name, content in found.contents.items()}
    except OSError as error:
        raise PeerError(
            f"the configuration of ECC server {server.name} cannot be copied to {shown(backup_root)} on {host}: "
            f"{told(error)}"
        ) from None
    found.check(shown(root), server, host)
    return ConfigBackup(shown(directory), _digests(kept), tuple(found.missing))


@dataclass
class _Found:
    """What there is of the files that a server may read."""

    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    missing: list[str] = field(default_factory=list[str])
    required: list[str] = field(default_factory=list[str])
    """Those of `missing` that no release can do without."""
    problems: list[str] = field(default_factory=list[str])

    def check(self, root: str, server: EccServer, host: str) -> None:
        of = f"of ECC server {server.name} on {host}"
        problems = [f"configuration file {root}/{name} {of} does not exist" for name in self.required]
        problems += self.problems
        if problems:
            raise PeerError("; ".join(problems))


def _find(transport: Transport, root: bytes, config: ConfigChoice, server: EccServer, host: str) -> _Found:
    found = _Found()

    def take(file: Wanted) -> list[bytes]:
        names = [
            name
            for reading in file.readings
            if (name := next((each for each in reading if _exists(transport, root, each)), None))
        ]
        if not names and file.missed:
            found.missing.append(file.name)
            if file.required:
                found.required.append(file.name)
        taken: list[bytes] = []
        for name in names:
            try:
                found.contents[name] = _read(transport, root, name, server, host)
                taken.append(found.contents[name])
            except _UnreadableError as error:
                found.problems.append(str(error))
        return taken

    describe, *others = of_choice(config)
    for file in (*hardware_descriptions(take(describe)), *others):
        take(file)
    return found


def _exists(transport: Transport, root: bytes, name: str) -> bool:
    try:
        return exists(transport, root + b"/" + os.fsencode(name))
    except OSError:
        return True  # unknown here; reading it will say why


class _UnreadableError(Exception):
    """A file is there but cannot be read; the text names it."""


def _expanded(transport: Transport, path: str | None, key: str, server: EccServer) -> bytes:
    if not path:
        raise PeerError(f"ECC server {server.name} has no {key} in the topology: it must name a directory on its host")
    return expand(transport, path)


def _read(transport: Transport, root: bytes, name: str, server: EccServer, host: str) -> bytes:
    path = root + b"/" + os.fsencode(name)
    where = f"configuration file {shown(path)} of ECC server {server.name} on {host}"
    try:
        if not transport.look(path).is_file:
            raise _UnreadableError(f"{where} must be a regular file")
        content, whole = transport.read_end(path, LARGEST)
    except OSError as error:
        raise _UnreadableError(f"{where} cannot be read: {reason(error)}") from None
    if not whole:
        raise _UnreadableError(f"{where} must not have more than {LARGEST} bytes")
    return content


def _keep(transport: Transport, directory: bytes, name: str, content: bytes, server: EccServer) -> str:
    """Write one file unless it is there already; returns its name there."""
    # Servers may share the directory, even from several hosts: each writes a file of its own and then renames that.
    writing = directory + b"/" + os.fsencode(f".{name}.{server.name}.partial")
    transport.write(writing, content)
    for candidate in names(os.fsencode(name)):
        target = directory + b"/" + candidate
        try:
            transport.move(writing, target)
        except FileExistsError:
            if transport.read_end(target, LARGEST)[0] != content:
                continue
            transport.remove(writing)
        return os.fsdecode(candidate)
    raise AssertionError


def _digests(contents: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())
