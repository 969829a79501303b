"""What the PVs show of the state: values, alarms, time stamps."""

from __future__ import annotations

import asyncio
import statistics
import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from ioc import ca
from ioc.ca.pv import NEW_VALUE, Snapshot
from ioc.errors import PeerError
from ioc.model import (
    Client,
    ConfigChoice,
    DocumentState,
    EccReading,
    EccState,
    Event,
    Operation,
    PutRecord,
    RouterFacts,
    RunClass,
    RunId,
    RunRecord,
    RunState,
    Severity,
    Transition,
)
from ioc.pvs import PvTree
from ioc.rundb import StoreHealth
from ioc.runlogic import events as ev
from ioc.runlogic.permits import blocked_by
from ioc.runlogic.state import Note, Router, State
from tests.epics import eventually
from tests.pvs.panel import Panel

FACTS = RouterFacts(
    online=True,
    work_dir="/data",
    file_count=2,
    staged_bytes=3_000_000,
    disk_free=100_000_000_000,
    disk_total=400_000_000_000,
    run_dir_exists=False,
    read_at=1000.0,
)
ROUTER = ("Online", "Clean", "FileCount", "StagedMB", "RateMBps", "DiskFreeGB", "DiskUsedPercent", "WorkDir")


def state_of(panel: Panel) -> State:
    return panel.bench.engine.state


def show(panel: Panel, **changes: object) -> None:
    """Show a state as if the core had made it."""
    panel.bench.engine.state = replace(state_of(panel), **changes)  # type: ignore[arg-type]
    panel.tree.show(state_of(panel))


def read(panel: Panel, name: str, state: EccState, at: float) -> None:
    panel.bench.engine.post(ev.ServerRead(name, EccReading(state, Transition.NoTransition, at)))


def routers(panel: Panel, facts: RouterFacts) -> None:
    panel.bench.engine.post(ev.RoutersRead({"data0": facts}))


def test_before_anything_is_known_nothing_is_claimed(panel: Panel) -> None:
    """What was not read yet is INVALID, not a value that looks true."""
    panel.tree.show(state_of(panel))
    for name in (
        "State",
        "ECC:CoBo0:State",
        "ECC:CoBo0:Online",
        "Run:State",
        "Run:Number",
        "Run:NextNumber",
        *(f"Router:data0:{pv}" for pv in ROUTER),
        "Obs:pressure:Value",
        "Obs:gas:Value",
        "Obs:pressure:RunMean",
    ):
        assert panel[name].severity == Severity.INVALID, name
    assert panel.text("Run:CanStart") == "No"
    assert "has not been read yet" in panel.text("Run:BlockedBy")


STATES = [
    (("Idle", "Idle", "Idle"), "Idle", Severity.NO_ALARM),
    (("Idle", "Ready", "Idle"), "Mixed", Severity.MINOR),
    (("Off", "Off", "Off"), "Off", Severity.MAJOR),
    (("Idle", "Off", "Idle"), "Mixed", Severity.MAJOR),
    (("Running", "Running", "Running"), "Running", Severity.NO_ALARM),
]


@pytest.mark.parametrize(("states", "shown", "severity"), STATES)
def test_the_state_of_the_system(panel: Panel, states: tuple[str, ...], shown: str, severity: Severity) -> None:
    """The shared state, or Mixed; its alarm; its time is that of the change that made it."""
    for n, (name, state) in enumerate(zip(panel.bench.ecc, states, strict=True)):
        read(panel, name, EccState[state], 500.0 + n)
    assert panel.text("State") == shown
    assert panel["State"].severity == severity
    assert panel["State"].timestamp == 502.0


