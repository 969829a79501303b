"""The PVs that the screens need beside those of the detector: next step, histories, what is in alarm."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from ioc.model import (
    Client,
    DocumentState,
    EccReading,
    EccState,
    NextStep,
    PutRecord,
    RunClass,
    RunId,
    RunRecord,
    RunState,
    Severity,
    Transition,
)
from ioc.pvs.group import LOG_LENGTH, bytes_text
from ioc.pvs.history import history_text
from ioc.rundb import StoreHealth
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan
from ioc.topology.schema import Interlock
from tests.epics import eventually
from tests.pvs.panel import Panel, topology

RECORD = RunRecord(
    run=RunId("e20", 6),
    state=DocumentState.Complete,
    run_class=RunClass.Beam,
    title="α source\tand a tab",  # noqa: RUF001
    reserved_at=1e9,
    started_at=1e9,
    stopped_at=1e9 + 90,
    message="at 10:00: router data0 was silent\nat 10:05: it wrote again",
    duration=90.0,
    size=12_345_000_000,
)


def test_the_next_step_is_shown(panel: Panel) -> None:
    """Step and sentence follow the state of the servers."""
    panel.bench.engine.post(ev.Restored({}, None, ()))
    for name in panel.bench.engine.plan.servers:
        reading = EccReading(EccState.Prepared, Transition.NoTransition, 1.0)
        panel.bench.engine.post(ev.ServerRead(name, reading))
    assert panel["NextStep"].value == NextStep.Configure
    assert panel.text("NextAction") == "Configure all 3 ECC servers"
    assert "all 3 ECC servers are Prepared: press Configure" in panel.text("Run:BlockedGroups")


def test_a_size_for_people() -> None:
    """Three digits and a unit, whatever the size."""
    shown = [bytes_text(size) for size in (0, 40_000, 999_900_000, 12_345_000_000, 2 * 10**12, 5 * 10**18)]
    assert shown == ["0.0 MB", "0.0 MB", "999.9 MB", "12.3 GB", "2.0 TB", "5000.0 PB"]


def test_the_runs_are_rows_of_eight_columns() -> None:
    """Newest first; neither tabs nor line ends of a title break the table."""
    older = replace(RECORD, run=RunId("e20", 5), title="", message="", state=DocumentState.Failed, duration=None)
    rows = [line.split("\t") for line in history_text([older, RECORD]).splitlines()]
    assert [row[0] for row in rows] == ["6", "5"]
    assert rows[0][1:3] == ["α source and a tab", "Beam"]  # noqa: RUF001
    assert rows[0][4:] == ["00:01:30", "12.3 GB", "", "at 10:00: router data0 was silent at 10:05: it wrote again"]
    assert rows[1][4:] == ["failed", "", "failed", ""]


def test_many_long_rows_fit() -> None:
    """As many as fit into the PV, the newest."""
    long = [replace(RECORD, run=RunId("e20", n), title="ä" * 200, message="ö" * 1000) for n in range(50)]
    text = history_text(long)
    assert len(text.encode()) <= LOG_LENGTH
    assert text.startswith("49\t")


async def test_earlier_runs_are_read_once_and_the_current_one_is_kept_up_to_date(panel: Panel) -> None:
    """What the database had, and what the open run becomes."""
    panel.runs = [RECORD]
    panel.bench.engine.post(ev.Restored({}, RECORD, ()))
    reading = asyncio.create_task(panel.tree.keep_history())
    await eventually(lambda: panel.text("Run:History").startswith("6\t"))
    reading.cancel()
    await asyncio.wait([reading])
    state = panel.bench.engine.state
    later = replace(RECORD, run=RunId("e20", 7), state=DocumentState.Running, duration=None)
    panel.tree.show(replace(state, run=replace(state.run, record=later)))
    assert [line.split("\t")[0] for line in panel.text("Run:History").splitlines()] == ["7", "6"]
    assert panel["Run:PreviousNumber"].value == 7
    panel.tree.show(replace(state, run=replace(state.run, record=later, state=RunState.Running)))
    assert panel["Run:PreviousNumber"].value == 6


async def test_what_is_in_alarm_is_named(panel: Panel) -> None:
    """The worst first, with its severity; a manual value that nobody set is no alarm."""
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    await eventually(lambda: "in alarm" in panel.text("IOC:Alarms"))
    clock.cancel()
    await asyncio.wait([clock])
    assert panel["IOC:Alarms"].severity == Severity.INVALID
    assert "ECC:CoBo0" in panel.text("IOC:Alarms")
    assert "Obs:gas" not in panel.text("IOC:Alarms")
    assert "IOC:DatabaseMessage" not in panel.text("IOC:Alarms")
    panel.health = StoreHealth(0, 0.0, 0, "the run database is locked")
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    await eventually(lambda: "IOC:DatabaseMessage" in panel.text("IOC:Alarms"))
    clock.cancel()
    await asyncio.wait([clock])


async def test_a_history_has_a_point_for_each_time(panel: Panel) -> None:
    """An hour, oldest first, ending now; what was not known is a gap."""
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    await eventually(lambda: len(panel["Obs:pressure:History"].value) > 0)
    clock.cancel()
    await asyncio.wait([clock])
    times, values = panel["IOC:HistoryMinutes"].value, panel["Obs:pressure:History"].value
    assert len(times) == len(values)
    assert (times[0], times[-1]) == (-60.0, 0.0)
    assert all(math.isnan(value) for value in values)


async def test_a_number_is_typed_as_a_text(panel: Panel) -> None:
    """A refusal is shown beside the field until a value is accepted; what is typed reaches the recorder."""
    refused = PutRecord(1e9, "T:Obs:gas:Entry", "", "x", Client("ana", "127.0.0.1"), "refused", "it must be a gas")
    panel.tree.show_put(refused)
    assert (panel.text("Obs:gas:Message"), panel["Obs:gas:Message"].severity) == ("it must be a gas", Severity.MAJOR)
    await panel.put("Obs:gas:Entry", "P10")
    assert panel.set == [("gas", "P10")]
    assert (panel.text("Obs:gas:Message"), panel["Obs:gas:Message"].severity) == ("", Severity.NO_ALARM)


def test_the_previous_run_is_known_only_if_there_is_one(panel: Panel) -> None:
    """In the first run there is nothing to copy."""
    assert panel["Run:PreviousNumber"].value == -1


async def test_a_removed_interlock_leaves_the_next_step_alive() -> None:
    """After a reload without an interlock that forbade starts, the next step is decided without it."""
    interlock = Interlock.model_validate({"name": "gas", "observable": "pressure", "low": 1, "action": "block"})
    panel = Panel(interlocks=(interlock,))
    engine = panel.bench.engine
    engine.change_plan(Plan.of(topology()), ())
    ready = {name: replace(each, state=EccState.Ready, online=True) for name, each in engine.state.servers.items()}
    panel.tree.show(replace(engine.state, servers=ready, restored=True))
    assert panel.text("State") == "Ready"
    assert "interlock" not in panel.text("NextAction")
    assert panel.text("NextAction")
