"""Runs with FRIBDAQ: the installed command in front of a simulated detector and a simulated ReadoutGUI."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.plant import Plant, ready_plant
from tests.epics import Epics, eventually

AUX = {"name": "aux", "timeout": 1.5}
LATE = {"name": "late", "order": "after", "on_end": "stop", "timeout": 1.5}
TITLE = '{ 60Fe $[x]; µ "}'


async def gui(plant: Plant, name: str = "aux") -> dict[str, Any]:
    """What a ReadoutGUI shows."""
    return (await plant.control(do="status"))["partners"][name]


async def test_both_have_one_number(epics: Epics, tmp_path: Path) -> None:
    """Two runs with two partners: each has the number and title of ours, and is halted after it."""
    async with ready_plant(Plant(tmp_path, epics, boards=2, partners=[AUX, LATE])) as plant:
        assert await plant.put("Run:NextNumber", "41")
        for number in (41, 42):
            assert await plant.put("Run:Title", TITLE, "-S")
            assert await plant.put("Run:Start"), await plant.text("Run:Message")
            assert await plant.get("Run:Number") == str(number)
            for name in ("aux", "late"):
                assert await plant.get(f"Partner:{name}:State") == "Active"
                assert await plant.severity(f"Partner:{name}:State") == "NO_ALARM"
                assert (await gui(plant, name))["history"][-1] == {"run": number, "title": TITLE, "recording": True}
            await plant.stop_run()
            for name in ("aux", "late"):
                assert await plant.get(f"Partner:{name}:State") == "Halted"
                assert not (await gui(plant, name))["slave"]
        assert plant.query("SELECT run_number, title, state, message FROM runs") == [
            (41, TITLE, "complete", ""),
            (42, TITLE, "complete", ""),
        ]


async def test_no_run_without_it(epics: Epics, tmp_path: Path) -> None:
    """A partner that is dead, or has a run of its operator, forbids a start; one that refuses makes it fail."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[AUX])) as plant:
        await plant.control(partner="aux", do="begin")
        await plant.until("Run:CanStart", "No")
        assert await plant.text("Run:BlockedBy") == (
            "partner aux is Active already, but must be Halted: press End in its ReadoutGUI"
        )
        assert await plant.severity("Partner:aux:State") == "MINOR"
        await plant.control(partner="aux", do="kill")
        await plant.until("Partner:aux:State", "Offline")
        assert not await plant.put("Run:Start")
        async with asyncio.timeout(60):
            while "start the DAQ port manager" not in await plant.text("Partner:aux:Message"):  # noqa: ASYNC110 - a PV
                await asyncio.sleep(0.05)
        assert "partner aux is Offline" in await plant.text("Run:BlockedBy")
        await plant.control(partner="aux", do="start")
        await plant.until("Run:CanStart", "Yes")
        await plant.control(partner="aux", do="fail", operation="begin", message="ssh to spdaq19 failed")
        assert not await plant.put("Run:Start")
        assert "ssh to spdaq19 failed" in await plant.text("Run:Message")
        assert await plant.get("Run:State") == "Failed"
        assert [(await gui(plant))[key] for key in ("state", "slave")] == ["Halted", False]
        await plant.until("Run:CanStart", "Yes")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        assert (await gui(plant))["history"][-1]["run"] == 1
        assert await plant.put("Run:Stop")


async def test_a_failed_start_ends_it(epics: Epics, tmp_path: Path) -> None:
    """If an ECC server fails to start, the partner that had begun is ended with the roll-back."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[AUX])) as plant:
        await plant.control(ecc="North", do="fail", operation="Start", message="no power")
        assert not await plant.put("Run:Start")
        status = await gui(plant)
        assert len(status["history"]) == 1
        assert status["state"] == "Halted"
        await plant.until("Run:CanStart", "Yes")


@pytest.mark.parametrize("how", ["freeze", "mute", "lying", "babbling"])
async def test_a_begin_that_is_not_answered(epics: Epics, tmp_path: Path, how: str) -> None:
    """One that hangs, says nothing, lies or babbles at begin fails the start in time, and does not run after it."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[AUX])) as plant:
        if how == "freeze":
            await plant.control(partner="aux", do="freeze")
        else:
            await plant.control(partner="aux", do="answer", **{"as": how})
        assert not await plant.put("Run:Start", timeout=15)
        ends = {"Failed", "Stopped"}  # it is refused if its fault was seen before
        await plant.until("Run:State", lambda state: state in ends)
        await plant.control(partner="aux", do="thaw")
        await plant.control(partner="aux", do="answer", **{"as": "honest"})
        await plant.until("Partner:aux:State", "Halted")
        await plant.until("Run:CanStart", "Yes")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        assert await plant.put("Run:Stop")


