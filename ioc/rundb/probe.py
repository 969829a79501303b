"""Whether a run database can be used, found out without changing anything."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ioc.errors import PeerError
from ioc.rundb.connection import connect_for_reading, peer_error, try_writing
from ioc.rundb.documents import load_saved_settings
from ioc.rundb.lock import owner_of
from ioc.rundb.migrations import check_version, newest_version

_BUSY_SECONDS = 1.0


@dataclass(frozen=True)
class Probed:
    """The result of probing a run database."""

    exists: bool = False
    owner: int | None = None
    """Process id of the IOC that has it."""
    outdated: bool = False
    """The IOC will bring it to a newer version."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


def probe(path: Path) -> Probed:
    """Read the settings; if no IOC has the database, also see whether it can be written, or created.

    Raises:
        PeerError: it cannot be used.
    """
    owner = owner_of(path)
    try:
        # SQLite creates files beside it, whoever writes.
        if owner is None:
            tempfile.TemporaryFile(dir=path.resolve().parent).close()
        if not path.exists() or not path.stat().st_size:
            return Probed(owner=owner)
        connection = connect_for_reading(path)
        try:
            outdated = check_version(connection, str(path)) < newest_version()
            saved = {} if outdated else load_saved_settings(connection)
        finally:
            connection.close()
        if owner is None:
            try_writing(path, busy_seconds=_BUSY_SECONDS)
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    except OSError as error:
        raise PeerError(f"the run database {path} cannot be written: {os.strerror(error.errno or 0)}") from None
    return Probed(True, owner, outdated, {name: each.value for name, each in saved.items()})
