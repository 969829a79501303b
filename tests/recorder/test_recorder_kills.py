"""Recording from EPICS base's softIoc while either of the two is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from ioc.sim.ports import free_port
from tests.epics import LOOPBACK, Epics, eventually
from tests.rundb.rows import rows

ROOT = Path(__file__).parents[2]
COUNTERS = 1000
DB = "\n".join(
    f'record(calc, "B:{number}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for number in range(COUNTERS)
)
PVS = [f"B:{number}" for number in range(COUNTERS)]
PER_OBSERVABLE = """SELECT max(value) - min(value) + 1 - count(DISTINCT value), max(value) FROM samples
    JOIN observables o ON o.id = observable_id WHERE value NOT NULL AND sampled_us >= ?
    GROUP BY observable_id ORDER BY o.display_order"""


@contextlib.contextmanager
def recording(epics: Epics, database: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that records all counters."""
    command = [sys.executable, "-m", "tests.recorder.recording", str(database), str(COUNTERS)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=epics.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"follows\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def followed(database: Path, since: int) -> int:
    """How many observables have a value from `since` (microseconds) on."""
    [(count,)] = rows(
        database, "SELECT count(DISTINCT observable_id) FROM samples WHERE value NOT NULL AND sampled_us >= ?", since
    )
    return count


def gaps(database: Path) -> set[int]:
    """How many gaps the observables have."""
    found = rows(database, "SELECT count(*) FROM samples WHERE status = 'disconnected' GROUP BY observable_id")
    return {count for (count,) in found}


def now_us() -> int:
    return round(time.time() * 1e6)


async def test_no_sample_older_than_a_second_is_lost_with_the_process(epics: Epics, tmp_path: Path) -> None:
    """Killed in a loop while 1000 PVs count at 10 Hz, it has stored every count but those of its last second."""
    database = tmp_path / "runs.db"
    with epics.soft_ioc(DB):
        for _ in range(3):
            with recording(epics, database) as process:
                began = now_us()
                await eventually(lambda since=began: followed(database, since) == COUNTERS)
                all_here = now_us()
                await eventually(lambda since=all_here: followed(database, since + 1_500_000) == COUNTERS)
                counted = [float(count) for count in (await epics.acaget("-t", *PVS)).stdout.split()]
                await asyncio.sleep(1.0)  # the second that may be lost
                process.kill()
                process.wait()
            found = rows(database, PER_OBSERVABLE, all_here)
            assert [missing for missing, _ in found] == [0] * COUNTERS
            assert [name for name, (_, last), count in zip(PVS, found, counted, strict=True) if last < count] == []
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]


async def test_a_source_that_is_killed_leaves_one_gap_each_time(epics: Epics, tmp_path: Path) -> None:
    """When the softIoc is killed in a loop, each of its 1000 PVs has one gap for each time, and is followed again."""
    database = tmp_path / "runs.db"
    port = free_port()
    before = epics.env["EPICS_CA_ADDR_LIST"]
    epics.env["EPICS_CA_ADDR_LIST"] = f"{before} {LOOPBACK}:{port}"
    with recording(epics, database) as process:
        for times in range(1, 4):
            with epics.soft_ioc(DB, port):
                began = now_us()
                await eventually(lambda since=began: followed(database, since) == COUNTERS, timeout=60)
                [soft_ioc] = [each for each in psutil.Process().children() if each.name() == "softIoc"]
                soft_ioc.kill()
                await eventually(lambda expected=times: gaps(database) == {expected})
        assert process.poll() is None
