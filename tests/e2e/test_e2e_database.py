"""The run database is locked or its disk full while the detector is operated: nobody waits, nothing is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest

from tests.e2e.plant import COMMAND, ROUTERS, Plant, eventually, ready_plant
from tests.epics import Epics
from tests.hosts.test_hosts_checksums import open_files

Break = Callable[[Path], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def locked(database: Path) -> Generator[None]:
    """Another program has the file locked."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@contextlib.contextmanager
def full(database: Path) -> Generator[None]:
    """Another program has filled its disk."""
    others = database.with_name("others")
    with contextlib.suppress(OSError), others.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    yield
    others.unlink()


@pytest.fixture
async def on_a_small_disk(tmp_path: Path, epics: Epics) -> AsyncIterator[Plant]:
    """A plant that is Ready, whose database has a disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a disk that can be filled needs permission to mount one")
    try:
        plant = Plant(tmp_path, epics, database=str(disk / "runs.db"))
        plant.database = disk / "runs.db"
        async with ready_plant(plant):
            yield plant
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def timed(work: Awaitable[object]) -> float:
    begun = time.monotonic()
    await work
    return time.monotonic() - begun


async def run_and_stop(plant: Plant) -> float:
    assert await plant.put("Run:Start"), await plant.text("Run:Message")
    await plant.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    return await timed(plant.put("Run:Stop"))


@pytest.mark.parametrize(("fails", "reason"), [(locked, "is locked by another program"), (full, "its disk is full")])
async def test_no_command_waits_for_the_database(on_a_small_disk: Plant, fails: Break, reason: str) -> None:
    """Stop, titles and manual values take no longer, Start and Experiment are refused; all is stored soon after."""
    plant = on_a_small_disk
    usual = await run_and_stop(plant)
    put = await timed(plant.put("Run:Title", "usual", "-S"))
    assert await plant.put("Run:Start"), await plant.text("Run:Message")
    await plant.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    with fails(plant.database):
        stopped = await timed(plant.put("Run:Stop"))
        assert await plant.get("Run:State") == "Stopped", await plant.text("Run:Message")
        assert stopped < 1.5 * usual + 0.5  # on a machine that does other things too
        for pv, value in (
            ("Run:Title", "kept"),
            ("Run:Class", "Junk"),
            ("Obs:gas:Value", "P10"),
            ("ECC:North:Config", "plain/p1/c2"),
        ):
            begun = time.monotonic()
            assert await plant.put(pv, value, *(() if pv.startswith("Obs") else ("-S",))), pv
            assert time.monotonic() - begun < put + 0.6, pv
        await plant.until("IOC:DatabaseMessage.SEVR", "MAJOR", 3)
        assert reason in await plant.text("IOC:DatabaseMessage")
        for pv, value in (("Run:Start", "1"), ("Experiment", "other")):
            begun = time.monotonic()
            assert not await plant.put(pv, value)
            assert time.monotonic() - begun < put + 0.6, pv
        assert "check its disk" not in plant.log_text()
    states = "SELECT state FROM runs ORDER BY id"
    await eventually(lambda: plant.query(states) == [("complete",), ("complete",)], timeout=5)
    filed = (
        "SELECT run_number, count(*), sum(files.bytes) - runs.bytes FROM runs JOIN files ON run_id = runs.id GROUP BY 1"
    )
    assert [count > 0 and rest == 0 for _, count, rest in plant.query(filed)] == [True, True]
    assert sum(count for _, count, _ in plant.query(filed)) == len(plant.graw_files())
    kept = [("title", "kept"), ("class", "Junk"), ("observable/e99/gas", "P10"), ("config:North", "plain/p1/c2")]
    await eventually(lambda: set(kept) <= set(plant.query("SELECT name, value FROM settings")), timeout=3)
    measured = "SELECT count(*) FROM measurements WHERE run_id = 2 AND samples > 0 AND end_value NOT NULL"
    await eventually(lambda: plant.query(measured) == [(2,)], timeout=3)
    await eventually(lambda: plant.query("SELECT count(*) FROM puts WHERE pv LIKE '%Run:Title'") == [(2,)])


async def test_the_ioc_counts_on_after_adopted_runs(plant: Plant) -> None:
    """Runs found on a disk are entered while the IOC is stopped: then the last one is theirs, and the next is free."""
    directory = plant.directory / "found" / "e99" / "run_0012"
    directory.mkdir(parents=True)
    (directory / "CoBo0_AsAd0_2026-11-22T12:00:00.500_0000.graw").write_bytes(b"data")
    command = [COMMAND, "runs", "adopt", directory.parent, "--topology", plant.file]
    running = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (running.returncode, running.stderr.count("in use by another IOC")) == (1, 1)
    plant.stop()
    subprocess.run(command, capture_output=True, check=True)
    await plant.start()
    assert (await plant.get("Run:Number"), await plant.get("Run:NextNumber")) == ("12", "13")
    assert await plant.put("Run:Quality", "Good")
    assert plant.query("SELECT run_number, quality, router FROM runs JOIN files ON run_id = runs.id") == [
        (12, "Good", ROUTERS[0])
    ]


async def test_others_see_the_runs_after_a_reload(plant: Plant) -> None:
    """A reload, and other programs that open and close the database, leave its write-ahead log to the IOC."""

    def listed() -> str:
        command = [COMMAND, "runs", "list", "--topology", plant.file]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    await plant.to_ready()
    assert await plant.put("IOC:Reload"), await plant.text("Message")
    assert "after the reload" not in listed()
    for number in range(2):
        assert await plant.put("Run:Title", f"run {number} after the reload", "-S")
        await plant.until("Run:CanStart", "Yes")
        assert await plant.put("Run:Start"), await plant.text("Run:Message")
        await plant.stop_run()
        assert f"run {number} after the reload" in listed()
    assert not [each for each in open_files(plant.pid) if each.endswith(b"(deleted)")]
