"""The check of the path of the run database, in the process of an IOC that has it open."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ioc.topology.place import check_database

COUNT = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(*db.execute('SELECT count(*) FROM t').fetchone())"
)


def counted_elsewhere(path: Path) -> int:
    """Let another program open the database, count the rows, and close it."""
    done = subprocess.run([sys.executable, "-c", COUNT, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_check_leaves_the_locks_of_this_process(tmp_path: Path) -> None:
    """Closing a file drops all locks of a process on it: then another program would delete the write-ahead log."""
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (n)")
        check_database(path)
        assert counted_elsewhere(path) == 0
        db.execute("INSERT INTO t VALUES (1)")
        assert counted_elsewhere(path) == 1


def test_a_locked_database_is_one(tmp_path: Path) -> None:
    """The check does not wait for a lock, and does not take it for a fault."""
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (n)")
        db.execute("BEGIN EXCLUSIVE")
        check_database(path)


@pytest.mark.parametrize("content", [b"x", b"prefix: A\n", bytes(100), b"SQLite format 3", b"\x00" * 5000])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever its length."""
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a file of another kind"):
        check_database(path)


def test_a_check_changes_no_file(tmp_path: Path) -> None:
    """Nothing is created beside a database that no program has open."""
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (n)")
    before = path.read_bytes()
    check_database(path)
    assert [each.name for each in tmp_path.iterdir()] == ["runs.db"]
    assert path.read_bytes() == before
