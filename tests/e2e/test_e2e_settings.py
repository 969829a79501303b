"""What the shift writes down, reloading, and the command line around it."""

from __future__ import annotations

import asyncio
import signal
import subprocess

from tests.e2e.plant import COMMAND, PREFIX, SERVERS, Plant, eventually
from tests.epics import PATIENCE


async def test_what_the_operator_set_survives_a_restart(plant: Plant) -> None:
    """Experiment, title, class, configuration and manual values are there again after kill -9."""
    assert await plant.put("Experiment", "second", "-S")
    assert await plant.put("Run:Title", "grüße aus Münster", "-S")
    assert await plant.put("Run:Class", "2")
    assert await plant.put("ECC:North:ConfigIndex", "1")
    assert await plant.put("Obs:gas:Value", "He:CO2")
    assert await plant.put("Obs:beam_energy:Value", "12.5")
    plant.stop(signal.SIGKILL)
    await plant.start()
    assert await plant.text("Experiment") == "second"
    assert await plant.get("Run:Class") == "Beam"
    assert await plant.text("ECC:North:Config") == "plain/c2/c2"
    assert await plant.get("Obs:gas:Value") == "He:CO2"
    assert await plant.get("Obs:beam_energy:Value") == "12.5"
    assert plant.query("SELECT value FROM settings WHERE name = 'title'") == [("grüße aus Münster",)]


async def test_same_as_previous_copies_what_the_shift_wrote(plant: Plant) -> None:
    """SameAsPrevious brings back title, class and manual observables of the run before."""
    assert await plant.put("Obs:gas:Value", "P10")
    await plant.to_ready()
    assert await plant.put("Run:Title", "calibration", "-S")
    assert await plant.put("Run:Class", "Pulser")
    assert await plant.put("Run:Start")
    await plant.stop_run()
    assert await plant.put("Obs:gas:Value", "Ar")
    assert await plant.put("Run:Class", "Junk")
    assert await plant.put("Run:SameAsPrevious"), await plant.text("Run:Message")
    assert await plant.text("Run:Title") == "calibration"
    assert await plant.get("Run:Class") == "Pulser"
    assert await plant.get("Obs:gas:Value") == "P10"


async def test_observables_change_in_a_run_by_reload(ready: Plant) -> None:
    """IOC:Reload adds and removes observables while a run is open; a broken file changes nothing and says why."""
    assert await ready.put("Run:Start")
    observables = [*ready.topology()["observables"][:3], {"name": "field", "type": "float", "units": "T"}]
    ready.write_topology(observables=observables)
    assert await ready.put("IOC:Reload")
    assert await ready.put("Obs:field:Value", "1.5")
    assert await ready.get("Obs:beam_energy:Value", "-w", "1") == ""
    assert await ready.get("Run:State") == "Running"
    ready.write_topology(observables=[{"name": "bad name", "type": "float"}])
    assert not await ready.put("IOC:Reload")
    assert await ready.get("Obs:field:Value") == "1.5"
    ready.write_topology(observables=observables, polling={"ecc": 0.5})
    assert not await ready.put("IOC:Reload"), "everything else needs every server Idle"
    await ready.stop_run()


async def test_an_observable_is_added_and_retired_in_a_run(ready: Plant) -> None:
    """Added by PVs while a run is open, it is measured in that run; retired, it is no longer, and its data stay."""
    assert await ready.put("Run:Start")
    for name, text in (("Name", "field"), ("Units", "T")):
        assert await ready.put(f"Obs:New:{name}", text, "-S")
    assert await ready.put("Obs:New:Add"), await ready.text("Obs:New:Message")
    assert await ready.put("Obs:field:Value", "1.5")
    ready.write_topology()
    assert await ready.put("IOC:Reload")
    assert await ready.get("Run:State") == "Running"
    await ready.stop_run()
    measured = (
        "SELECT end_value, retired_at NOT NULL FROM measurements JOIN observables ON observables.id = observable_id"
    )
    assert ready.query(f"{measured} WHERE name = 'field'") == [(1.5, 1)]


