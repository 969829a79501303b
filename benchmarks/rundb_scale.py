"""How long looking at a large run database takes: ``python -m benchmarks.rundb_scale [EXPERIMENTS] [DATABASE]``.

50,000 runs of 100 observables each, five million measurements, shared out between so many experiments (50). It prints a
table for docs/performance.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.connection import connect_for_reading
from ioc.rundb.times import to_text
from ioc.topology.schema import Observable
from ioc.web.database_pages import metadata

RUNS = 50_000
OBSERVABLES = [Observable(name=f"v{number}", pv=f"B:v{number}") for number in range(100)]
BEGAN = 1_500_000_000.0
PROGRAM = [sys.executable, "-c", "from ioc.cli.main import main; main()"]


async def define(path: Path, experiments: int) -> None:
    """A database as the IOC makes it, with one run in each experiment."""
    store = await SqliteRunStore.open(path)
    for number in range(experiments):
        await store.define_observables(f"e{number}", OBSERVABLES)
        await store.reserve_run(f"e{number}", "", RunClass.Beam, "a/b/c")
    await store.close()


def fill(path: Path, experiments: int) -> None:
    """All other runs, with what was measured in each, one file and two events."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        ids = {
            owner: [row[0] for row in db.execute("SELECT id FROM observables WHERE experiment_id = ?", (owner,))]
            for (owner,) in db.execute("SELECT id FROM experiments").fetchall()
        }
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.execute("DELETE FROM runs")
        for run in range(RUNS):
            owner, number = sorted(ids)[run * experiments // RUNS], run % (RUNS // experiments)
            began = BEGAN + 3600.0 * run
            db.execute(
                "INSERT INTO runs (id, experiment_id, run_number, run_class, title, state, reserved_at, started_at, "
                "stopped_at, duration, config_name, bytes) VALUES (?, ?, ?, 'Production', ?, 'complete', ?, ?, ?, ?, "
                "'front/e20/e20', 123456789)",
                (run, owner, number, f"run {number} on 46Ar", *map(to_text, (began, began, began + 3000)), 3000.0),
            )
            db.executemany(
                "INSERT INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, mean, "
                "samples) VALUES (?, ?, ?, ?, 1.0, 3.0, 2.0, 1000)",
                ((run, each, run * 0.1, run * 0.2) for each in ids[owner]),
            )
            db.execute(
                "INSERT INTO files (run_id, router, host, path, bytes, moved_at) VALUES (?, 'r', 'h', ?, 123456789, ?)",
                (run, f"/data/{run}.graw", to_text(began)),
            )
            db.executemany(
                "INSERT INTO events (occurred_at, severity, source, message, run_id) VALUES (?, 0, 'Run', ?, ?)",
                ((to_text(began + n), f"something {n}", run) for n in range(2)),
            )
        db.execute("COMMIT")


def seconds(work: Callable[[], object]) -> float:
    """The second of two times, with what the system has read then."""
    work()
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def select(path: Path, sql: str, **parameters: str) -> Callable[[], object]:
    def work() -> object:
        with closing(connect_for_reading(path)) as db:
            return db.execute(sql, parameters).fetchall()

    return work


def command(path: Path, *arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run(
        [*PROGRAM, "runs", *arguments, "--database", str(path)], check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    experiments = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as directory:
        path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(directory) / "runs.db"
        if not path.exists():
            asyncio.run(define(path, experiments))
            fill(path, experiments)
        one = f"e{experiments // 2}"
        queries = metadata("runs")["databases"]["runs"]["queries"]
        browse = {"experiment": one, "run_number": "", "observable": "v7"}
        table = {
            "`SELECT * FROM run_sheet WHERE experiment = …`": select(
                path, "SELECT * FROM run_sheet WHERE experiment = :e", e=one
            ),
            "`SELECT run_number, v7 …` of it": select(
                path, "SELECT run_number, v7 FROM run_sheet WHERE experiment = :e", e=one
            ),
            "first page of it in `browse`": select(path, "SELECT * FROM run_sheet LIMIT 101"),
            "its number of rows": select(path, "SELECT count(*) FROM (SELECT * FROM run_sheet)"),
            **{
                f"`browse`: {query['title'].lower()}": select(path, query["sql"], **browse)
                for query in queries.values()
            },
            "`runs list`": command(path, "list", "--experiment", one),
            "`runs show`": command(path, "show", "5", "--experiment", one),
            "`runs export`": command(path, "export", "--experiment", one),
        }
        print(f"| {RUNS:,} runs in {experiments} experiments, {path.stat().st_size / 1e6:.0f} MB | s |\n|---|---:|")
        for what, work in table.items():
            print(f"| {what} | {seconds(work):.2f} |", flush=True)


if __name__ == "__main__":
    main()
