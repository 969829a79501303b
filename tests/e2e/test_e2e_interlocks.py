"""Interlocks of the installed command in front of simulated slow controls: runs, kills, the run database."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.plant import Plant, ready_plant
from tests.epics import Epics, eventually

QUICK = {"for_seconds": 0.3, "clear_seconds": 0.5, "bypass_minutes": 10}
INTERLOCKS = [
    {"name": "gas", "observable": "pressure", "low": 200, "action": "alarm", **QUICK},
    {"name": "hv", "pv": "SIM:hv:cathode", "low": 5, "action": "stop", **QUICK},
]


async def test_interlocks_survive_kills_and_stop_the_run(epics: Epics, tmp_path: Path) -> None:
    """A trip, a bypass and a changed limit survive a kill -9; a stop ends the run; its bad times all have an end."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, interlocks=INTERLOCKS)) as plant:
        await plant.until("Interlock:hv:State", "Ok")
        assert await plant.put("Run:Start"), await plant.text("Run:BlockedBy")
        await plant.control(slow_controls="SIM:gas:pressure", do="set", value=150)
        await plant.until("Interlock:gas:State", "Tripped")
        assert plant.stop(signal.SIGKILL)
        await plant.start()
        await plant.until("Run:State", "Running")
        await plant.until("Interlock:gas:State", "Tripped")
        await plant.control(slow_controls="*", do="thaw")
        await plant.until("Interlock:gas:State", "Ok")
        assert await plant.put("Interlock:gas:Low", "850")
        await plant.until("Interlock:gas:State", "Tripped")
        assert await plant.put("Interlock:gas:Bypass", "On")
        who = "SELECT user <> '', host <> '' FROM events WHERE message LIKE 'bypassed until%'"
        await eventually(lambda: plant.query(who) == [(1, 1)])  # a kill may cost the log of the last second
        assert plant.stop(signal.SIGKILL)
        await plant.start()
        await plant.until("Interlock:gas:State", "Bypassed")
        await plant.until("Interlock:gas:Low", "850")
        await plant.until("Run:State", "Running")
        await plant.control(slow_controls="SIM:hv:cathode", do="set", value=1)
        await plant.until_closed()
        assert await plant.get("Run:CanStart") == "No"
        intervals = "SELECT interlock, action, ended_at >= began_at, low FROM run_intervals ORDER BY id"
        expected = [("gas", "alarm", 1, 200.0), ("gas", "alarm", 1, 850.0), ("hv", "stop", 1, 5.0)]
        await eventually(lambda: plant.query(intervals) == expected)
        [(fraction, message)] = plant.query("SELECT good_fraction, message FROM runs")
        assert 0 < fraction < 1
        assert "interlock hv: SIM:hv:cathode is 1, but must be at least 5" in message
        assert "interlock gas is bypassed" in message
        [(of_pressure,)] = plant.query(
            "SELECT good_fraction FROM measurements JOIN observables ON observables.id = observable_id "
            "WHERE name = 'pressure'"
        )
        assert fraction < of_pressure < 1


async def test_a_source_that_dies_stops_the_run(epics: Epics, tmp_path: Path) -> None:
    """A disconnected source counts as outside; when it is back and good, a run can start again."""
    async with ready_plant(Plant(tmp_path, epics, boards=1, interlocks=INTERLOCKS[1:])) as plant:
        await plant.until("Interlock:hv:State", "Ok")
        assert await plant.put("Run:Start"), await plant.text("Run:BlockedBy")
        await plant.control(slow_controls="*", do="stop")
        await plant.until_closed()
        assert "SIM:hv:cathode is disconnected" in await plant.text("Run:BlockedBy")
        await plant.control(slow_controls="*", do="start")
        await plant.until("Run:CanStart", "Yes")