def test_a_server_that_cannot_be_read(panel: Panel) -> None:
    """State Unknown and Transition are INVALID, Online is Offline and MAJOR, the reason is in Message with MAJOR."""
    read(panel, "CoBo0", EccState.Ready, 500.0)
    assert (panel.text("ECC:CoBo0:State"), panel["ECC:CoBo0:State"].timestamp) == ("Ready", 500.0)
    panel.bench.engine.post(ev.ServerLost("CoBo0", "connection refused"))
    assert panel.text("ECC:CoBo0:State") == "Unknown"
    assert panel["ECC:CoBo0:State"].severity == Severity.INVALID
    assert panel["ECC:CoBo0:Transition"].severity == Severity.INVALID
    assert (panel.text("ECC:CoBo0:Online"), panel["ECC:CoBo0:Online"].severity) == ("Offline", Severity.MAJOR)
    assert panel.text("ECC:CoBo0:Message") == "connection refused"
    assert panel["ECC:CoBo0:Message"].severity == Severity.MAJOR
    read(panel, "CoBo0", EccState.Ready, 600.0)
    assert panel["ECC:CoBo0:State"].severity == Severity.NO_ALARM
    assert panel["ECC:CoBo0:Online"].severity == Severity.NO_ALARM
    assert panel["ECC:CoBo0:Transition"].severity == Severity.NO_ALARM


def test_an_unchanged_state_keeps_its_time(panel: Panel) -> None:
    """A reading that says the same again neither posts nor changes the time stamp."""
    read(panel, "CoBo0", EccState.Ready, 500.0)
    before = panel["ECC:CoBo0:State"].snapshot
    read(panel, "CoBo0", EccState.Ready, 501.0)
    assert panel["ECC:CoBo0:State"].snapshot is before


def test_a_router_and_its_disk(panel: Panel) -> None:
    """Sizes in MB and GB, the part of the disk that is used, all with the time of the look."""
    routers(panel, FACTS)
    shown = {name: panel.text(f"Router:data0:{name}") for name in ROUTER}
    assert shown == {
        "Online": "Online",
        "Clean": "Dirty",
        "FileCount": "2",
        "StagedMB": "3.0",
        "RateMBps": "0.00",
        "DiskFreeGB": "100.0",
        "DiskUsedPercent": "75.0",
        "WorkDir": "/data",
    }
    assert panel["Router:data0:Clean"].severity == Severity.MINOR
    assert {panel[f"Router:data0:{name}"].timestamp for name in ROUTER} == {1000.0}
    routers(panel, replace(FACTS, staged_bytes=7_000_000, read_at=1002.0, answered_at=2.0))
    assert panel.text("Router:data0:RateMBps") == "2.00"


@pytest.mark.parametrize(
    ("free_gb", "severity", "status"),
    [(100.0, Severity.NO_ALARM, "NO_ALARM"), (9.9, Severity.MINOR, "LOW"), (4.9, Severity.MAJOR, "LOLO")],
)
def test_a_disk_that_fills_up(panel: Panel, free_gb: float, severity: Severity, status: str) -> None:
    """The disk is MAJOR below what a start needs and MINOR below twice that."""
    routers(panel, replace(FACTS, disk_free=int(free_gb * 1e9)))
    assert (panel["Router:data0:DiskFreeGB"].severity, panel["Router:data0:DiskFreeGB"].status) == (severity, status)


def test_dirty_is_no_alarm_while_a_run_is_open(panel: Panel) -> None:
    """In a run files are staged as they should be."""
    routers(panel, FACTS)
    show(panel, run=replace(state_of(panel).run, state=RunState.Running))
    assert (panel.text("Router:data0:Clean"), panel["Router:data0:Clean"].severity) == ("Dirty", Severity.NO_ALARM)
    show(panel, run=replace(state_of(panel).run, state=RunState.Stopped))
    assert panel["Router:data0:Clean"].severity == Severity.MINOR


def test_a_host_that_cannot_be_asked(panel: Panel) -> None:
    """Everything known of its routers is INVALID, the reason is in Message; the last numbers stay to be seen."""
    routers(panel, FACTS)
    panel.bench.engine.post(ev.RoutersLost(("data0",), "192.168.41.60 did not answer within 10 s"))
    assert {panel[f"Router:data0:{name}"].severity for name in ROUTER} == {Severity.INVALID}
    assert panel.text("Router:data0:Online") == "Offline"
    assert panel.text("Router:data0:FileCount") == "2"
    assert panel["Router:data0:Message"].severity == Severity.MAJOR
    assert "did not answer" in panel.text("Router:data0:Message")
    routers(panel, replace(FACTS, read_at=1010.0))
    assert {panel[f"Router:data0:{name}"].severity for name in ROUTER} == {Severity.NO_ALARM, Severity.MINOR}


