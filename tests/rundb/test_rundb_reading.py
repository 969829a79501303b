"""Reading the run database never writes to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.model import RunClass, RunId
from ioc.rundb import SqliteRunStore
from ioc.rundb.dataset import DataReader
from ioc.rundb.queries import RunBook
from tests.rundb.rows import rows

READING: dict[str, Callable[[SqliteRunStore], Awaitable[Any]]] = {
    "last_run": lambda store: store.last_run("unknown"),
    "get_run": lambda store: store.get_run(RunId("unknown", 0)),
    "unfinished_runs": lambda store: store.unfinished_runs(),
    "load_settings": lambda store: store.load_settings(),
}


def _contents(database: Path) -> dict[str, list[Any]]:
    tables = [name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {table: rows(database, f"SELECT * FROM {table}") for table in tables}
    found["settings"] = [row for row in found["settings"] if row[0] != "heartbeat"]
    return found


@pytest.mark.parametrize("name", READING)
async def test_reading_about_an_unknown_experiment_writes_nothing(
    store: SqliteRunStore, database: Path, name: str
) -> None:
    """A question about an experiment or a run that does not exist leaves every table as it is."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    before = _contents(database)
    answer = await READING[name](store)
    assert not answer or name == "unfinished_runs"
    with pytest.raises(PeerError, match="is not in the run database"):
        await store.load_measurements(RunId("unknown", 0))
    assert _contents(database) == before


async def test_the_first_run_creates_the_experiment(store: SqliteRunStore, database: Path) -> None:
    """An experiment exists from its first run or its first definition of observables on, once."""
    for experiment in ("e1", "e1", "e2"):
        await store.reserve_run(experiment, "", RunClass.Beam, "")
    await store.define_observables("e2", [])
    await store.define_observables("e3", [])
    assert rows(database, "SELECT name FROM experiments ORDER BY id") == [("e1",), ("e2",), ("e3",)]


@pytest.mark.parametrize("read", [lambda file: RunBook(file, None), DataReader], ids=["the runs", "the data set"])
@pytest.mark.parametrize("table", ["experiments", "runs"])
async def test_a_file_that_is_damaged_inside_is_said_to_be(
    store: SqliteRunStore, database: Path, table: str, read: Callable[[Path], AbstractContextManager[Any]]
) -> None:
    """Whatever page is damaged, and whether it is read on opening or later, the error is for people."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    await store.close()
    [(page,)] = rows(database, f"SELECT rootpage FROM sqlite_master WHERE name = '{table}'")
    [(size,)] = rows(database, "PRAGMA page_size")
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(PeerError, match="is damaged: restore it from a backup"), read(database) as opened:
        opened.runs()
