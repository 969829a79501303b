"""Rows that somebody has edited with another program, so that they have values that the IOC never writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq
import pytest

from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.queries import RunBook
from ioc.rundb.times import from_text, read_time
from tests.rundb.invoking import invoke
from tests.rundb.odd_runs import EXPERIMENT, odd_runs
from tests.rundb.rows import execute

LATIN_1 = "title = CAST(x'42e474' AS TEXT)"
EDITS = (
    "reserved_at = 'yesterday', started_at = 'yesterday', stopped_at = 'soon'",
    "reserved_at = '2026-11-22 12:20:00', started_at = '2026-11-22 12:20', stopped_at = '2026-11-22'",
    "started_at = x'ff00', stopped_at = 5, duration = 'long'",
    "title = x'ff00fe', comment = x'ff', message = x'ff', config_name = 5",
    "title = 'a' || char(0) || 'b', run_class = 'Calibration'",
)
COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("show", "0"),
    ("show", "0", "--json"),
    ("diff", "0", "1"),
    ("export",),
    ("export", "--format", "json"),
    ("export", "--format", "bluesky"),
    ("export", "--format", "parquet", "--output", "runs.parquet"),
    ("export", "--format", "hdf5", "--output", "runs.h5"),
    ("samples", "0"),
    ("card", "0"),
    ("dataset", "data"),
)


@pytest.mark.parametrize("edit", [*EDITS, LATIN_1])
async def test_the_ioc_goes_on(store: SqliteRunStore, database: Path, edit: str) -> None:
    """The last runs can be read, and the next number is reserved: such a row must stop no experiment."""
    await odd_runs(store)
    execute(database, f"UPDATE runs SET {edit}")
    last = await store.last_runs(EXPERIMENT, 50)
    assert [each.run.number for each in last] == [4, 3, 2, 1, 0]
    assert all(isinstance(text, str) for each in last for text in (each.title, each.comment, each.message))
    assert (await store.unfinished_runs())[0].run.number == 4
    assert (await store.reserve_run(EXPERIMENT, "", RunClass.Beam, "")).run.number == 5


@pytest.mark.parametrize("edit", EDITS)
async def test_every_command_goes_on(
    store: SqliteRunStore, database: Path, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command shows or writes the runs, the odd one among them."""
    monkeypatch.chdir(database.parent)
    await odd_runs(store)
    execute(database, f"UPDATE runs SET {edit} WHERE run_number = 0")
    for command in COMMANDS:
        result = invoke(database, *command)
        assert result.exit_code == 0, (command, result.stderr)
    with RunBook(database, EXPERIMENT) as book:
        began, ended = book.span(0)
        assert began <= ended


async def test_a_value_that_does_not_fit_is_shown_or_missing(
    store: SqliteRunStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text shows what is there; a format with types has no value there, and keeps those of the other runs."""
    monkeypatch.chdir(database.parent)
    await odd_runs(store)
    execute(database, "UPDATE runs SET started_at = 'yesterday', title = x'41ff' WHERE run_number = 0")
    assert "yesterday" in invoke(database, "list").stdout
    listed: Any = json.loads(invoke(database, "list", "--json").stdout)
    assert (listed["runs"][0]["started_at"], listed["runs"][0]["title"]) == ("yesterday", "A\ufffd")
    assert invoke(database, "export", "--format", "parquet", "--output", "runs.parquet").exit_code == 0
    began = pq.read_table("runs.parquet")["started_at"].to_pylist()
    assert began[0] is None
    assert began[1] is not None
    assert invoke(database, "export", "--format", "hdf5", "--output", "runs.h5").exit_code == 0
    with h5py.File("runs.h5") as file:
        title: Any = file["run_0000/title"]
        assert title.asstr()[()] == "A\ufffd"


def test_a_time_without_offset_is_utc() -> None:
    """SQLite's own functions write it so."""
    assert from_text("2026-11-22 12:20:00") == from_text("2026-11-22T12:20:00.000000Z")
    assert from_text("2026-11-22T13:20:00+01:00") == from_text("2026-11-22T12:20:00Z")
    assert [read_time(each) for each in ("yesterday", "", None, 5, b"\xff", "9999999-01-01")] == [None] * 6