def test_a_router_that_does_not_run(panel: Panel) -> None:
    """No process is MAJOR at Online; what is still known of its directory is shown, what is not is INVALID."""
    routers(panel, replace(FACTS, online=False))
    assert (panel.text("Router:data0:Online"), panel["Router:data0:Online"].severity) == ("Offline", Severity.MAJOR)
    assert panel["Router:data0:FileCount"].severity == Severity.NO_ALARM
    routers(panel, replace(FACTS, online=False, work_dir="", file_count=0))
    assert panel["Router:data0:Online"].severity == Severity.MAJOR
    assert {panel[f"Router:data0:{name}"].severity for name in ROUTER[1:]} == {Severity.INVALID}


def test_a_disk_that_is_not_known_is_not_full(panel: Panel) -> None:
    """Unknown space is INVALID, not 0 GB."""
    routers(panel, replace(FACTS, disk_free=0, disk_total=0, problem="df failed"))
    assert panel["Router:data0:DiskFreeGB"].status == "COMM"
    assert panel["Router:data0:DiskUsedPercent"].severity == Severity.INVALID
    assert panel["Router:data0:FileCount"].severity == Severity.NO_ALARM


def test_a_run_that_failed_is_major(panel: Panel) -> None:
    """Run:State Failed is MAJOR."""
    show(panel, restored=True, run=replace(state_of(panel).run, state=RunState.Failed))
    assert (panel.text("Run:State"), panel["Run:State"].severity) == ("Failed", Severity.MAJOR)


def test_reasons_that_do_not_fit_are_counted(panel: Panel) -> None:
    """BlockedBy has whole sentences, and says how many more there are."""
    routers = {name: Router(lost=True, message=Note("é" * 400)) for name in state_of(panel).routers}
    show(panel, restored=True, routers=routers)
    lines = panel.text("Run:BlockedBy").splitlines()
    reasons = blocked_by(panel.bench.engine.plan, replace(state_of(panel), restored=True, routers=routers))
    assert 1 < len(lines) < len(reasons)
    assert lines[:-1] == list(reasons[: len(lines) - 1])
    assert lines[-1] == f"and {len(reasons) - len(lines) + 1} more"


def test_servers_that_run_without_a_run_are_said_so(panel: Panel) -> None:
    """A server Running although no run is open is named in Run:Message with MAJOR."""
    show(panel, restored=True)
    read(panel, "CoBo1", EccState.Running, 500.0)
    assert "CoBo1 is Running although no run is open" in panel.text("Run:Message")
    assert panel["Run:Message"].severity == Severity.MAJOR
    read(panel, "CoBo1", EccState.Ready, 501.0)
    assert "although" not in panel.text("Run:Message")


def event(n: int, severity: Severity = Severity.NO_ALARM) -> Event:
    return Event(1_700_000_000.0 + n, severity, "Run", f"line {n}\nmore", client=Client("ana", "10.0.0.1"))


async def test_the_log(panel: Panel) -> None:
    """Newest first, one line each, at most 100; Errors counts MAJOR; clearing hides all."""
    for n in range(150):
        panel.tree.show_event(event(n, Severity.MAJOR if n % 10 == 0 else Severity.MINOR))
    lines = panel.text("Log:Lines").splitlines()
    assert len(lines) == 100
    assert lines[0] == panel.text("Log:Last")
    assert lines[0].endswith("warning Run: line 149 more (ana@10.0.0.1)")
    assert panel["Log:Last"].timestamp == 1_700_000_149.0
    assert (panel.text("Log:Errors"), panel["Log:Errors"].severity) == ("15", Severity.MINOR)
    await panel.put("Log:Clear", 1)
    assert [panel.text(f"Log:{name}") for name in ("Last", "Lines", "Errors")] == ["", "", "0"]
    assert panel["Log:Last"].severity == panel["Log:Errors"].severity == Severity.NO_ALARM


