"""The tables of a whole IOC, read with pvget and p4p."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from p4p.client.asyncio import Context
from p4p.nt import NTTable
from sqlite_utils import Database

from ioc.model import DocumentState, RunClass, RunId, RunRecord
from ioc.rundb import SqliteRunStore
from ioc.rundb.documents import insert_run
from tests.app.site import RunningIoc
from tests.epics import Epics
from tests.rundb.rows import locked


@pytest.fixture
async def client(epics: Epics) -> AsyncIterator[Context]:
    """A p4p client that returns whole structures."""
    context = Context("pva", nt=False)
    yield context
    context.close()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def earlier_runs(folder: Path, epics: Epics, count: int) -> AsyncIterator[RunningIoc]:
    """An IOC whose database has so many runs already, with odd titles."""
    store = await SqliteRunStore.open(folder / "runs.db")

    def insert(db: Database, numbers: range) -> None:
        for number in numbers:
            state, at = DocumentState.Complete, 1_700_000_000.0 + number
            title = f'run "{number}", µ\n2nd line\t'
            insert_run(db, RunRecord(RunId("e1", number), state, RunClass.Beam, title, at, at, at + 1, "a/b/c"))

    for first in range(0, count, 1000):  # a transaction may take ten seconds
        await store.transaction(partial(insert, numbers=range(first, min(first + 1000, count))))
    await store.close()
    async with RunningIoc(folder, epics) as ioc:
        yield ioc


async def structure(client: Context, pv: str) -> Any:
    """The whole structure of a PV."""
    return await client.get(pv)


async def until(client: Context, pv: str, condition: Callable[[Any], object], seconds: float = 20) -> Any:
    """Monitor a PV until an update of it fulfils the condition."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def take(value: Any) -> None:
        if not isinstance(value, Exception) and not found.done() and condition(value):
            found.set_result(value)

    monitor = client.monitor(pv, take, notify_disconnect=True)
    try:
        async with asyncio.timeout(seconds):
            return await found
    finally:
        monitor.close()


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (200, 200), (10_000, 200)])
async def test_runs_of_a_database(tmp_path: Path, epics: Epics, client: Context, count: int, shown: int) -> None:
    """The last 200 runs are shown, newest first, whatever the size of the database."""
    async with earlier_runs(tmp_path, epics, count) as ioc:
        await ioc.until("Run:Number", str(count - 1))
        table = await until(client, "T:Run:Table", lambda table: table["alarm.severity"] == 0)
        rows = NTTable.unwrap(table)
        assert [row["run_number"] for row in rows] == list(range(count - 1, count - 1 - shown, -1))
        assert all(row["title"] == f'run "{row["run_number"]}", µ\n2nd line\t' for row in rows)
        printed = await epics.arun("pvget", "-w", "30", "T:Run:Table")
        assert printed.returncode == 0, printed.stderr
        assert printed.stdout.count("2023-11-1") == 2 * shown
        info = await structure(client, "T:Run:Info")
        assert info["run_number"] == count - 1
        if find_spec("pandas"):
            import pandas as pd  # pyright: ignore[reportMissingImports]

            assert len(pd.DataFrame(dict(table["value"].items()))) == shown


async def test_a_reload_changes_the_columns(ioc: RunningIoc, client: Context) -> None:
    """An observable that is added by a reload appears as a column of runs and as a row, one that is removed goes."""

    def columns(names: set[str]) -> Callable[[Any], bool]:
        return lambda table: names <= set(table["value"].keys())

    await until(client, "T:Run:Table", columns({"gas"}))
    following = asyncio.create_task(until(client, "T:Run:Table", columns({"V_MM"})))
    rows = asyncio.create_task(until(client, "T:Obs:Table", lambda table: list(table["value.name"]) == ["V-MM"]))
    ioc.write(observables=[{"name": "V-MM", "units": "V"}])
    assert await ioc.put("T:IOC:Reload")
    table = await following
    assert "V-MM [V]" in list(table["labels"])
    assert list((await rows)["value.units"]) == ["V"]


async def test_a_locked_database_is_said(ioc: RunningIoc, client: Context) -> None:
    """While another program has locked the database, runs are INVALID with the reason; then they are shown again."""
    await until(client, "T:Run:Table", lambda table: table["alarm.severity"] == 0)
    with locked(ioc.directory / "runs.db"):
        table = await until(client, "T:Run:Table", lambda table: table["alarm.severity"] == 3)
        assert "database" in table["alarm.message"]
        assert len((await structure(client, "T:ECC:Table"))["value.name"]) == 2
    await until(client, "T:Run:Table", lambda table: table["alarm.severity"] == 0)


async def test_the_detector_at_once(ioc: RunningIoc, client: Context) -> None:
    """A transition of one server is seen in its row, and nowhere else."""

    def states(*wanted: str) -> Callable[[Any], bool]:
        return lambda table: list(table["value.state"]) == list(wanted)

    await until(client, "T:ECC:Table", states("Idle", "Idle"))
    following = asyncio.create_task(until(client, "T:ECC:Table", states("Described", "Idle")))
    assert await ioc.put("T:ECC:CoBo0:Describe")
    await following
    assert list((await structure(client, "T:Router:Table"))["value.name"]) == ["CoBo0", "CoBo1"]


async def test_an_internal_restart_and_no_pvaccess(ioc: RunningIoc, client: Context) -> None:
    """Tables come back after an internal restart; without PVAccess there are none, and nothing else changes."""
    await until(client, "T:Run:Info", lambda info: info["experiment"] == "e1")
    ioc.write(polling={"ecc": 0.2})
    again = asyncio.create_task(until(client, "T:ECC:Table", lambda table: table["value.state"][0] == "Idle"))
    assert await ioc.put("T:IOC:Reload")
    await again
    ioc.write(prefix="U:", pva=False)
    assert await ioc.put("T:IOC:Reload")
    await ioc.until("State", "Idle", prefix="U:")
    assert (await ioc.epics.arun("pvget", "-w", "1", "U:ECC:Table")).returncode != 0
