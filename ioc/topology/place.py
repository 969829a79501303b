"""The machine on which a topology is read: its paths, its addresses, whether the run database is possible here."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Place:
    """The context in which the schema validates paths on this machine."""

    folder: Path
    """Relative paths are taken from here."""
    serves: bool
    """An IOC is to run here, with the database of the topology."""

    def absolute(self, path: str) -> Path:
        return self.folder / Path(path).expanduser()


def check_database(path: Path) -> None:
    """Raise ValueError saying what the run database must be, if `path` cannot be it."""
    folder = path.parent
    try:
        exists = path.exists()
        if path.is_dir():
            fault = f"a file, not a directory: {path / 'runs.db'}, for instance"
        elif not folder.is_dir():
            fault = f"in a directory that exists: {folder} {'is a file' if folder.exists() else 'is not there'}"
        elif exists and not path.is_file():
            fault = "a file"
        elif exists and not os.access(path, os.R_OK | os.W_OK):
            fault = "a file that this user may read and write"
        elif not os.access(folder, os.W_OK | os.X_OK):
            fault = f"in a directory in which this user may write: {folder} is none"
        elif exists and path.stat().st_size and not _is_sqlite(path):
            fault = "a run database or a new file: it is a file of another kind"
        else:
            return
    except (OSError, ValueError) as error:
        fault = f"a path that can be used ({getattr(error, 'strerror', None) or error})"
    raise ValueError(fault)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def is_here(host: str) -> bool:
    """Whether an address is of this machine. Of a name it is not asked: that may take long, or the network."""
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
