"""What looking at a large run database costs: a table for docs/performance.md.

    python -m benchmarks.rundb_scale [EXPERIMENTS [SAMPLES [DATABASE]]]

50,000 runs of 100 observables each, five million measurements, shared out between so many experiments (50), with so
many samples of each observable in each run (0; 12 make 60 million, 2.5 GB). DATABASE is filled if it does not exist; it
is a temporary file by default.

It prints CPU seconds, the least of three times with the file in the system's cache.
"""

from __future__ import annotations

import asyncio
import os
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
from ioc.rundb.times import MICROSECONDS_TO_TEXT
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


FILL = (
    """WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :runs),
    each AS (SELECT n, n / :share + 1 AS owner, n % :share AS number, :began_us + 3600000000 * n AS us FROM numbers)
    INSERT INTO runs (id, experiment_id, run_number, run_class, title, state, reserved_at, started_at, stopped_at,
        duration, config_name, bytes)
    SELECT n, owner, number, 'Production', 'run ' || number || ' on 46Ar', 'running', {begin}, {begin}, {end}, 3000.0,
        'front/e20/e20', 123456789 FROM each""",
    """INSERT INTO measurements (run_id, observable_id, begin_value, end_value, minimum, maximum, mean, samples)
    SELECT runs.id, observables.id, runs.id * 0.1, runs.id * 0.2, 1.0, 3.0, 2.0, :samples FROM runs
    CROSS JOIN observables ON observables.experiment_id = runs.experiment_id ORDER BY runs.id, observables.id""",
    """INSERT INTO files (run_id, router, host, path, bytes, moved_at)
    SELECT id, 'r', 'h', '/data/' || id || '.graw', 123456789, stopped_at FROM runs""",
    """INSERT INTO events (occurred_at, severity, source, message, run_id)
    SELECT started_at, 0, 'Run', 'something 0', id FROM runs UNION ALL
    SELECT stopped_at, 0, 'Run', 'something 1', id FROM runs""",
    """INSERT INTO sample_series (id, observable_id, run_id)
    SELECT row_number() OVER (), observable_id, run_id FROM measurements WHERE :samples""",
    """WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :samples)
    INSERT INTO sample_rows (series_id, sampled_us, seq, value, alarm_id)
    SELECT id, :began_us + 3600000000 * run_id + 3000000000 / :samples * n, 0, id * 0.1 + n, 0
    FROM sample_series CROSS JOIN numbers ORDER BY id, n""",
    # Their cards have been written.
    "UPDATE runs SET state = 'complete'",
    "UPDATE runs SET card_due = 0",
)
"""All runs, with what was measured in each, one file, two events and the samples; in the order of the file."""


def fill(path: Path, experiments: int, samples: int) -> None:
    """As the IOC would have filled it; of each observable in each run so many samples."""
    times = {
        "begin": MICROSECONDS_TO_TEXT.format(us="us"),
        "end": MICROSECONDS_TO_TEXT.format(us="(us + 3000000000)"),
    }
    values = {"runs": RUNS, "share": RUNS // experiments, "began_us": round(BEGAN * 1e6), "samples": samples}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("BEGIN")
        db.execute("DELETE FROM runs")
        for sql in FILL:
            db.execute(sql.format(**times), values)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")


def cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, the least of three times."""
    taken: list[float] = []
    for _ in range(3):
        begun = cpu()
        work()
        taken.append(cpu() - begun)
    return min(taken)


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
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(directory) / "runs.db"
        if not path.exists():
            asyncio.run(define(path, experiments))
            fill(path, experiments, samples)
        one = f"e{experiments // 2}"
        sheet = "SELECT * FROM run_sheet WHERE experiment = :e"
        queries = metadata("runs")["databases"]["runs"]["queries"]
        browse = {"experiment": one, "run_number": "", "observable": "v7"}
        parquet = ("--format", "parquet", "--output", f"{directory}/sheet.parquet")
        table = {
            f"`{sheet.replace(':e', '…')}`": select(path, sheet, e=one),
            "`SELECT run_number, v7 …` of it": select(path, sheet.replace("*", "run_number, v7"), e=one),
            "first page of it in `browse`": select(path, "SELECT * FROM run_sheet LIMIT 101"),
            "the same, sorted by number": select(path, "SELECT * FROM run_sheet ORDER BY run_number DESC LIMIT 101"),
            "its number of rows": select(path, "SELECT count(*) FROM (SELECT * FROM run_sheet)"),
            **{
                f"`browse`: {query['title'].lower()}": select(path, query["sql"], **browse)
                for query in queries.values()
            },
            "`runs list`": command(path, "list", "--experiment", one),
            "`runs list --json`": command(path, "list", "--json", "--experiment", one),
            "`runs show`": command(path, "show", "5", "--experiment", one),
            "`runs export`": command(path, "export", "--experiment", one),
            "`runs export --format json`": command(path, "export", "--format", "json", "--experiment", one),
            "`runs export --format parquet`": command(path, "export", *parquet, "--experiment", one),
        }
        size = path.stat().st_size / 1e6
        print(f"| {RUNS:,} runs in {experiments} experiments, {size:,.0f} MB | CPU, s |\n|---|---:|")
        for what, work in table.items():
            print(f"| {what} | {seconds(work):.2f} |", flush=True)
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
