"""What a day of samples takes on the disk: the table in docs/performance.md.

    python -m benchmarks.sizes [HOURS]        # default: 1, from which a day is computed

30 and 300 observables that change once a second, as a slow control sends them: a value with noise and three decimals,
at a time that jitters by a millisecond. The file of the run database is measured after a checkpoint, and the data set
that `runs dataset` makes from it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from ioc.cli.dataset import write_dataset
from ioc.model import Reading, RunClass, Severity
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable

SECONDS_OF_A_DAY = 86_400
BEGAN = 1_800_000_000.0


async def fill(path: Path, observables: int, seconds: int) -> None:
    """A run of that many seconds, written by the IOC's own writer."""
    chance = random.Random(1)
    store = await SqliteRunStore.open(path)
    names = [f"v{number}" for number in range(observables)]
    await store.define_observables("e1", [Observable(name=name, pv=f"B:{name}") for name in names])
    run = (await store.reserve_run("e1", "", RunClass.Testing, "")).run
    for second in range(seconds):
        store.add_samples(
            "e1",
            run,
            [
                Reading(
                    *(name, round(chance.gauss(300.0, 0.2), 3), Severity.NO_ALARM, "NO_ALARM"),
                    BEGAN + second + chance.random() / 1e3,
                )
                for name in names
            ],
        )
        if second % 20 == 0:
            await store.flush()
    await store.flush()
    await store.close()


def main() -> None:
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print("| observables at 1 Hz | samples a day | SQLite, MB a day | Parquet, MB a day |\n|---:|---:|---:|---:|")
    for observables in (30, 300):
        with tempfile.TemporaryDirectory() as directory:
            path, data = Path(directory) / "runs.db", Path(directory) / "data"
            seconds = round(hours * 3600)
            asyncio.run(fill(path, observables, seconds))
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            write_dataset(path, data, None)
            parquet = sum(each.stat().st_size for each in (data / "samples").rglob("*.parquet"))
            samples = observables * SECONDS_OF_A_DAY
            day = SECONDS_OF_A_DAY / seconds / 1e6
            print(
                f"| {observables} | {samples:,} | {path.stat().st_size * day:.0f} | {parquet * day:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
