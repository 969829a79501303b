"""The IOC dies, peers die, others interfere: no run, file or command that was acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess

from tests.e2e.plant import PREFIX, ROUTERS, Plant
from tests.epics import eventually


async def test_a_run_survives_kill_9_of_the_ioc(ready: Plant) -> None:
    """After kill -9 in a run, the IOC finds the run, goes on with its number, and Stop files every byte."""
    assert await ready.put("Run:Title", "keep me", "-S")
    assert await ready.put("Run:Start")
    await ready.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    ready.stop(signal.SIGKILL)
    await ready.start()
    await ready.until("Run:State", "Running")
    assert await ready.get("Run:Number") == "0"
    assert await ready.text("Run:Title") == "keep me"
    assert "continues after a restart" in await ready.text("Run:Message")
    await ready.stop_run()
    assert ready.query("SELECT run_number, state, title FROM runs") == [(0, "complete", "keep me")]
    _every_file_is_filed_once(ready)
    gaps = ready.query("SELECT count(*) FROM samples WHERE status = 'disconnected' AND value IS NULL")
    assert gaps[0][0] >= 1


async def test_a_run_that_ended_while_the_ioc_was_away_is_closed(ready: Plant) -> None:
    """If the servers no longer run after a restart, the run is closed with the last time known, and says so."""
    assert await ready.put("Run:Start")
    await ready.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    ready.stop(signal.SIGKILL)
    for name in ("North", "South-2", "East_3", "Trigger"):
        await ready.control(ecc=name, do="state", state="Ready")
    await ready.start()
    await ready.until_closed()
    [(state, message, duration)] = ready.query("SELECT state, message, duration FROM runs")
    assert state == "orphaned"
    assert "while the IOC was down" in message
    assert duration >= 0
    _every_file_is_filed_once(ready)
    assert await ready.get("Run:NextNumber") == "1"


async def test_filing_is_finished_after_kill_9(ready: Plant) -> None:
    """An IOC killed while it files a run files the rest of it after the restart, into the same run."""
    assert await ready.put("Run:Start")
    await ready.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    assert (await ready.epics.acaput(f"{PREFIX}Run:Stop", "1")).returncode == 0
    await ready.until("Run:State", "Filing")
    ready.stop(signal.SIGKILL)
    assert ready.query("SELECT state FROM runs") == [("filing",)]
    await ready.start()
    await ready.until_closed()
    assert ready.query("SELECT state FROM runs") == [("complete",)]
    _every_file_is_filed_once(ready)


def _every_file_is_filed_once(plant: Plant) -> None:
    on_disk = plant.graw_files()
    assert on_disk
    assert all("/e99/run_0000/" in path for path in on_disk)
    recorded = plant.query("SELECT path, bytes FROM files")
    assert len(recorded) == len(on_disk)
    assert {path.partition("/routers/")[2]: size for path, size in recorded} == on_disk


async def test_a_server_that_leaves_the_run_raises_an_alarm(ready: Plant) -> None:
    """Another client stops a CoBo in a run: within a poll it is logged on the run and alarmed; Stop ends the rest."""
    assert await ready.put("Run:Start")
    await ready.control(ecc="North", do="state", state="Ready")
    await ready.until("ECC:North:State", "Ready", 3)
    assert "North changed from Running to Ready" in await ready.text("Run:Message")
    assert await ready.severity("Run:Message") == "MAJOR"
    assert await ready.get("Run:State") == "Running"
    assert await ready.get("State") == "Mixed"
    await ready.stop_run()
    logged = (
        "SELECT DISTINCT runs.run_number FROM events JOIN runs ON runs.id = run_id "
        "WHERE events.message LIKE '%North changed from Running%'"
    )
    await eventually(lambda: ready.query(logged) == [(0,)])


async def test_a_router_that_cannot_be_filed_keeps_the_run_open(ready: Plant) -> None:
    """A directory that cannot be made leaves that router Dirty and the run filing; Organize finishes it later."""
    assert await ready.put("Run:Start")
    await ready.until("Router:re:FileCount", lambda count: int(count) >= 1)
    work_dir = ready.directory / "site" / "routers" / "re" / "data"
    (work_dir / "e99").write_text("a file where the directory of the experiment should be")
    assert not await ready.put("Run:Stop")
    assert "re" in await ready.text("Run:Message")
    assert await ready.get("Run:State") == "Filing"
    assert await ready.get("Router:re:Clean") == "Dirty"
    assert [await ready.get(f"Router:{name}:Clean") for name in ROUTERS if name != "re"] == ["Clean"] * 3
    assert not await ready.put("Run:Start")
    assert "run 0 is not filed: re" in await ready.text("Run:Message")
    assert ready.query("SELECT state FROM runs") == [("filing",)]
    (work_dir / "e99").unlink()
    assert await ready.put("Router:re:Organize"), await ready.text("Router:re:Message")
    await ready.until_closed()
    assert ready.query("SELECT state FROM runs") == [("complete",)]
    _every_file_is_filed_once(ready)


async def test_a_run_waits_for_a_router_that_hangs(ready: Plant) -> None:
    """The run stays open while data wait that a frozen router has not read; it ends by itself, with all in one file."""
    assert await ready.put("Run:Start")
    await ready.until("Router:rn:FileCount", "4")
    await ready.control(router="rn", do="freeze")
    await ready.until("Router:rn:Silent", "Yes")
    assert not await ready.put("Run:Stop")
    assert await ready.get("Run:State") == "Filing"
    assert "router rn is not filed: it does not read what arrives for it" in await ready.text("Run:Message")
    await ready.control(router="rn", do="thaw")
    await ready.until_closed()
    assert ready.query("SELECT count(*), count(DISTINCT path LIKE '%.graw') FROM files WHERE router = 'rn'") == [(4, 1)]
    _every_file_is_filed_once(ready)


async def test_a_router_that_dies_is_seen_at_once(plant: Plant) -> None:
    """Online and Clean of a router follow its process and its directory within 3 s."""
    await plant.control(router="rn", do="kill")
    await plant.until("Router:rn:Online", "Offline", 3)
    await plant.control(router="rn", do="restart")
    await plant.until("Router:rn:Online", "Online", 3)
    await plant.control(router="rn", do="stray", file="odd name.graw", size=10)
    await plant.until("Router:rn:Clean", "Dirty", 3)


async def test_sigterm_ends_the_ioc_cleanly(ready: Plant) -> None:
    """SIGTERM in a run ends the process with 0, leaves the run open for the next one, and no traceback."""
    assert await ready.put("Run:Start")
    pid = ready.pid
    assert ready.stop(signal.SIGTERM) == 0
    assert subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False).stdout == b""
    assert "Traceback" not in ready.log_text()
    assert ready.query("SELECT state FROM runs") == [("running",)]
    await ready.start()
    await ready.stop_run()
