"""Who reads the run database leaves nothing behind that another user could not write."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ioc.cli.main import main
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.connection import open_for_reading
from tests.rundb.rows import execute
from tests.rundb.somebody import unprivileged

COMMAND = Path(sys.executable).with_name("attpc-ioc")
MAY, MAY_NOT = "may", "may not"


def as_somebody(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*unprivileged(), COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory with a database of one run that nobody has open."""
    directory = tmp_path / "place"
    directory.mkdir()
    store = await SqliteRunStore.open(directory / "runs.db")
    await store.reserve_run("e1", "read by others", RunClass.Beam, "")
    await store.close()
    yield directory
    directory.chmod(0o700)


def permit(place: Path, directory: str, file: str) -> None:
    for each in place.iterdir():
        each.chmod(0o644 if file is MAY else 0o444)
    place.chmod(0o755 if directory is MAY else 0o555)


def names(place: Path) -> list[str]:
    return sorted(each.name for each in place.iterdir())


@pytest.mark.parametrize(("directory", "file"), [(MAY, MAY), (MAY, MAY_NOT), (MAY_NOT, MAY), (MAY_NOT, MAY_NOT)])
async def test_a_reader_leaves_no_files(place: Path, directory: str, file: str) -> None:
    """Whatever the reader may write, afterwards there is what was there before: the IOC can start."""
    permit(place, directory, file)
    before = names(place)
    listed = as_somebody("runs", "list", "--database", place / "runs.db")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "read by others" in listed.stdout
    assert names(place) == before


@pytest.mark.parametrize("directory", [MAY, MAY_NOT])
async def test_an_edit_that_is_not_allowed_leaves_no_files(place: Path, directory: str) -> None:
    """Who may not write the file is told so, and the directory is as before."""
    permit(place, directory, MAY_NOT)
    before = names(place)
    edited = as_somebody("runs", "edit", "0", "--title", "mine", "--database", place / "runs.db")
    assert (edited.returncode, edited.stdout) == (1, "")
    assert edited.stderr == (
        f"error: the run database {place}/runs.db cannot be written: "
        "give the user of this program write permission on it and its directory\n"
    )
    assert names(place) == before


async def test_a_reader_sees_what_is_not_in_the_file_yet(place: Path) -> None:
    """While a writer has the database open, a reader without any permission to write reads what it wrote last."""
    store = await SqliteRunStore.open(place / "runs.db")
    try:
        await store.reserve_run("e1", "just now", RunClass.Beam, "")
        permit(place, MAY_NOT, MAY_NOT)
        listed = as_somebody("runs", "list", "--database", place / "runs.db")
    finally:
        place.chmod(0o700)
        await store.close()
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "just now" in listed.stdout


async def test_what_cannot_be_read_is_said(place: Path) -> None:
    """A file or a directory that the reader may not read is said in one line."""
    database = place / "runs.db"
    database.chmod(0o000)
    place.chmod(0o755)
    refused = as_somebody("runs", "list", "--database", database)
    place.chmod(0o000)
    hidden = as_somebody("runs", "list", "--database", database)
    line = f"error: the run database {database} cannot be read: give the user of this program permission to read it\n"
    assert [(each.returncode, each.stdout, each.stderr) for each in (refused, hidden)] == [(1, "", line)] * 2


async def test_reading_through_a_link_looks_at_the_file_itself(place: Path, tmp_path: Path) -> None:
    """What may be written beside a link to the database does not count."""
    permit(place, MAY_NOT, MAY_NOT)
    link = tmp_path / "link.db"
    link.symlink_to(place / "runs.db")
    listed = as_somebody("runs", "list", "--database", link)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert names(tmp_path) == ["link.db", "place"]


async def test_a_reader_cannot_write(place: Path) -> None:
    """A connection for reading refuses statements that write, also where the file could be written."""
    db = open_for_reading(place / "runs.db")
    try:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM runs")
    finally:
        db.close()


@pytest.mark.parametrize("name", ["a#b.db", "a?b.db", "a%41b.db", "ä b.db", os.fsdecode(b"\xff.db")])
async def test_any_name_of_the_file_will_do(place: Path, name: str) -> None:
    """Characters that mean something in the address of a database, and bytes that are no UTF-8, are like others."""
    (place / "runs.db").rename(place / name)
    before = names(place)
    result = CliRunner().invoke(main, ["runs", "list", "--database", str(place / name)])
    assert (result.exit_code, "read by others" in result.output) == (0, True), result.output
    assert names(place) == before


async def test_a_log_that_was_left_is_read_and_put_into_the_file(place: Path) -> None:
    """After a crash the last transactions are in a file beside: who may write both reads them and tidies up."""
    database = place / "runs.db"
    copy = place / "copy.db"
    store = await SqliteRunStore.open(database)
    await store.reserve_run("e1", "before the crash", RunClass.Beam, "")
    for suffix in ("", "-wal"):
        shutil.copy(f"{database}{suffix}", f"{copy}{suffix}")
    await store.close()
    execute(database, "DELETE FROM runs")
    result = CliRunner().invoke(main, ["runs", "list", "--database", str(copy)])
    assert (result.exit_code, "before the crash" in result.output) == (0, True), result.output
    assert [name for name in names(place) if name.startswith("copy")] == ["copy.db"]