async def test_the_end_of_a_log_file(panel: Panel) -> None:
    """Of a log that is too long for its PV the end is shown, from the begin of a line."""
    panel.log_text = "".join(f"line {n} µ\n" for n in range(3000))
    await panel.put("ECC:CoBo0:RefreshLog", 1)
    shown = panel.text("ECC:CoBo0:Log")
    assert shown.startswith("line ")
    assert shown.endswith("line 2999 µ\n")
    assert 15_000 < len(shown.encode()) <= 16000


async def test_a_configuration_is_chosen_by_number_or_name(panel: Panel) -> None:
    """ConfigIndex and Config choose the same; a number that is none is refused with the range."""
    async with panel.bench as bench:
        offers = (ConfigChoice("a", "b", "c"), ConfigChoice("a", "x", "x"))
        bench.ecc["CoBo0"].configs = offers
        await eventually(lambda: bench.state.servers["CoBo0"].offers and bench.state.restored)
        assert panel.text("ECC:CoBo0:ConfigIndex") == "-1"
        await panel.put("ECC:CoBo0:ConfigIndex", 1)
        assert panel.text("ECC:CoBo0:Config") == "a/x/x"
        await panel.put("ECC:CoBo0:Config", "a/b/c")
        assert panel.text("ECC:CoBo0:ConfigIndex") == "0"
        assert panel.text("ECC:CoBo0:ConfigList") == "a/b/c\na/x/x"
        with pytest.raises(ca.Refused, match="number is 2, but must be 0 to 1"):
            await panel.put("ECC:CoBo0:ConfigIndex", 2)


@pytest.mark.parametrize(
    ("pv", "nearest"),
    [
        ("ECC:CoBo0:Config", "ECC:CoBo0:Message"),
        ("Router:data0:Organize", "Router:data0:Message"),
        ("Run:Title", "Run:Message"),
        ("Experiment", "Message"),
        ("Obs:gas:Value", "Message"),
        ("IOC:Reload", "Message"),
    ],
)
def test_a_refusal_is_said_in_the_nearest_message(panel: Panel, pv: str, nearest: str) -> None:
    """Wherever it was refused; what is granted, or older than what is said there, changes nothing."""
    refused = PutRecord(2000.0, f"T:{pv}", "", "x", Client(), "refused", f"{pv} cannot be x")
    panel.tree.show_put(replace(refused, result="ok", message=""))
    assert panel.text(nearest) == ""
    panel.tree.show_put(replace(refused, occurred_at=time.time() + 1))
    assert panel.text(nearest) == f"{pv} cannot be x"
    panel.tree.show_put(replace(refused, message="older"))
    assert panel.text(nearest) == f"{pv} cannot be x"
    panel.tree.show_put(replace(refused, occurred_at=time.time() + 2, result="ok", message="it was cut"))
    assert panel.text(nearest) == "it was cut"
    panel.tree.show_put(replace(refused, occurred_at=time.time() + 3, message="said by the core", logged=True))
    assert panel.text(nearest) == "it was cut"


async def test_health_is_measured_once_a_second(panel: Panel) -> None:
    """Heartbeat and uptime advance although nothing else happens; the database's trouble is shown with MAJOR."""
    panel.health = StoreHealth(12, 3.5, 4, "the run database is locked")
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    began = time.monotonic()
    await eventually(lambda: panel["IOC:Heartbeat"].value >= 3)
    assert 1.9 < time.monotonic() - began < 3
    clock.cancel()
    await asyncio.wait([clock])
    assert clock.cancelled()
    assert panel["IOC:MemoryMB"].value > 10
    assert panel.text("IOC:DatabaseQueue") == "12"
    assert panel["IOC:DatabaseMessage"].severity == panel["IOC:DatabaseDropped"].severity == Severity.MAJOR
    assert panel["IOC:PVs"].value == len(list(panel.tree.pvs))


