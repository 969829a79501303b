"""The machine on which a topology is read: its paths, its addresses, and whether the run database can be used."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

_SMALLEST_BYTES = 512
"""Of a database that has anything in it: one page."""


@dataclass(frozen=True)
class Place:
    """Context for the validation of paths on this machine."""

    folder: Path
    """Base of relative paths."""
    serves: bool
    """An IOC will run here, with the database of the topology."""

    def absolute(self, path: str) -> Path:
        return self.folder / Path(path).expanduser()


def check_database(path: Path) -> None:
    """Raise ValueError with the requirement if `path` cannot be the run database."""
    folder = path.parent
    try:
        exists = path.exists()
        if path.is_dir():
            fault = f"a file, not a directory: {path / 'runs.db'}, for instance"
        elif not folder.is_dir():
            fault = f"in an existing directory: {folder} {'is a file' if folder.exists() else 'does not exist'}"
        elif exists and not path.is_file():
            fault = "a file"
        elif exists and not os.access(path, os.R_OK | os.W_OK):
            fault = "a file that this user may read and write"
        elif not os.access(folder, os.W_OK | os.X_OK):
            fault = f"in a directory that this user may write: {folder} is not"
        elif exists and path.stat().st_size and not _is_sqlite(path):
            fault = "a run database or a new file: it is a file of another kind"
        else:
            return
    except (OSError, ValueError) as error:
        fault = f"a path that can be used ({getattr(error, 'strerror', None) or error})"
    raise ValueError(fault)


def _is_sqlite(path: Path) -> bool:
    """Whether SQLite takes it for a database.

    Only SQLite may open the file: this process may have it open already, and would lose all its locks on it as soon as
    it closes another descriptor (fcntl). The next program that closes the database would then delete its log.
    """
    if path.stat().st_size < _SMALLEST_BYTES:
        return False  # SQLite would overwrite it
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"  # creates no files beside it
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0)) as db:
            db.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB
    return True


def is_loopback(host: str) -> bool:
    """Whether an address reaches only this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_here(host: str) -> bool:
    """Whether an address belongs to this machine. Names are not resolved: that may take long or need the network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