async def test_stop_ends_a_start_that_waits_for_it(epics: Epics, tmp_path: Path) -> None:
    """Stop while a partner takes long to begin: the run is closed in time, and the partner is halted."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[{**AUX, "timeout": 20}])) as plant:
        await plant.control(partner="aux", do="delay", operation="begin", seconds=1.0)
        starting = asyncio.create_task(plant.put("Run:Start"))
        await plant.until("Partner:aux:State", "Beginning")
        assert await plant.put("Run:Stop")
        assert not await starting
        assert await plant.get("Run:State") in {"Failed", "Stopped"}
        status = await gui(plant)
        assert (status["state"], len(status["history"])) == ("Halted", 1)


@pytest.mark.parametrize("how", ["freeze", "mute", "lying"])
async def test_an_end_that_is_not_answered(epics: Epics, tmp_path: Path, how: str) -> None:
    """One that hangs, lies or says nothing at end does not keep the run from being closed, which has the reason."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[{**LATE, "on_end": "alarm"}])) as plant:
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        command = {"do": "freeze"} if how == "freeze" else {"do": "answer", "as": how}
        await plant.control(partner="late", **command)
        await plant.put("Run:Stop", timeout=15)
        await plant.until_closed()
        [(state, message)] = plant.query("SELECT state, message FROM runs")
        assert state == "complete"
        assert "if it still runs, press End in its ReadoutGUI" in message


async def test_an_interlock_does_not_wait_for_one_that_hangs(epics: Epics, tmp_path: Path) -> None:
    """The ECC servers are stopped at once, neither after the time-out of the partner nor after that of a hook."""
    interlock = {"name": "gas", "pv": "SIM:gas:pressure", "low": 50, "action": "stop", "for_seconds": 0}
    slow = {"before_stop": [{"name": "slow", "run": ["sleep", "60"], "timeout": 20}]}
    late = {**LATE, "on_end": "alarm", "timeout": 20}
    async with ready_plant(
        Plant(tmp_path, epics, boards=1, interlocks=[interlock], hooks=slow, partners=[late])
    ) as plant:
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        await plant.control(partner="late", do="freeze")
        before = time.monotonic()
        assert await plant.put("Interlock:gas:Low", "5000")
        await plant.until("ECC:North:State", "Ready", 5)
        assert time.monotonic() - before < 3
        await plant.until_closed()
        await eventually(lambda: "slow (before_stop) failed" in plant.query("SELECT message FROM runs")[0][0])
        assert "partner late" in plant.query("SELECT message FROM runs")[0][0]


async def test_one_that_dies_in_a_run(epics: Epics, tmp_path: Path) -> None:
    """A partner that is killed is an alarm and stays with the run, which goes on and can be stopped."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[AUX])) as plant:
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        await plant.control(partner="aux", do="kill")
        await plant.until("Partner:aux:State", "Offline")
        assert await plant.severity("Partner:aux:State") == "MAJOR"
        assert await plant.severity("Run:Message") == "MAJOR"
        assert await plant.get("Run:State") == "Running"
        await plant.put("Run:Stop")
        await plant.until_closed()
        [(state, message)] = plant.query("SELECT state, message FROM runs")
        assert state == "complete"
        assert "partner aux is Offline" in message
        assert "press End in its ReadoutGUI" in message


async def test_one_that_must_not_end_stops_the_run(epics: Epics, tmp_path: Path) -> None:
    """With on_end: stop, a partner that ends by itself stops the run in order."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[LATE])) as plant:
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        await plant.control(partner="late", do="end")
        await plant.until_closed()
        [(state, message)] = plant.query("SELECT state, message FROM runs")
        assert state == "complete"
        assert "partner late has ended its run by itself" in message
        await plant.until("Run:CanStart", "Yes")


async def test_a_restart_of_the_ioc_in_a_run(epics: Epics, tmp_path: Path) -> None:
    """After kill -9 it goes on as its own master: both are said, and Stop is not blocked by what it cannot end."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, partners=[AUX])) as plant:
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        plant.stop(signal.SIGKILL)
        await plant.start()
        await plant.until("Run:State", "Running")
        await plant.until("Partner:aux:State", "Active")
        await eventually(
            lambda: "press End in its ReadoutGUI after Stop" in plant.query("SELECT message FROM runs")[0][0]
        )
        assert not await plant.put("Run:Stop")  # it says that something is left to do
        assert "press End in its ReadoutGUI" in await plant.text("Run:Message")
        assert await plant.get("Run:State") == "Stopped"
        assert "partner aux is Active already" in await plant.text("Run:BlockedBy")
        await plant.control(partner="aux", do="end")
        await plant.until("Run:CanStart", "Yes")
