"""How fast the run database becomes a Parquet data set: the table in docs/performance.md.

    python -m benchmarks.dataset [MILLIONS...]        # default: 1 10

For so many million samples of one run, three ways in turn, each in a process of its own: ``runs dataset``, pandas
(`read_sql` in pieces, pyarrow's writer) and sqlite-utils (its rows in pieces, pandas' `to_parquet`). The last two are
what one would write without this command.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recording_export import fill, make_run

QUERY = """SELECT observables.name, observables.units, samples.sampled_at, samples.value, severity, status FROM samples
    JOIN observables ON observables.id = samples.observable_id WHERE run_id = 1"""
OURS = """
import sys
from ioc.cli.main import main
main(["runs", "dataset", sys.argv[2], "--database", sys.argv[1]])
"""
PANDAS = f'''
import sqlite3, sys
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
writer = None
for frame in pd.read_sql("""{QUERY}""", sqlite3.connect(sys.argv[1]), parse_dates=["sampled_at"], chunksize=500_000):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    writer = writer or pq.ParquetWriter(sys.argv[2] + ".parquet", table.schema, compression="zstd")
    writer.write_table(table)
writer.close()
'''
SQLITE_UTILS = f'''
import itertools, os, sys
import pandas as pd, sqlite_utils
rows = sqlite_utils.Database(sys.argv[1]).query("""{QUERY}""")
os.makedirs(sys.argv[2])
for number in itertools.count():
    piece = list(itertools.islice(rows, 500_000))
    if not piece:
        break
    frame = pd.DataFrame(piece)
    frame["sampled_at"] = pd.to_datetime(frame["sampled_at"])
    frame.to_parquet(f"{{sys.argv[2]}}/{{number}}.parquet", compression="zstd")
'''


def measured(program: str, database: Path, output: Path) -> tuple[float, float, float]:
    """Elapsed seconds, CPU seconds and peak memory in MB of a process."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", program, database, output], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, program
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / scale


def main() -> None:
    print("| samples | by | s | CPU, s | samples/s | peak memory, MB |\n|---:|---|---:|---:|---:|---:|")
    for millions in map(float, sys.argv[1:] or ["1", "10"]):
        with tempfile.TemporaryDirectory() as directory:
            database, ours = Path(directory) / "runs.db", Path(directory) / "ours"
            asyncio.run(make_run(database))
            samples = round(millions * 1e6)
            fill(database, samples)
            ways = {
                "`runs dataset`": (OURS, ours),
                "pandas": (PANDAS, Path(directory) / "pandas"),
                "sqlite-utils, pandas": (SQLITE_UTILS, Path(directory) / "utils"),
            }
            for name, (program, output) in ways.items():
                elapsed, cpu, memory = measured(program, database, output)
                rate = samples / elapsed
                print(f"| {samples:,} | {name} | {elapsed:.1f} | {cpu:.1f} | {rate:,.0f} | {memory:.0f} |", flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