async def test_the_ioc_is_built_anew_by_reload_while_idle(plant: Plant) -> None:
    """Any other change is taken over while every server is Idle: the IOC comes back with it, in the same process."""
    pid = plant.pid
    plant.write_topology(prefix="NEW:")
    assert await plant.put("IOC:Reload")

    async with asyncio.timeout(PATIENCE):
        while (await plant.epics.acaget("-w", "2", "-t", "NEW:State")).stdout.strip() != "Idle":  # noqa: ASYNC110 - a PV
            await asyncio.sleep(0.05)
    assert plant.pid == pid


async def test_every_put_is_in_the_database_with_who_asked(plant: Plant) -> None:
    """The table puts has user, address, old and new value and the result of each put, granted or refused."""
    assert await plant.put("Obs:beam_energy:Value", "3.25")
    assert not await plant.put("Obs:beam_energy:Value", "inf")
    question = "SELECT new_value, result, host, user != '' FROM puts WHERE pv = ? ORDER BY rowid"
    pv = f"{PREFIX}Obs:beam_energy:Value"
    await eventually(lambda: len(plant.query(question, pv)) == 2)
    granted, refused = plant.query(question, pv)
    assert (float(granted[0]), *granted[1:]) == (3.25, "ok", "127.0.0.1", 1)
    assert refused[1:] == ("refused", "127.0.0.1", 1)


async def test_a_second_ioc_on_the_same_database_is_refused(plant: Plant) -> None:
    """Two IOCs never share a database: the second ends with exit code 1 and one line that says why."""
    second = plant.file.with_name("second.yaml")
    second.write_text(plant.file.read_text().replace(PREFIX, "OTHER:"))
    done = subprocess.run(
        [COMMAND, "run", "--topology", second, "--log-level", "error"],
        env=plant.epics.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "runs.db" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert await plant.get("State") == "Idle"


async def test_runs_can_be_listed_and_edited_while_the_ioc_runs(ready: Plant) -> None:
    """attpc-ioc runs list, show, edit and export work beside the running IOC."""
    assert await ready.put("Run:Start")
    await ready.stop_run()

    def runs(*arguments: str) -> str:
        return subprocess.run(
            [COMMAND, "runs", *arguments, "--topology", ready.file], capture_output=True, text=True, check=True
        ).stdout

    assert "complete" in runs("list")
    runs("edit", "0", "--title", "renamed", "--class", "Production")
    assert "renamed" in runs("show", "0")
    header, row = runs("export").strip().splitlines()
    assert header.startswith("run_number,run_class,title,")
    assert {"state", "duration", "pressure", "pressure.mean"} <= set(header.split(","))
    assert row.startswith("0,Production,renamed,")
    assert len(SERVERS) == len(ready.query("SELECT * FROM run_configs"))


async def test_the_verdict_on_a_run(ready: Plant) -> None:
    """Comment and quality are put in the run and after it, edited by the command line, and not lost by kill -9."""
    assert not await ready.put("Run:Quality", "Good"), "there is no run yet"
    assert await ready.text("Run:Message") == "quality cannot be set: experiment e99 has no run yet"
    assert await ready.put("Run:Start")
    assert await ready.put("Run:Comment", "zweite Zeile:\nfür Tomás", "-S")
    await ready.stop_run()
    assert await ready.put("Run:Quality", "Good")
    assert not await ready.put("Run:Comment", "x" * 2001, "-S")
    edited = subprocess.run(
        [COMMAND, "runs", "edit", "0", "--quality", "check", "--topology", ready.file], capture_output=True, check=True
    )
    assert edited.stdout == b"run 0 of e99: quality changed from 'Good' to 'Check'\n"
    await ready.until("Run:Quality", lambda quality: quality == "Check")
    assert ready.query("SELECT comment, quality FROM runs") == [("zweite Zeile:\nfür Tomás", "Check")]
    assert await ready.put("Run:Comment", "for Tom", "-S")
    history = "SELECT message, host FROM events WHERE run_id = 1 AND message LIKE '%changed from%'"
    await eventually(lambda: len(ready.query(history)) == 4)
    assert ("run 0: quality changed from Unknown to Good", "127.0.0.1") in ready.query(history)
    assert await ready.put("Run:Start"), await ready.text("Run:Message")
    assert (await ready.text("Run:Comment"), await ready.get("Run:Quality")) == ("", "Unknown")
    assert await ready.put("Run:Quality", "Bad")
    ready.stop(signal.SIGKILL)
    await ready.start()
    await ready.until("Run:Quality", lambda quality: quality == "Bad")
