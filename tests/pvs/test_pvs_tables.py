"""What is in the tables that exist by PVAccess only."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.model import (
    DocumentState,
    EccReading,
    EccState,
    ObservableView,
    Reading,
    RouterFacts,
    RunClass,
    RunId,
    RunRecord,
    RunState,
    Severity,
    Statistics,
    TableContent,
    Transition,
)
from ioc.pvs.tables import COLUMNS, RUNS, TableView, tables
from ioc.rundb import OF_EVERY_RUN, SheetColumn, SheetRows
from ioc.runlogic import events as ev
from tests.pvs.panel import Panel

RECORD = RunRecord(RunId("e1", 7), DocumentState.Running, RunClass.Beam, "alpha", 1000.0, started_at=1001.0)


class Sheet:
    """The run sheet of a database that can fail."""

    def __init__(self) -> None:
        self.rows = SheetRows((*OF_EVERY_RUN, SheetColumn("pressure", "Torr", is_text=False)), ())
        self.error: Exception | None = None
        self.changes = 0
        self.asked: list[tuple[str, int]] = []
        self.hangs = False

    async def last_rows(self, experiment: str, most: int) -> SheetRows:
        self.asked.append((experiment, most))
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.rows


def views(panel: Panel, sheet: Sheet) -> dict[str, TableView]:
    """Every view by its name without the prefix."""
    found = tables("T:", panel.tree, panel.bench.engine, sheet.last_rows, lambda: sheet.changes)
    return {view.name.removeprefix("T:"): view for view in found}


def rows(content: TableContent) -> list[dict[str, Any]]:
    """The rows of a table, each by its columns."""
    names = [column.name for column in content.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(each.values for each in content.columns), strict=True)]


def show(panel: Panel, **changes: Any) -> None:
    """Show a state as if the core had made it."""
    panel.bench.engine.state = replace(panel.bench.engine.state, **changes)
    panel.tree.show(panel.bench.engine.state)


@pytest.mark.parametrize("name", COLUMNS)
async def test_columns_fit_together(panel: Panel, name: str) -> None:
    """Each table has its columns in order, all of one length, with values of their kind; a second look is equal."""
    show(panel, restored=True)
    sheet = Sheet()
    view = views(panel, sheet)[name]
    content = await view.read()
    names = [column.name for column in content.columns]
    assert tuple(names)[: len(COLUMNS[name])] == COLUMNS[name]
    assert len({len(column.values) for column in content.columns}) == 1
    kinds = {"text": str, "float": float, "integer": int}
    for column in content.columns:
        assert {type(value) for value in column.values} <= {kinds[column.kind]}
        assert column.label.partition(" [")[0] == column.name
    assert await view.read() == content


async def test_servers_are_shown_as_by_their_pvs(panel: Panel) -> None:
    """State, configuration and worst alarm of each server; one that was never read is Unknown."""
    panel.tree.show(panel.bench.engine.state)
    panel.bench.engine.post(ev.ServerRead("CoBo0", EccReading(EccState.Ready, Transition.NoTransition, 1.0)))
    view = views(panel, Sheet())["ECC:Table"]
    content = await view.read()
    first, *others = rows(content)
    assert (first["name"], first["state"], first["online"], first["alarm"]) == ("CoBo0", "Ready", "Online", "NO_ALARM")
    assert {(row["state"], row["alarm"]) for row in others} == {("Unknown", "INVALID")}
    assert content.severity == Severity.INVALID
    assert content.message == ", ".join(row["name"] for row in others)


async def test_numbers_of_a_lost_router_are_not_the_last_ones(panel: Panel) -> None:
    """While its host cannot be reached, the numbers are NaN and the states Unknown."""
    facts = RouterFacts(
        online=True,
        work_dir="/data",
        file_count=2,
        staged_bytes=3_000_000,
        disk_free=100_000_000_000,
        disk_total=400_000_000_000,
        run_dir_exists=False,
        read_at=1000.0,
    )
    view = views(panel, Sheet())["Router:Table"]
    panel.tree.show(panel.bench.engine.state)
    panel.bench.engine.post(ev.RoutersRead({"data0": facts}))
    row = rows(await view.read())[0]
    assert (row["online"], row["clean"], row["files"], row["staged"]) == ("Online", "Dirty", 2.0, 3.0)
    assert row["disk_used"] == 75.0
    state = panel.bench.engine.state
    show(panel, routers={**state.routers, "data0": replace(state.routers["data0"], lost=True)})
    row = rows(await view.read())[0]
    assert (row["online"], row["clean"], row["staging"], row["alarm"]) == ("Unknown", "Unknown", "Unknown", "INVALID")
    assert all(math.isnan(row[name]) for name in ("files", "staged", "rate", "disk_free", "disk_used"))


async def test_observables_of_every_type(panel: Panel) -> None:
    """Each has its value as a text and, if it is one, as a number; nothing is claimed of one that is disconnected."""
    statistics = Statistics(1.0, 3.0, 2.0, 4, Severity.NO_ALARM, 0.0)

    def seen(name: str, value: Any, severity: Severity, labels: tuple[str, ...] = ()) -> ObservableView:
        reading = Reading(name, value, severity, "disconnected" if value is None else "STATE", 0.5)
        return ObservableView(name, reading, value is not None, "Torr", 2, labels, statistics)

    panel.tree.show_observables(
        [
            seen("pressure", 2.5, Severity.MINOR),
            seen("count", None, Severity.INVALID),
            seen("valve", 1, Severity.MAJOR, ("shut", "open")),
        ]
    )
    content = await views(panel, Sheet())["Obs:Table"].read()
    pressure, count, valve, gas = rows(content)
    assert (pressure["value"], pressure["number"], pressure["units"]) == ("2.50", 2.5, "Torr")
    assert (pressure["time"], pressure["alarm"]) == ("1970-01-01T00:00:00.500000Z", "MINOR")
    assert (pressure["minimum"], pressure["mean"], pressure["samples"]) == (1.0, 2.0, 4)
    assert (count["value"], count["time"], count["connected"], count["alarm"]) == ("", "", "No", "INVALID")
    assert math.isnan(count["number"])
    assert (valve["value"], valve["alarm"]) == ("open", "MAJOR")
    assert (gas["value"], gas["source"], gas["alarm"]) == ("", "", "NO_ALARM")
    assert (content.severity, content.message) == (Severity.INVALID, "count")


async def test_the_record_of_the_run(panel: Panel) -> None:
    """It has number, title, class and times of the same run; before the first one the number is -1."""
    view = views(panel, Sheet())["Run:Info"]
    (row,) = rows(await view.read())
    assert (row["run_number"], row["state"], row["started_at"], row["title"]) == (-1, "Unknown", "", "")
    run = replace(panel.bench.engine.state.run, record=RECORD, state=RunState.Running, title="the next one")
    show(panel, restored=True, experiment="e1", run=run)
    (row,) = rows(await view.read())
    assert (row["experiment"], row["run_number"], row["title"], row["run_class"]) == ("e1", 7, "alpha", "Beam")
    assert (row["state"], row["started_at"], row["stopped_at"]) == ("Running", "1970-01-01T00:16:41.000000Z", "")
    assert math.isnan(row["duration"])


async def test_runs_are_read_when_something_has_changed(panel: Panel) -> None:
    """The database is asked once for each change of a run or by another program, not at each look."""
    sheet = Sheet()
    view = views(panel, sheet)["Run:Table"]
    assert (await view.read()).message == "the run database has not been read yet"
    assert sheet.asked == []
    show(panel, restored=True, experiment="e1")
    first = await view.read()
    assert await view.read() is first
    assert sheet.asked == [("e1", RUNS)]
    show(panel, run=replace(panel.bench.engine.state.run, record=RECORD))
    await view.read()
    await view.read()
    sheet.changes += 1
    await view.read()
    await view.read()
    assert len(sheet.asked) == 3


async def test_values_of_the_sheet_keep_their_types(panel: Panel) -> None:
    """What somebody has written into the database does not break a column: gaps and texts are no numbers."""
    sheet = Sheet()
    columns = (
        SheetColumn("run_number", "", is_text=False),
        SheetColumn("pressure", "Torr", is_text=False),
        SheetColumn("gas", "", is_text=True),
    )
    sheet.rows = SheetRows(columns, ((3, 1, "He"), (2, None, None), (1, "odd", 5), (0, math.inf, "")))
    show(panel, restored=True, experiment="e1")
    content = await views(panel, sheet)["Run:Table"].read()
    assert [column.label for column in content.columns] == ["run_number", "pressure [Torr]", "gas"]
    numbers, pressures, gases = (column.values for column in content.columns)
    assert numbers == (3, 2, 1, 0)
    assert (pressures[0], pressures[3], gases) == (1.0, math.inf, ("He", "", "5", ""))
    assert [isinstance(each, float) and math.isnan(each) for each in pressures] == [False, True, True, False]


@pytest.mark.parametrize("hangs", [False, True], ids=["locked", "hangs"])
async def test_without_the_database_the_last_rows_stay(panel: Panel, hangs: bool) -> None:
    """The reason is its alarm, INVALID; as soon as the database answers, it is gone."""
    sheet = Sheet()
    sheet.rows = SheetRows((SheetColumn("run_number", "", is_text=False),), ((3,),))
    show(panel, restored=True, experiment="e1")
    view = views(panel, sheet)["Run:Table"]
    known = await view.read()
    sheet.changes, sheet.hangs, sheet.error = 1, hangs, PeerError("the run database runs.db is locked")
    content = await asyncio.wait_for(view.read(), 60)
    assert content.columns == known.columns
    assert content.severity == Severity.INVALID
    assert content.message == ("the run database did not answer within 2 s" if hangs else str(sheet.error))
    sheet.hangs, sheet.error = False, None
    assert await view.read() == known
