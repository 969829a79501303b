"""Copies and digests of the .xcfg files that a run used."""

from __future__ import annotations

import hashlib
import os

from ioc.errors import PeerError
from ioc.hosts.placing import names
from ioc.hosts.sites import ServerSite
from ioc.hosts.transport import Transport, expand, make_directories, shown, told
from ioc.model import ConfigBackup, ConfigChoice, RunId

LARGEST = 16 * 1024 * 1024
"""Bytes of a configuration file; a real one has some hundred thousand."""


def file_names(config: ConfigChoice) -> tuple[str, ...]:
    """Return the names of the three files behind a choice."""
    return (f"describe-{config.describe}.xcfg", f"prepare-{config.prepare}.xcfg", f"configure-{config.configure}.xcfg")


def digest(transport: Transport, server: ServerSite, config: ConfigChoice, host: str) -> ConfigBackup:
    """Digest the files where they lie.

    Raises:
        PeerError: naming the file that cannot be read.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    contents = {name: _read(transport, root, name, server, host) for name in file_names(config)}
    return ConfigBackup(shown(root), _digests(contents))


def back_up(transport: Transport, server: ServerSite, run: RunId, config: ConfigChoice, host: str) -> ConfigBackup:
    """Copy the files to ``config_backup_root/EXPERIMENT/run_NNNN``; one that differs from what is there is kept beside.

    Raises:
        PeerError: naming the file that cannot be read or written.
    """
    root = _expanded(transport, server.config_root, "config_root", server)
    backup_root = _expanded(transport, server.config_backup_root, "config_backup_root", server)
    contents = {name: _read(transport, root, name, server, host) for name in file_names(config)}
    relative = f"{os.fsdecode(backup_root).strip('/')}/{run.directory}"
    try:
        directory = make_directories(transport, b"", relative)
        kept = {_keep(transport, directory, name, content, server): content for name, content in contents.items()}
    except OSError as error:
        raise PeerError(
            f"the configuration of ECC server {server.name} cannot be copied to {shown(backup_root)} on {host}: "
            f"{told(error)}"
        ) from None
    return ConfigBackup(shown(directory), _digests(kept))


def _expanded(transport: Transport, path: str | None, key: str, server: ServerSite) -> bytes:
    if not path:
        raise PeerError(f"ECC server {server.name} has no {key} in the topology: it must name a directory on its host")
    return expand(transport, path)


def _read(transport: Transport, root: bytes, name: str, server: ServerSite, host: str) -> bytes:
    path = root + b"/" + os.fsencode(name)
    where = f"configuration file {shown(path)} of ECC server {server.name} on {host}"
    try:
        if not transport.look(path).is_file:
            raise PeerError(f"{where} must be a regular file")
        content, whole = transport.read_end(path, LARGEST)
    except OSError as error:
        raise PeerError(f"{where} cannot be read: {error.strerror or error}") from None
    if not whole:
        raise PeerError(f"{where} must not have more than {LARGEST} bytes")
    return content


def _keep(transport: Transport, directory: bytes, name: str, content: bytes, server: ServerSite) -> str:
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
