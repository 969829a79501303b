# pyright: reportUnknownMemberType=false
"""Opens the database file for writing, with sqlite-utils, which takes longer to import than most commands take."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ioc.rundb.connection import checked, uri
from ioc.rundb.formats import as_text
from ioc.rundb.light_import import Database
from ioc.rundb.migrations import check_version


def open_for_writing(path: Path, *, create: bool, busy_seconds: float) -> Database:
    """Open a connection in WAL mode with foreign keys on, for the thread that calls.

    Raises:
        PeerError: it is the database of another program or of a newer version.
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    connection = sqlite3.connect(uri(path, "rwc" if create else "rw"), uri=True, isolation_level=None)
    try:
        # Another program may have written a text in other characters: it must not stop the IOC.
        connection.text_factory = as_text
        db = Database(connection)
        connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        check_version(db, str(path))  # before any change
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA journal_size_limit = 48000000")
        # A batch touches a page of each observable: all pages fit into the cache and are not written to the file each
        # time.
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return db


def open_for_editing(path: Path, *, busy_seconds: float = 3.0) -> Database:
    """Open the database for a few changes, also while an IOC runs; the caller closes it.

    Raises:
        PeerError: there is no such file, it is no run database, or its version is not the program's.
    """
    return checked(path, os.W_OK, lambda: open_for_writing(path, create=False, busy_seconds=busy_seconds))
