"""All logbooks of a topology: what an earlier process did not come to, and what a spoilt database does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.logbook.logbooks import Logbooks
from ioc.model import Event, LogbookState, RunRecord
from ioc.rundb import SqliteRunStore
from ioc.runlogic.state import Run, State
from ioc.topology.schema import Topology
from tests.epics import eventually
from tests.logbook.conftest import finished_run
from tests.topology.test_topology_load import GOOD


def topology(folder: Path, *books: dict[str, Any]) -> Topology:
    import yaml

    data = yaml.safe_load(GOOD) | {"database": str(folder / "runs.db"), "experiment": "e1", "logbook": list(books)}
    return Topology.model_validate(data)


def started_in_1970(folder: Path) -> None:
    made = folder / "runs.db-logbook/notes/made.json"
    made.parent.mkdir(parents=True)
    made.write_text('{"since": 0, "made": []}')


async def test_what_an_earlier_process_did_not_come_to(store: SqliteRunStore, tmp_path: Path) -> None:
    """Entries of the latest runs that were never made are made by the next process, the old ones first."""

    async def last_runs(experiment: str, most: int) -> Sequence[RunRecord]:
        await asyncio.sleep(0.2)  # the present run must not overtake them
        return await store.last_runs(experiment, most)

    await check(tmp_path, [await finished_run(store, "first"), await finished_run(store, "second")], last_runs, 4)
    text = (tmp_path / "notes.md").read_text()
    assert text.rindex("first") < text.index("second")


async def test_the_latest_runs_cannot_be_read_for_a_while(store: SqliteRunStore, tmp_path: Path) -> None:
    """The state says that entries wait, until they can be read."""
    readable = asyncio.Event()

    async def last_runs(experiment: str, most: int) -> Sequence[RunRecord]:
        if not readable.is_set():
            raise PeerError("the disk is away")
        return await store.last_runs(experiment, most)

    run = await finished_run(store, "first")
    started_in_1970(tmp_path)
    file = tmp_path / "notes.md"
    book = {"name": "notes", "kind": "markdown", "file": str(file)}
    logbooks = Logbooks(topology(tmp_path, book), last_runs, lambda event: None)
    task = asyncio.create_task(logbooks.run())
    try:
        logbooks.show(State(restored=True, experiment="e1", run=Run(record=run)))
        await eventually(lambda: logbooks.status().state is LogbookState.Waiting)
        assert "the disk is away" in logbooks.status().message
        readable.set()
        await eventually(lambda: file.exists() and file.read_text().count("<!-- end of") == 2)
        await eventually(lambda: logbooks.status().state is LogbookState.Ok)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_spoilt_database_stops_nothing(
    store: SqliteRunStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the latest runs cannot be read, the present one has its entries, and a line of the log says so."""

    async def last_runs(experiment: str, most: int) -> Sequence[RunRecord]:
        raise KeyError(experiment)

    await check(tmp_path, [await finished_run(store, "first"), await finished_run(store, "second")], last_runs, 2)
    assert "the logbooks cannot read the latest runs" in caplog.text


async def check(
    folder: Path,
    runs: Sequence[RunRecord],
    last_runs: Callable[[str, int], Awaitable[Sequence[RunRecord]]],
    entries: int,
) -> None:
    started_in_1970(folder)
    file, events = folder / "notes.md", list[Event]()
    book = {"name": "notes", "kind": "markdown", "file": str(file)}
    logbooks = Logbooks(topology(folder, book), last_runs, events.append)
    assert logbooks.status().state is LogbookState.Ok
    task = asyncio.create_task(logbooks.run())
    try:
        logbooks.show(State(restored=True, experiment="e1", run=Run(record=runs[-1])))
        await eventually(lambda: file.exists() and file.read_text().count("<!-- end of") == entries)
        logbooks.show(State(restored=True, experiment="e1", run=Run(record=replace(runs[-1], comment="later"))))
        await eventually(lambda: logbooks.status().waiting == 0)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert file.read_text().count("<!-- end of") == entries
    assert events == []


async def test_without_logbooks_nothing_is_done(tmp_path: Path) -> None:
    """The state is Off, no folder is made, and `run` ends at once."""

    async def last_runs(experiment: str, most: int) -> Sequence[RunRecord]:
        pytest.fail("not asked")

    logbooks = Logbooks(topology(tmp_path), last_runs, lambda event: None)
    logbooks.show(State(restored=True, experiment="e1"))
    await logbooks.run()
    assert logbooks.status().state is LogbookState.Off
    assert list(tmp_path.iterdir()) == []
