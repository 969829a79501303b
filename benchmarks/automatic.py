"""Automatic runs: the dead time between them, and a long night with random faults.

    python -m benchmarks.automatic dead [runs] [speed]
    python -m benchmarks.automatic faults [runs] [seed]
    python -m benchmarks.automatic core [runs] [seed]

*dead*: ``attpc-ioc demo`` takes runs of three seconds. The dead time is what the run database has, from the stop of a
run to the start of the next. The servers' own time is that from the number's reservation to the start; the settle time
is that of the demo. What is left must not be more than 0.5 s: filing and recording, the look at the routers, the copies
of the configurations.

*faults*: the night of `tests.e2e.faulty_night` in a small plant at speed 100. In its first half the IOC is also killed,
in the second half its memory is watched. At the end no number may be missing, no file lost. *core*: the same for the
core alone, with the fakes of its tests (`tests.runlogic.long_sequence`), without a clock.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from tests.e2e.faulty_night import TIMEOUTS, Night, check_nothing_is_lost
from tests.e2e.plant import COMMAND, Plant
from tests.epics import Epics
from tests.runlogic.long_sequence import files, take

SETTLE_SECONDS = 1.0
"""Of the demo."""
MOST_SECONDS = 0.5
"""Beyond the servers' own times and the settle time."""
PREFIX = "ATTPC:"


def dead(runs: int, speed: float) -> None:
    """Take runs in the demo; print a row of a table."""
    with tempfile.TemporaryDirectory() as folder, Epics() as epics:
        demo = subprocess.Popen(
            [COMMAND, "demo", "--speed", str(speed)],
            cwd=folder,
            env=epics.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert demo.stdout is not None
            assert any("Ctrl-C ends everything." in line for line in demo.stdout)
            _wait(epics, "State", "Idle")
            for step in ("Describe", "Prepare", "Configure"):
                _put(epics, step, "1")
            _wait(epics, "Run:CanStart", "Yes")
            for pv, value in (("RunMinutes", "0.05"), ("Runs", str(runs)), ("Enable", "On")):
                _put(epics, f"Auto:{pv}", value)
            _wait(epics, "Auto:Enable", "Off", 60 + 60 * runs)
        finally:
            demo.terminate()
            demo.wait(30)
        _report(Path(folder) / "demo-data" / "runs.db")


def _put(epics: Epics, pv: str, value: str) -> None:
    done = epics.run("caput", "-c", "-w", "300", PREFIX + pv, value, timeout=310)
    assert done.returncode == 0, f"{pv}: {done.stdout}{done.stderr}"


def _wait(epics: Epics, pv: str, value: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (shown := epics.run("caget", "-t", PREFIX + pv).stdout.strip()) != value:
        assert time.monotonic() < deadline, f"{pv} is {shown}"
        time.sleep(0.5)


def _report(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT id, reserved_at, started_at, stopped_at FROM runs WHERE state = 'complete' ORDER BY run_number"
        ).fetchall()
        events = [
            connection.execute(f"SELECT max(occurred_at) FROM events WHERE run_id = ? AND {which}", (run,)).fetchone()[
                0
            ]
            for run, *_ in rows
            for which in ("source LIKE 'Router:%' AND message LIKE '%filed%'", "message LIKE 'run % is complete'")
        ]
    times = [[_seconds(each) for each in row[1:]] for row in rows]
    filed, over = map(_seconds, events[::2]), map(_seconds, events[1::2])
    parts: dict[str, list[float]] = {}
    pairs = zip(itertools.pairwise(times), filed, over, strict=False)
    for ((_, _, stopped), (reserved, started, _)), filed_at, over_at in pairs:
        for name, seconds in (
            ("dead time", started - stopped),
            ("the servers' own, from the reservation to the start", started - reserved),
            ("filing, with the settle time of 1 s", filed_at - stopped),
            ("look at the routers and copies of the configurations", over_at - filed_at),
            ("reservation of the next number", reserved - over_at),
            ("beyond the servers' own and settle times", reserved - stopped - SETTLE_SECONDS),
        ):
            parts.setdefault(name, []).append(seconds)
    print(f"| seconds, {len(rows) - 1} times | median | longest | must reach |")
    print("|---|---:|---:|---|")
    for name, values in parts.items():
        most = f"≤ {MOST_SECONDS:g}" if name.startswith("beyond") else ""
        print(f"| {name} | {statistics.median(values):.2f} | {max(values):.2f} | {most} |")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def faults(runs: int, seed: int) -> None:
    """Take runs with faults; print what happened."""
    with tempfile.TemporaryDirectory() as folder, Epics() as epics:
        async with Plant(Path(folder), epics, speed=100, timeouts=TIMEOUTS) as plant:
            await plant.to_ready()
            night = Night(plant, random.Random(seed))
            begun = time.monotonic()
            await night.take(runs // 2, seconds=3600 * 10)
            night.kills = False
            night.memory.clear()
            await night.take(runs - runs // 2, seconds=3600 * 10)
            check_nothing_is_lost(plant)
            states = dict(plant.query("SELECT state, count(*) FROM runs GROUP BY state"))
            [(files,)] = plant.query("SELECT count(*) FROM files")
            sizes = [size for _, size in night.memory]
            third = max(1, len(sizes) // 3)
            growth = statistics.mean(sizes[-third:]) - statistics.mean(sizes[third : 2 * third] or sizes)
            print(f"{time.monotonic() - begun:.0f} s; runs: {states}; files: {files}; faults: {night.faults}")
            print(f"memory at the end {sizes[-1]:.0f} MB, growth from the second third to the last {growth:.1f} MB")


def core(runs: int, seed: int) -> None:
    """Take runs with the core alone; print what happened."""
    world, sizes = take(runs, seed)
    numbers, found = [run.number for run in world.database.runs], files(world)
    assert numbers == list(range(len(numbers))), "a number is missing or used twice"
    assert found == list(range(1, len(found) + 1)), "a file is lost"
    states = dict(Counter(record.state.value for record in world.database.runs.values()))
    print(f"{time.process_time():.0f} s of CPU; runs: {states}; files: {len(found)}")
    print(f"size of the state: {max(sizes[:10])} bytes in the first tenth, {max(sizes[-10:])} in the last")


def main() -> None:
    match sys.argv[1:]:
        case ["dead", *rest]:
            runs, speed = [*rest, *("5", "1")[len(rest) :]]
            dead(int(runs), float(speed))
        case ["faults", *rest]:
            runs, seed = [*rest, *("1000", "1")[len(rest) :]]
            asyncio.run(faults(int(runs), int(seed)))
        case ["core", *rest]:
            runs, seed = [*rest, *("1000", "1")[len(rest) :]]
            core(int(runs), int(seed))
        case _:
            print(__doc__)


if __name__ == "__main__":
    main()
