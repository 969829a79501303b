"""Looking whether a run database can be used changes nothing and disturbs no IOC."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from sqlite_utils import Database

from ioc.errors import PeerError
from ioc.rundb import SqliteRunStore
from ioc.rundb.migrations import migrate, newest_version
from ioc.rundb.probe import probe


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def stored(path: Path) -> None:
    """A database as an IOC leaves it."""
    store = SqliteRunStore(path)
    await store.start()
    await store.save_settings({"experiment": "e7"})
    await store.close()


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """It can be made, and is not."""
    found = probe(tmp_path / "runs.db")
    assert (found.exists, found.owner, found.settings) == (False, None, {})
    assert contents(tmp_path) == {}


async def test_a_database_that_nobody_uses(tmp_path: Path) -> None:
    """Its settings are read; no byte is changed and no file is left beside it."""
    await stored(tmp_path / "runs.db")
    before = contents(tmp_path)
    found = probe(tmp_path / "runs.db")
    assert (found.exists, found.owner, found.outdated) == (True, None, False)
    assert found.settings["experiment"] == "e7"
    assert contents(tmp_path) == before


async def test_a_database_of_a_running_ioc(tmp_path: Path) -> None:
    """The process that has it is named, and can go on writing."""
    store = SqliteRunStore(tmp_path / "runs.db")
    await store.start()
    await store.save_settings({"experiment": "e7"})
    found = probe(tmp_path / "runs.db")
    assert found.owner == os.getpid()
    assert found.settings["experiment"] == "e7"
    await store.save_settings({"experiment": "e8"})
    await store.close()
    assert probe(tmp_path / "runs.db").owner is None


def test_an_older_version(tmp_path: Path) -> None:
    """The IOC would upgrade it; the probe does not."""
    connection = sqlite3.connect(tmp_path / "runs.db")
    migrate(Database(connection), "runs.db", newest_version() - 1)
    connection.close()
    assert probe(tmp_path / "runs.db").outdated
    connection = sqlite3.connect(tmp_path / "runs.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (newest_version() - 1,)
    connection.close()


async def test_one_that_another_program_has_locked(tmp_path: Path) -> None:
    """Said within two seconds."""
    await stored(tmp_path / "runs.db")
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(PeerError, match="is locked by another program"):
        probe(tmp_path / "runs.db")
    assert time.monotonic() - began < 2
    other.close()


@pytest.mark.parametrize("content", [b"no database at all, but a long enough text", b"SQLite format 3\0" + b"x" * 200])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    """A sentence, and the file stays as it is."""
    (tmp_path / "runs.db").write_bytes(content)
    with pytest.raises(PeerError, match=r"runs\.db"):
        probe(tmp_path / "runs.db")
    assert (tmp_path / "runs.db").read_bytes() == content


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(PeerError, match="cannot be written: No such file or directory"):
        probe(tmp_path / "nowhere" / "runs.db")
