"""How long the export of a long run takes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ioc.model import Reading, RunClass, RunId, Severity
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable

OBSERVABLES = [Observable(name=f"v{number}", pv=f"B:v{number}") for number in range(100)]
BEGAN_US = 1_800_000_000_000_000


def time_export(samples: int) -> dict[str, float]:
    """Seconds for ``runs samples`` of a run of that many samples, for each format."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "runs.db"
        run = asyncio.run(make_run(path))
        fill(path, samples)
        return {form: _export(path, run, form) for form in ("csv", "parquet")}


async def make_run(path: Path) -> RunId:
    """A run with one sample of each observable."""
    store = await SqliteRunStore.open(path)
    await store.define_observables("e1", OBSERVABLES)
    run = (await store.reserve_run("e1", "", RunClass.Testing, "")).run
    began = BEGAN_US / 1e6
    store.add_samples(
        "e1", run, [Reading(each.name, 0.0, Severity.NO_ALARM, "NO_ALARM", began) for each in OBSERVABLES]
    )
    await store.flush()
    await store.close()
    return run


def fill(path: Path, samples: int) -> None:
    """Give the run so many: rows as the writer makes them, straight into its table."""
    with sqlite3.connect(path, isolation_level=None) as db:
        series = [row[0] for row in db.execute("SELECT id FROM sample_series ORDER BY id")]
        db.execute("BEGIN")
        for one in series:
            db.executemany(
                "INSERT INTO sample_rows (series_id, sampled_us, seq, value, alarm_id) VALUES (?, ?, 0, ?, 0)",
                ((one, BEGAN_US + 100_000 * n, n * 0.1) for n in range(1, samples // len(OBSERVABLES))),
            )
        db.execute("COMMIT")


def _export(path: Path, run: RunId, form: str) -> float:
    begun = time.monotonic()
    program = [sys.executable, "-c", "from ioc.cli.main import main; main()"]
    output = ["--format", form, "--output", str(path.with_suffix(f".{form}"))]
    subprocess.run([*program, "runs", "samples", str(run.number), "--database", str(path), *output], check=True)
    return time.monotonic() - begun