@pytest.mark.parametrize("step", [3600, -1800])
async def test_the_uptime_is_the_time_that_passed(panel: Panel, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Setting the clock of the machine changes nothing about how long the IOC has run."""
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    await eventually(lambda: panel["IOC:Heartbeat"].value >= 2)
    clock.cancel()
    await asyncio.wait([clock])
    assert 0 <= panel["IOC:UptimeSeconds"].value < 600


def test_a_demo_says_so() -> None:
    """Simulated is MINOR; the real thing is not."""
    assert Panel(simulated=True)["IOC:Simulated"].severity == Severity.MINOR
    assert Panel(simulated=False)["IOC:Simulated"].severity == Severity.NO_ALARM


async def test_the_state_follows_the_reply_within_20_ms(panel: Panel) -> None:
    """From the reply to a transition to the new State of the PV it takes less than 20 ms (median of ten)."""
    posted: list[float] = []

    class Stopwatch:
        mask = 0xF

        def offer(self, snapshot: object) -> None:
            posted.append(time.perf_counter())

    panel["ECC:CoBo0:State"].subscribe(Stopwatch())
    async with panel.bench as bench:
        await eventually(lambda: bench.state.servers["CoBo0"].online)
        ecc = bench.ecc["CoBo0"]
        ecc.takes = 0.05
        delays: list[float] = []
        for n in range(10):
            await bench.server("CoBo0", Operation.Undo if n % 2 else Operation.Describe)
            delays.append(posted[-1] - ecc.replied_at)
    assert ecc.sent[:2] == [Operation.Describe, Operation.Undo]
    assert min(delays) > 0
    assert statistics.median(delays) < 0.02, delays


async def test_states_of_one_turn_are_shown_as_one_and_before_the_answer(panel: Panel) -> None:
    """A PV changes once for all states of one turn of the event loop, and shows the last when a command is answered."""
    tree = PvTree(panel.bench.topology, panel.bench.engine, panel.services, simulated=False)
    state = next(pv for pv in tree.pvs if pv.name == "T:ECC:CoBo0:State")
    shown: list[str] = []

    class Watch:
        mask = NEW_VALUE

        def offer(self, snapshot: Snapshot[Any]) -> None:
            shown.append(state.label(snapshot.value))

    state.subscribe(Watch())
    panel.bench.engine.subscribe(tree.show_soon)
    for each in (EccState.Idle, EccState.Described, EccState.Prepared):
        panel.bench.engine.post(ev.ServerRead("CoBo0", EccReading(each, Transition.NoTransition, 500.0)))
    assert shown == []
    await asyncio.sleep(0)
    assert shown == ["Prepared"]
    async with panel.bench as bench:
        await bench.until(lambda: state.label(state.value) == "Idle")
        for operation, then in ((Operation.Describe, "Described"), (Operation.Undo, "Idle")):
            await bench.server("CoBo0", operation)
            assert state.label(state.value) == then


async def test_what_a_put_does_without_a_command_of_the_core_is_shown_before_it_is_answered(panel: Panel) -> None:
    """When a put of RefreshConfigs is answered, the PVs show the new configurations, or why there are none."""
    tree = PvTree(panel.bench.topology, panel.bench.engine, panel.services, simulated=False)
    pvs = {pv.name: pv for pv in tree.pvs}
    refresh = pvs["T:ECC:CoBo0:RefreshConfigs"].on_put
    assert refresh is not None
    panel.bench.engine.subscribe(tree.show_soon)
    async with panel.bench as bench:
        await bench.until(lambda: bench.state.restored and bench.state.servers["CoBo0"].list_read)
        bench.ecc["CoBo0"].configs = (ConfigChoice("a", "x", "x"),)
        await refresh(ca.Client("ana", "127.0.0.1"), 1)
        assert pvs["T:ECC:CoBo0:ConfigList"].value == "a/x/x"
        bench.ecc["CoBo0"].configs = PeerError("no list")
        with pytest.raises(ca.PutFailed):
            await refresh(ca.Client("ana", "127.0.0.1"), 1)
        assert "no list" in pvs["T:ECC:CoBo0:Message"].value


def test_a_change_renders_what_depends_on_it_and_nothing_else(panel: Panel) -> None:
    """After every change all PVs show what they show where each part of the state is another object each time."""
    complete = PvTree(panel.bench.topology, panel.bench.engine, panel.services, simulated=False)
    panel.bench.engine.subscribe(lambda state: complete.show(deepcopy(state)))
    changes: list[Any] = [
        ev.ServerRead("CoBo0", EccReading(EccState.Ready, Transition.NoTransition, 500.0)),
        ev.ConfigsRead("CoBo0", (ConfigChoice("a", "b", "c"), ConfigChoice("a", "x", "x"))),
        ev.RoutersRead({"data0": FACTS}),
        {"restored": True, "experiment": "e21", "run": replace(state_of(panel).run, title="t", state=RunState.Running)},
        ev.ObservablesMissing(frozenset({"pressure"})),
        ev.DatabaseProblem("the disk is full"),
        {"message": Note("something else", Severity.MINOR), "run": state_of(panel).run},
        ev.ServerRead("CoBo0", EccReading(EccState.Running, Transition.NoTransition, 501.0)),
        ev.ServerLost("CoBo0", "connection refused"),
        ev.RoutersRead({"data0": replace(FACTS, file_count=0, staged_bytes=0, read_at=1002.0)}),
        ev.RoutersLost(("data0",), "no answer"),
        ev.DatabaseProblem(""),
    ]
    for change in changes:
        if isinstance(change, dict):
            show(panel, **change)
            complete.show(deepcopy(state_of(panel)))
        else:
            panel.bench.engine.post(change)
        shown, expected = (
            {pv.name: (pv.label(pv.value), pv.severity, pv.status) for pv in tree.pvs if ":IOC:" not in pv.name}
            for tree in (panel.tree, complete)
        )
        assert shown == expected, change


async def test_a_command_is_busy_while_it_works(panel: Panel) -> None:
    """A command is Busy until its work has ended, also if that fails; Busy of the system says so, too."""
    async with panel.bench as bench:
        await eventually(lambda: bench.state.restored and all(s.online for s in bench.state.servers.values()))
        bench.ecc["CoBo0"].takes = 0.2
        bench.ecc["CoBo0"].replies.append(PeerError("lost"))
        work = asyncio.create_task(panel.put("Describe", 1))
        await eventually(lambda: panel.text("Describe") == "Busy")
        assert panel.text("Busy") == "Busy"
        assert panel.text("ECC:CoBo0:Transition") == "Describing"
        with pytest.raises(ca.Refused, match="is Busy"):
            await panel.put("Describe", 1)
        with pytest.raises(ca.PutFailed, match="Describe failed: lost"):
            await work
        assert panel.text("Describe") == panel.text("Busy") == "Done"
        assert panel.text("Message").startswith("Describe failed")
        assert panel["Message"].severity == Severity.MAJOR


STAGING = [
    (RunState.Stopped, 0, False, "Empty", Severity.NO_ALARM),
    (RunState.Running, 0, False, "Empty", Severity.NO_ALARM),
    (RunState.Running, 2, False, "Writing", Severity.NO_ALARM),
    (RunState.Paused, 2, False, "Writing", Severity.NO_ALARM),
    (RunState.Stopping, 2, False, "Writing", Severity.NO_ALARM),
    (RunState.Filing, 2, True, "Writing", Severity.NO_ALARM),
    (RunState.Filing, 2, False, "Left behind", Severity.MINOR),
    (RunState.Stopped, 2, False, "Left behind", Severity.MINOR),
]


@pytest.mark.parametrize(("state", "files", "filing", "word", "severity"), STAGING)
def test_what_lies_in_the_directory_of_a_router_has_a_normal_word(
    panel: Panel, state: RunState, files: int, *, filing: bool, word: str, severity: Severity
) -> None:
    """In a run its files are being written; only what is filed nowhere is left behind, and an alarm."""
    run = replace(state_of(panel).run, state=state)
    router = Router(last=replace(FACTS, file_count=files), filing=filing)
    show(panel, run=run, routers={**state_of(panel).routers, "data0": router})
    assert panel.text("Router:data0:Staging") == word
    assert panel["Router:data0:Staging"].severity == severity


async def test_no_router_is_in_alarm_at_the_end_of_a_run(panel: Panel) -> None:
    """From Stop to the end of filing its files are those of the run, also before and after they are moved."""
    async with panel.bench as bench:
        await bench.to_ready()
        await bench.run(Operation.Start)
        for host in bench.hosts:
            host.facts = {name: replace(FACTS, staged_bytes=0, read_at=time.time()) for name in host.routers}
            bench.engine.post(ev.RoutersRead(host.facts))
        routers = [pv for pv in panel.tree.pvs if pv.name.startswith("T:Router:")]
        assert panel.text("Router:data0:Staging") == "Writing"
        alarms: list[str] = []
        bench.engine.subscribe(
            lambda _: alarms.extend(f"{pv.name} {pv.label(pv.value)}" for pv in routers if pv.severity)
        )
        await bench.run(Operation.Stop)
    assert alarms == []
    assert panel.text("Router:data0:Staging") == "Empty"


def test_a_silent_router_is_an_alarm(panel: Panel) -> None:
    """Yes is MAJOR, No is none."""
    for silent, word, severity in ((True, "Yes", Severity.MAJOR), (False, "No", Severity.NO_ALARM)):
        show(panel, routers={**state_of(panel).routers, "data0": Router(last=FACTS, silent=silent)})
        assert panel.text("Router:data0:Silent") == word
        assert panel["Router:data0:Silent"].severity == severity


def test_how_much_data_a_run_has_and_how_long_it_can_go_on(panel: Panel) -> None:
    """Sum and rate over all routers, and the minutes until the first disk is full; an alarm under an hour in a run."""
    router = Router(last=FACTS, written=5_000_000, rate=2_000_000.0, mean_rate=2_000_000.0)
    run = replace(state_of(panel).run, state=RunState.Running)
    show(panel, run=run, routers={"data0": router, "data1": router, "mutant": Router()})
    assert (panel["Run:TotalMB"].value, panel["Run:RateMBps"].value) == (10.0, 4.0)
    assert panel["Run:MinutesToFull"].value == pytest.approx(100e9 / 4e6 / 60)
    assert panel["Run:MinutesToFull"].severity == Severity.NO_ALARM
    show(panel, routers={**state_of(panel).routers, "data1": replace(router, mean_rate=100e6)})
    assert panel["Run:MinutesToFull"].value == pytest.approx(100e9 / 102e6 / 60)
    assert panel["Run:MinutesToFull"].severity == Severity.MAJOR
    show(panel, routers={"data0": Router(), "data1": Router(), "mutant": Router()})
    assert panel["Run:MinutesToFull"].value == 999_999


def test_servers_that_run_before_the_database_was_read_are_not_said_to_run_without_a_run(panel: Panel) -> None:
    """It is not known yet whether a run is open: nobody is told to stop them."""
    read(panel, "CoBo0", EccState.Running, 500.0)
    text = panel.text("Run:Message")
    assert text.startswith("CoBo0 is Running; the run database has not been read yet")
    assert "Stop" not in text
    assert not [reason for reason in panel.text("Run:BlockedBy").splitlines() if "no run is open" in reason]
    show(panel, restored=True)
    assert panel.text("Run:Message") == (
        "CoBo0 is Running although no run is open: press Stop of each of these ECC servers"
    )
    for name in ("CoBo1", "MuTAnT"):
        read(panel, name, EccState.Running, 500.0)
    assert panel.text("Run:Message").endswith("press Reset, or Stop of each ECC server")


def test_the_duration_of_a_run_does_not_follow_the_clock_of_the_day(panel: Panel) -> None:
    """It is the time that passed on a clock that nobody sets."""
    record = RunRecord(RunId("e20", 3), DocumentState.Running, RunClass.Beam, "", 0.0, started_at=time.time() + 7200.0)
    since = time.monotonic() - 100.0
    show(panel, run=replace(state_of(panel).run, state=RunState.Running, record=record, running_since=since))
    assert 100 <= panel["Run:Duration"].value <= 110
    assert panel.text("Run:DurationText").startswith("00:01:4")
