"""Runs that follow each other, with the installed command and EPICS base's tools: faults, kill -9, a plan."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.faulty_night import TIMEOUTS, Night, check_nothing_is_lost
from tests.e2e.plant import COMMAND, Plant
from tests.epics import Epics, eventually


def titles(plant: Plant) -> list[str]:
    return [title for (title,) in plant.query("SELECT title FROM runs ORDER BY run_number")]


async def test_a_sequence_survives_kill_9_and_ends_by_itself(ready: Plant) -> None:
    """The IOC is killed in a run and between two; the runs are as many as were asked for, each with its title."""
    assert not await ready.put("Auto:Enable", "On"), "nothing would end a run"
    assert "RunMinutes and RunGB are both 0" in await ready.text("Auto:Message")
    assert await ready.put("Auto:RunMinutes", "0.05")
    assert await ready.put("Auto:Runs", "3")
    assert await ready.put("Run:Title", "alpha {n} of run {run}", "-S")
    assert await ready.put("Auto:Enable", "On")
    await ready.until("Auto:State", "Running")
    ready.stop(signal.SIGKILL)
    await ready.start()
    await ready.until("Auto:Enable", "On")
    await ready.until("Auto:State", "Filing")
    ready.stop(signal.SIGKILL)
    await ready.start()
    await ready.until("Auto:Enable", "Off", 60)
    assert await ready.text("Auto:Message") == "off: done, 3 runs"
    assert await ready.get("Auto:Done") == "3"
    assert titles(ready) == [f"alpha {number + 1} of run {number}" for number in range(3)]
    [(second, first)] = ready.query(
        "SELECT b.started_at, a.stopped_at FROM runs a JOIN runs b ON b.run_number = 2 WHERE a.run_number = 1"
    )
    assert float(await ready.get("Auto:DeadSeconds")) > 0
    assert second > first
    await eventually(lambda: ready.query("SELECT 1 FROM runs WHERE state = 'filing'") == [])
    check_nothing_is_lost(ready)


async def test_a_plan_is_started_from_the_command_line(ready: Plant) -> None:
    """`attpc-ioc plan` checks, starts and says what the IOC says; manual values and titles are in the records."""
    plan = ready.directory / "night.yaml"
    plan.write_text(
        '- {title: "alpha {n}", class: Pulser, minutes: 0.01, manual: {gas: P10}}\n'
        "- {title: beam, class: Beam, minutes: 0.01, wait_for: [{observable: pressure, low: 0, high: 2000}]}\n"
    )

    def attpc_ioc(*options: str) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, "plan", str(plan), "--topology", ready.file, *options]
        return subprocess.run(
            command, capture_output=True, text=True, env=ready.epics.environment(), timeout=120, check=False
        )

    checked = attpc_ioc("--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "pressure 0 to 2000 Torr" in checked.stdout
    assert await ready.text("Auto:Plan") == ""
    started = attpc_ioc()
    assert (started.returncode, started.stderr) == (0, "")
    assert "started; T9:Auto:Message: run 0" in started.stdout
    await ready.until("Auto:Enable", "Off", 60)
    assert await ready.text("Auto:Message") == "off: done, 2 runs"
    assert await ready.text("Auto:Step") == "all 2 runs done"
    assert titles(ready) == ["alpha 1", "beam"]
    assert await ready.get("Obs:gas:Value") == "P10"
    plan.write_text("- {minutes: 0}\n- {gb: 1, manual: {gaz: 1}}\n")
    wrong = attpc_ioc()
    assert wrong.returncode == 2
    assert [line.partition("night.yaml:")[2] for line in wrong.stderr.splitlines()] == [
        "1: run 1: minutes is 0, but must be a finite number, more than 0",
        "2: run 2: manual.gaz is no manual observable; did you mean 'gas'?",
    ]


@pytest.mark.timeout(600)
async def test_nothing_is_lost_in_a_night_with_faults(tmp_path: Path, epics: Epics) -> None:
    """Some runs of `benchmarks/automatic.py faults`: no number twice, no file lost, no two runs open."""
    async with Plant(tmp_path, epics, speed=100, timeouts=TIMEOUTS) as plant:
        await plant.to_ready()
        night = Night(plant, random.Random(1))
        await night.take(8, seconds=400)
        assert night.faults
        await eventually(lambda: plant.query("SELECT 1 FROM runs WHERE state = 'filing'") == [])
        check_nothing_is_lost(plant)
