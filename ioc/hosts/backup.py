"""Copies of the .xcfg files that a run used, with their digests.

Theory of operation. ECC servers of a host mostly have files in common, and all of them are copied at the same moment.
So each file is read and copied once for all servers (`Shared`). A server that asks only after the reading began has the
file read again, so it never gets an older version than it asked for.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ioc.errors import PeerError
from ioc.hosts.config_files import ConfigFile, hardware_descriptions, of_choice
from ioc.hosts.transport import Transport, expand, make_directories, reason, reason_and_file, shown
from ioc.model import ConfigBackup, ConfigChoice, RunId
from ioc.model.graw import names
from ioc.topology.schema import EccServer

T = TypeVar("T")

LARGEST = 16 * 1024 * 1024
"""Maximum bytes of a configuration file; a real one has a few hundred thousand."""


class Shared:
    """Files that were read and copied for the servers of one host; thread-safe."""

    def __init__(self) -> None:
        self._pieces: defaultdict[Hashable, _Piece] = defaultdict(_Piece)

    def once(self, asked_at: float, key: Hashable, work: Callable[[], T]) -> T:
        """Do some work, unless that was begun after `asked_at` (monotonic clock) already; returns its result."""
        piece = self._pieces[key]
        with piece.lock:
            if piece.begun_at < asked_at:
                began_at = time.monotonic()
                piece.result, piece.begun_at = work(), began_at
            return piece.result


@dataclass
class _Piece:
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun_at: float = -1.0
    result: Any = None


@dataclass(frozen=True)
class _File:
    content: bytes
    digest: str


def back_up(
    transport: Transport,
    server: EccServer,
    config: ConfigChoice,
    host: str,
    run: RunId,
    *,
    shared: Shared,
    asked_at: float,
) -> ConfigBackup:
    """Copy the files to ``config_backup_root/EXPERIMENT/run_NNNN`` of a run.

    If a different copy exists already, the file is kept beside it. `asked_at` is on the monotonic clock.

    Raises:
        PeerError: a file cannot be read or written, or one that every release requires is missing; the others are still
        copied.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    share = partial(shared.once, asked_at)
    reader = _Reader(transport, root, f"ECC server {server.name} on {host}", share)
    files = reader.read_all(config)
    backup_root = _expanded(transport, server.config_backup_root, "config_backup_root", server)
    relative = f"{os.fsdecode(backup_root).strip('/')}/{run.directory}"
    digests: list[tuple[str, str]] = []
    try:
        if files:
            directory = share(("directory", relative), partial(make_directories, transport, b"", relative))
            for name, file in files.items():
                keep = partial(_keep, transport, directory, name, file.content, server)
                digests.append((share(("copy", directory, name, file.digest), keep), file.digest))
    except OSError as error:
        raise PeerError(
            f"the configuration of ECC server {server.name} cannot be copied to {shown(backup_root)} on {host}: "
            f"{reason_and_file(error)}"
        ) from None
    if reader.problems:
        raise PeerError("; ".join(reader.problems))
    return ConfigBackup(tuple(digests), tuple(reader.missing))


def look_for(transport: Transport, server: EccServer, config: ConfigChoice, host: str) -> ConfigBackup:
    """Read the files as for a copy, and keep none.

    Raises:
        PeerError: a file cannot be read, or one that every release requires is missing.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    reader = _Reader(transport, root, f"ECC server {server.name} on {host}", partial(Shared().once, 0.0))
    files = reader.read_all(config)
    if reader.problems:
        raise PeerError("; ".join(reader.problems))
    return ConfigBackup(tuple((name, file.digest) for name, file in files.items()), tuple(reader.missing))


@dataclass
class _Reader:
    transport: Transport
    root: bytes
    owner: str
    share: Callable[[Hashable, Callable[[], _File | str | None]], _File | str | None]
    """`Shared.once` with the time of the request."""
    files: dict[str, _File] = field(default_factory=dict[str, _File])
    missing: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])

    def read_all(self, config: ConfigChoice) -> dict[str, _File]:
        """Read the existing files of a choice; returns them by name."""
        describe, *others = of_choice(config)
        for file in (*hardware_descriptions(self._take(describe)), *others):
            self._take(file)
        return self.files

    def _take(self, file: ConfigFile) -> list[bytes]:
        names = [name for reading in file.readings if (name := next(filter(self._read, reading), None))]
        if not names and file.missed:
            self.missing.append(file.name)
            if file.required:
                self._problem(file.name, "does not exist")
        return [self.files[name].content for name in names if name in self.files]

    def _read(self, name: str) -> bool:
        """Read one file; False if it does not exist."""
        path = self.root + b"/" + os.fsencode(name)
        match self.share(("file", path), partial(_read, self.transport, path)):
            case None:
                return False
            case _File() as file:
                self.files[name] = file
            case str(wrong):
                self._problem(name, wrong)
        return True

    def _problem(self, name: str, text: str) -> None:
        self.problems.append(f"configuration file {shown(self.root)}/{name} of {self.owner} {text}")


def _read(transport: Transport, path: bytes) -> _File | str | None:
    """Return a file; None if it does not exist; a text if something is wrong with it."""
    try:
        if not transport.look(path).is_file:
            return "must be a regular file"
        content, whole = transport.read_end(path, LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read: {reason(error)}"
    return _File(content, hashlib.sha256(content).hexdigest()) if whole else f"must not have more than {LARGEST} bytes"


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
