"""Copies of the .xcfg files that a run used, with their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ioc.errors import PeerError
from ioc.hosts.config_files import ConfigFile, hardware_descriptions, of_choice
from ioc.hosts.transport import Transport, expand, make_directories, reason, reason_and_file, shown
from ioc.model import ConfigBackup, ConfigChoice, RunId
from ioc.model.graw import names
from ioc.topology.schema import EccServer

LARGEST = 16 * 1024 * 1024
"""Maximum bytes of a configuration file; a real one has a few hundred thousand."""


def back_up(transport: Transport, server: EccServer, config: ConfigChoice, host: str, run: RunId) -> ConfigBackup:
    """Copy the files to ``config_backup_root/EXPERIMENT/run_NNNN`` of a run.

    If a different copy exists already, the file is kept beside it.

    Raises:
        PeerError: a file cannot be read or written, or one that every release requires is missing; the others are still
        copied.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    reader = _Reader(transport, root, f"ECC server {server.name} on {host}")
    contents = reader.read_all(config)
    backup_root = _expanded(transport, server.config_backup_root, "config_backup_root", server)
    relative = f"{os.fsdecode(backup_root).strip('/')}/{run.directory}"
    try:
        directory = make_directories(transport, b"", relative) if contents else b""
        contents = {_keep(transport, directory, name, text, server): text for name, text in contents.items()}
    except OSError as error:
        raise PeerError(
            f"the configuration of ECC server {server.name} cannot be copied to {shown(backup_root)} on {host}: "
            f"{reason_and_file(error)}"
        ) from None
    if reader.problems:
        raise PeerError("; ".join(reader.problems))
    return ConfigBackup(_digests(contents), tuple(reader.missing))


def look_for(transport: Transport, server: EccServer, config: ConfigChoice, host: str) -> ConfigBackup:
    """Read the files as for a copy, and keep none.

    Raises:
        PeerError: a file cannot be read, or one that every release requires is missing.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    reader = _Reader(transport, root, f"ECC server {server.name} on {host}")
    contents = reader.read_all(config)
    if reader.problems:
        raise PeerError("; ".join(reader.problems))
    return ConfigBackup(_digests(contents), tuple(reader.missing))


def _digests(contents: Mapping[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())


@dataclass
class _Reader:
    """Reads the configuration files of a server."""

    transport: Transport
    root: bytes
    owner: str
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    missing: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])

    def read_all(self, config: ConfigChoice) -> dict[str, bytes]:
        """Read the existing files of a choice; returns their contents by name."""
        describe, *others = of_choice(config)
        for file in (*hardware_descriptions(self._take(describe)), *others):
            self._take(file)
        return self.contents

    def _take(self, file: ConfigFile) -> list[bytes]:
        names = [name for reading in file.readings if (name := next(filter(self._read, reading), None))]
        if not names and file.missed:
            self.missing.append(file.name)
            if file.required:
                self._problem(file.name, "does not exist")
        return [self.contents[name] for name in names if name in self.contents]

    def _read(self, name: str) -> bool:
        """Read one file; False if it does not exist."""
        path = self.root + b"/" + os.fsencode(name)
        try:
            if not self.transport.look(path).is_file:
                self._problem(name, "must be a regular file")
                return True
            content, whole = self.transport.read_end(path, LARGEST)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._problem(name, f"cannot be read: {reason(error)}")
            return True
        if whole:
            self.contents[name] = content
        else:
            self._problem(name, f"must not have more than {LARGEST} bytes")
        return True

    def _problem(self, name: str, text: str) -> None:
        self.problems.append(f"configuration file {shown(self.root)}/{name} of {self.owner} {text}")


def _expanded(transport: Transport, path: str | None, key: str, server: EccServer) -> bytes:
    if not path:
        raise PeerError(f"ECC server {server.name} has no {key} in the topology: it must name a directory on its host")
    return expand(transport, path)


def _keep(transport: Transport, directory: bytes, name: str, content: bytes, server: EccServer) -> str:
    """Write one file unless it exists; returns its name there."""
    # Servers may share the directory, even from several hosts: each writes its own file and then renames it.
    writing = directory + b"/" + os.fsencode(f".{name}.{server.name}.partial")
    written = False
    for candidate in names(os.fsencode(name)):
        target = directory + b"/" + candidate
        # Most often there is a copy already: of another server with the same file, or of this one at Configure.
        same = _is_copy(transport, target, content)
        if same is None:
            if not written:
                transport.write(writing, content)
                written = True
            try:
                transport.move(writing, target)
            except FileExistsError:
                same = _is_copy(transport, target, content)
            else:
                return os.fsdecode(candidate)
        if same:
            if written:
                transport.remove(writing)
            return os.fsdecode(candidate)
    raise AssertionError


def _is_copy(transport: Transport, path: bytes, content: bytes) -> bool | None:
    """Whether a file has this content; None if there is no file."""
    try:
        entry = transport.look(path)
        return entry.is_file and entry.size == len(content) and transport.read_end(path, LARGEST)[0] == content
    except FileNotFoundError:
        return None
