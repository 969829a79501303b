"""Recording a run while a clock is set: by hand, or with libfaketime that of a softIoc or of the recorder."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.epics import Epics, eventually
from tests.recorder.rig import HandClock, as_killed, rig
from tests.rundb.rows import rows

ROOT = Path(__file__).parents[2]
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
COUNTERS = 10
DB = "\n".join(
    f'record(calc, "B:{number}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for number in range(COUNTERS)
)
HOUR = 3600
RECORDED = """SELECT count(*), count(DISTINCT value), min(value), max(value) FROM samples
    WHERE value NOT NULL AND run_id NOT NULL GROUP BY observable_id ORDER BY observable_id"""
MEASURED = "SELECT samples, minimum, maximum, mean, disconnected_seconds FROM measurements ORDER BY observable_id"
LATEST = "SELECT max(value) FROM samples GROUP BY observable_id"

needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: no process gets a clock")


class Clock:
    """The clock of a process, as it reads it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Let it be ahead of ours from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


@contextlib.contextmanager
def source(epics: Epics, environment: dict[str, str]) -> Iterator[None]:
    """The softIoc, for which `environment` holds; for nobody else."""
    epics.env.update(environment)
    with epics.soft_ioc(DB):
        for name in environment:
            del epics.env[name]
        yield


@contextlib.contextmanager
def recorded_run(epics: Epics, database: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process that records the counters during one run, for which `environment` holds; the run ends with this."""
    command = [sys.executable, "-m", "tests.recorder.recording", str(database), str(COUNTERS), "run"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=epics.environment(**environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"follows\n"
        yield
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def recorded(database: Path, by: float) -> bool:
    """Whether every counter has been recorded `by` counts."""
    found = rows(database, LATEST)
    return len(found) == COUNTERS and all(count is not None and count >= by for (count,) in found)


async def counts_more(database: Path, counts: int) -> None:
    """Wait for so many counts of each counter more."""
    have = max((count or 0 for (count,) in rows(database, LATEST)), default=0)
    await eventually(lambda: recorded(database, have + counts))


async def set_while_recording(database: Path, clock: Clock) -> None:
    """Two seconds each with the right time, an hour ahead, an hour back, and right again."""
    for seconds in (0, HOUR, -HOUR, 0):
        clock.set(seconds)
        await counts_more(database, 20)


def nothing_is_lost_and_all_counts_alike(database: Path) -> None:
    """Every count is there, and the mean is that of values that lasted equally long."""
    recorded, measured = rows(database, RECORDED), rows(database, MEASURED)
    assert len(recorded) == len(measured) == COUNTERS
    for (count, values, least, greatest), figures in zip(recorded, measured, strict=True):
        assert values == greatest - least + 1
        samples, minimum, maximum, mean, disconnected = figures
        assert (samples, minimum, maximum) == (count, least, greatest)
        assert mean == pytest.approx((least + greatest) / 2, abs=0.05 * (greatest - least))
        assert disconnected < 5


@needs_faketime
async def test_a_source_whose_clock_is_set(epics: Epics, tmp_path: Path) -> None:
    """Samples keep the time stamps of the source, an hour ahead or back; statistics use the elapsed time."""
    database = tmp_path / "runs.db"
    clock = Clock(tmp_path)
    with source(epics, clock.environment), recorded_run(epics, database, {}):
        await set_while_recording(database, clock)
    nothing_is_lost_and_all_counts_alike(database)
    [(first, last)] = rows(database, "SELECT min(sampled_us) / 1e6, max(sampled_us) / 1e6 FROM samples")
    assert first < time.time() - HOUR < time.time() < last


@needs_faketime
async def test_the_own_clock_is_set(epics: Epics, tmp_path: Path) -> None:
    """When the clock of the recording machine is set, statistics still use the elapsed time."""
    database = tmp_path / "runs.db"
    clock = Clock(tmp_path)
    with source(epics, {}), recorded_run(epics, database, clock.environment):
        await set_while_recording(database, clock)
    nothing_is_lost_and_all_counts_alike(database)


CLOCKS = [
    # how far ahead the source is, and the machine when the IOC starts again until it is set right; seconds disconnected
    (0.0, 0.0, 6),
    (3600.0, 0.0, 6),
    (-3600.0, 0.0, 6),
    (0.0, -18_000.0, 1),  # how long the IOC was away is not known
]


@pytest.mark.parametrize(("source", "machine", "disconnected"), CLOCKS)
async def test_statistics_go_on_after_a_restart_whatever_the_clocks_say(
    tmp_path: Path, source: float, machine: float, disconnected: float
) -> None:
    """1.0 for 5 s until the IOC dies, away for 6 s, 5.0 for 10 s: so say the statistics, with wrong clocks too."""
    database = tmp_path / "runs.db"
    clock = HandClock()
    began = clock.time
    async with rig(database, clock=clock) as it:
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(1.0, at=began + source)
        await it.store.flush()
        killed = as_killed(database)
    async with rig(killed, clock=clock) as it:
        clock.time = began + 10 + machine
        await it.recorder.resume_run(run, began + 5)
        clock.set(-machine)
        clock.time += 1
        it.feed.send(5.0, at=clock.time + source)
        clock.time += 10
        figures = it.statistics("pressure")
    assert figures.disconnected_seconds == pytest.approx(disconnected, abs=0.5)
    assert figures.mean == pytest.approx((5 * 1.0 + 10 * 5.0) / 15, abs=0.2)


STEPS = [((7200.0, -9000.0, 0.0), 500.0), ((3600.0, -1800.0, 0.0), 0.0), ((3600.0, -1800.0, -7200.0), 0.0)]


@pytest.mark.parametrize(("steps", "at_the_end"), STEPS)
async def test_a_clock_that_is_set_in_a_run_changes_no_statistics(
    tmp_path: Path, steps: tuple[float, ...], at_the_end: float
) -> None:
    """Set forward and back between begin and end of a run, the clock gives the statistics of the time that passed."""
    database = tmp_path / "runs.db"
    clock = HandClock()
    async with rig(database, clock=clock) as it:
        run = await it.run()
        it.feed.send(1.0, at=clock.time)
        await it.recorder.begin_run(run)
        for value, step in zip((2.0, 3.0, 4.0), steps, strict=True):
            clock.time += 10
            clock.set(step)
            it.feed.send(value, at=clock.time)
        clock.time += 10
        clock.set(at_the_end)
        await it.recorder.end_run(run)
        (measured,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
    assert measured.statistics.mean == pytest.approx(2.5)
    assert measured.statistics.disconnected_seconds == pytest.approx(0.0)
