"""From Idle to a recorded run with EPICS base's tools, on an installation that no example describes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.plant import COBOS, MUTANT, PREFIX, ROUTERS, SERVERS, Plant
from tests.epics import Epics, eventually


def _first(lines: list[str], pv: str, value: str) -> int:
    """Number of the camonitor line in which a PV got a value."""
    return next(n for n, line in enumerate(lines) if line.startswith(f"{PREFIX}{pv} ") and value in line.split())


async def test_a_run_is_taken_recorded_and_filed(plant: Plant) -> None:
    """caput takes the detector from Idle to Running and back; database, files and PVs tell the same run."""
    states = [f"{PREFIX}ECC:{name}:State" for name in SERVERS]
    async with plant.epics.camonitor(*states) as monitor:
        await plant.to_ready()
        assert await plant.put("Run:Title", "first light", "-S")
        assert await plant.put("Run:Class", "Beam")
        assert await plant.put("Obs:gas:Value", "P10")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        assert await plant.get("Run:State") == "Running"
        assert await plant.get("State") == "Running"
        assert await plant.get("Run:Number") == "0"
        await plant.until("Router:rn:FileCount", lambda count: int(count) >= 1)
        await plant.until("Obs:pressure:Samples", lambda count: int(count) >= 3)
        await plant.stop_run()
        lines = await monitor.until(lambda lines: all(_shown(lines, name) == "Ready" for name in SERVERS))
    for state, mutant_first in (("Described", False), ("Prepared", True), ("Ready", False), ("Running", False)):
        mutant = _first(lines, f"ECC:{MUTANT}:State", state)
        cobos = [_first(lines, f"ECC:{name}:State", state) for name in COBOS]
        assert mutant < min(cobos) if mutant_first else mutant > max(cobos), state
    assert await plant.get("Run:State") == "Stopped"
    assert await plant.text("Run:Title") == ""
    assert await plant.get("Run:Class") == "Beam"
    assert await plant.get("Run:NextNumber") == "1"
    await eventually(lambda: "Run:Stop" in _puts(plant))
    await _check_database(plant, _puts(plant))
    _check_files(plant)
    assert [await plant.get(f"Router:{name}:Clean") for name in ROUTERS] == ["Clean"] * len(ROUTERS)
    assert await plant.put("Run:Start"), "the next run can start as soon as Stop has answered"
    assert await plant.get("Run:Number") == "1"
    assert await plant.put("Run:Stop")


def _shown(lines: list[str], name: str) -> str:
    shown = [line.split() for line in lines if line.startswith(f"{PREFIX}ECC:{name}:State ")]
    return shown[-1][3] if shown else ""


def _puts(plant: Plant) -> dict[str, tuple[object, ...]]:
    """Result of some puts, whether somebody is named, and the run they belong to."""
    rows = plant.query(
        "SELECT replace(pv, ?, '') AS name, result, user <> '', run_number FROM puts "
        "LEFT JOIN runs ON runs.id = run_id WHERE name IN ('Describe', 'Run:Title', 'Run:Start', 'Run:Stop')",
        PREFIX,
    )
    return {name: tuple(rest) for name, *rest in rows}


async def _check_database(plant: Plant, puts: dict[str, tuple[object, ...]]) -> None:
    [(title, run_class, state, duration, config)] = plant.query(
        "SELECT title, run_class, state, duration, config_name FROM runs WHERE run_number = 0"
    )
    assert (title, run_class, state, config) == ("first light", "Beam", "complete", "plain/p1/c1")
    assert duration > 0
    configs = plant.query("SELECT ecc_server, config_digest, file_digests FROM run_configs")
    assert {name for name, _, _ in configs} == set(SERVERS)
    for _, given, files in configs:
        assert len(given) == 64
        names = [file.partition("=")[0] for file in files.split()]
        hardware = [name for name in names if name.startswith("hardwareDescription_")]
        assert hardware
        assert names == [
            "describe-plain.xcfg",
            *hardware,
            "prepare-p1.xcfg",
            "configure-p1.xcfg",
            "configure-c1.xcfg",
        ]
    rows = plant.query(
        "SELECT name, begin_value, end_value, minimum, mean, maximum, samples FROM measurements "
        "JOIN observables ON observables.id = observable_id JOIN runs ON runs.id = run_id WHERE run_number = 0"
    )
    measured = {name: rest for name, *rest in rows}
    begin, end, low, mean, high, samples = measured["pressure"]
    assert 100 < low <= mean <= high < 900
    assert low <= float(begin) <= high
    assert low <= float(end) <= high
    assert samples >= 3
    assert measured["gas"][:2] == ["P10", "P10"]
    kept = plant.query(
        "SELECT count(*) FROM samples JOIN observables ON observables.id = observable_id "
        "JOIN runs ON runs.id = run_id WHERE name = 'pressure' AND run_number = 0"
    )
    assert kept == [(samples,)]
    assert puts == {
        "Describe": ("ok", 1, None),
        "Run:Title": ("ok", 1, None),
        "Run:Start": ("ok", 1, 0),
        "Run:Stop": ("ok", 1, 0),
    }
    logged = "SELECT count(*) FROM events WHERE message LIKE 'run 0 is Running%'"
    await eventually(lambda: plant.query(logged) == [(1,)])


def _check_files(plant: Plant) -> None:
    recorded = plant.query(
        "SELECT router, path, files.bytes FROM files JOIN runs ON runs.id = run_id WHERE run_number = 0"
    )
    assert {router for router, _, _ in recorded} == set(ROUTERS)
    for router, path, size in recorded:
        assert Path(path).stat().st_size == size
        assert f"/{router}/data/e99/run_0000/" in path
    on_disk = {path for path in plant.graw_files() if "run_0000" in path}
    assert len(on_disk) == len(recorded)
    for name in SERVERS:
        backup = plant.directory / "backups" / name / "e99" / "run_0000"
        names = sorted(path.name for path in backup.iterdir())
        assert any(name.startswith("hardwareDescription_") for name in names)
        assert [name for name in names if not name.startswith("hardwareDescription_")] == [
            "configure-c1.xcfg",
            "configure-p1.xcfg",
            "describe-plain.xcfg",
            "prepare-p1.xcfg",
        ]


async def test_states_and_alarms_follow_one_server(plant: Plant) -> None:
    """A server that dies is Offline and Unknown within a poll, harms no other, and comes back by itself."""
    assert await plant.put("ECC:North:Describe"), await plant.text("ECC:North:Message")
    await plant.until("State", "Mixed")
    assert await plant.severity("State") == "MINOR"
    await plant.control(ecc="North", do="kill")
    await plant.until("ECC:North:State", "Unknown", 5)
    assert await plant.severity("ECC:North:State") == "INVALID"
    assert await plant.severity("ECC:North:Online") == "MAJOR"
    assert await plant.severity("State") == "INVALID"
    assert "refused" in await plant.text("ECC:North:Message")
    assert await plant.put(f"ECC:{MUTANT}:Describe"), "the others go on"
    await plant.control(ecc="North", do="restart")
    await plant.until("ECC:North:State", "Idle")
    await plant.until("ECC:North:Online", "Online")


async def test_a_hanging_server_delays_no_other(epics: Epics, tmp_path: Path) -> None:
    """While one server accepts connections and never answers, the others' transitions take their usual time."""
    timeouts = {"state": 15, "transition": 30, "ssh": 20, "filing": 30}
    async with Plant(tmp_path, epics, timeouts=timeouts) as plant:
        await plant.control(ecc="North", do="behave", **{"as": "hang"})
        await plant.until("ECC:North:State", "Unknown")
        began = asyncio.get_running_loop().time()
        for name in ("South-2", "East_3", MUTANT):
            assert await plant.put(f"ECC:{name}:Describe")
        assert asyncio.get_running_loop().time() - began < 3
        assert not await plant.put("Describe"), "the system needs every server"
        assert "North" in await plant.text("Message")
        await plant.control(ecc="North", do="behave", **{"as": "normal"})
        await plant.until("ECC:North:State", "Idle")
