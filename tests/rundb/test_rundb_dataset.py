# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
"""The Parquet data set: what is in it, which files are written again, and that it is never half."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.cli.dataset_folder import DatasetFolder, encoded
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.dataset import PAGE, TABLES, DataReader
from tests.rundb.invoking import invoke
from tests.rundb.recorded import BEGAN, SAMPLES, record, record_run
from tests.rundb.rows import execute, reading

HIVE = ds.partitioning(pa.schema([("experiment", pa.string()), ("run", pa.int64())]), flavor="hive")
NOBODY = "-"
NO_ROWS = {f"{table.name}/experiment=-/run=-1/schema.parquet" for table in TABLES}


@pytest.fixture
async def recorded(database: Path) -> Path:
    """Three complete runs of e1."""
    await record(database, "e1", 3)
    return database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the data set goes."""
    return tmp_path / "data"


def update(database: Path, folder: Path, *options: str) -> str:
    result = invoke(database, "dataset", str(folder), *options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def files(folder: Path) -> dict[str, int]:
    """The files of the tables; another number is another file."""
    found = {each.relative_to(folder).as_posix(): each.stat().st_ino for each in folder.rglob("*") if each.is_file()}
    return {name: number for name, number in found.items() if not name.startswith("_attpc-ioc/")}


def read(folder: Path, table: str, run: int, experiment: str = "e1") -> list[dict[str, Any]]:
    rows = ds.dataset(folder / table, partitioning=HIVE).to_table(
        filter=(ds.field("run") == run) & (ds.field("experiment") == experiment)
    )
    return [
        {name: value for name, value in row.items() if name not in {"experiment", "run"}} for row in rows.to_pylist()
    ]


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(BEGAN + seconds, UTC)


def test_a_run_is_in_every_table(recorded: Path, folder: Path) -> None:
    """Rows have what the database has: times, numbers and texts by type, gaps and NaN as null."""
    assert update(recorded, folder) == f"{folder}: 23 files written, 0 unchanged, 0 removed\n"
    (run,) = read(folder, "runs", 1)
    assert (run["title"], run["state"], run["bytes"], run["duration"]) == ("run 1", "complete", 1001, 99.0)
    assert (run["started_at"], run["stopped_at"], run["adopted_at"]) == (at(100), at(199), None)
    pressure, gas = read(folder, "measurements", 1)
    assert (pressure["observable"], pressure["units"], pressure["begin_value"]) == ("pressure", "Torr", 300.0)
    assert (pressure["begin_text"], pressure["mean"], pressure["samples"]) == (None, 309.5, SAMPLES)
    assert (gas["begin_value"], gas["begin_text"], gas["end_text"], gas["mean"]) == (None, "P10", "P10", None)
    assert read(folder, "files", 1) == [
        {"router": "data0", "host": "host0", "path": "/data/run_0001.graw", "bytes": 1001, "moved_at": at(199)}
        | {"source": "", "checksum": "", "checksummed_at": None, "purged_at": None}
    ]
    assert [each["message"] for each in read(folder, "events", 1)] == ["run 1 started"]
    samples = read(folder, "samples", 1)
    assert [each["value"] for each in samples[:SAMPLES]] == [300.0 + n for n in range(SAMPLES)]
    assert [each["sampled_at"] for each in samples[:SAMPLES]] == [at(100 + n) for n in range(SAMPLES)]
    columns = ("observable", "units", "value", "text", "severity", "status")
    assert [tuple(each[name] for name in columns) for each in samples[SAMPLES:]] == [
        ("pressure", "Torr", None, None, 3, "disconnected"),
        ("pressure", "Torr", math.inf, None, 0, "NO_ALARM"),
        ("pressure", "Torr", None, None, 1, "HIGH"),
        ("target_gas", "", None, "P10", 0, "NO_ALARM"),
        ("count", "1", 2.0**62, None, 0, "NO_ALARM"),
    ]


def test_what_belongs_to_no_run(recorded: Path, folder: Path) -> None:
    """Samples between runs are in run -1 of their experiment, events in that of experiment -, a file for each day."""
    update(recorded, folder)
    assert [each["value"] for each in read(folder, "samples", -1)] == [1.0, 2.0]
    assert [each["message"] for each in read(folder, "events", -1, NOBODY)] == ["started"]
    days = {name for name in files(folder) if "run=-1/" in name} - NO_ROWS
    assert days == {
        "samples/experiment=e1/run=-1/2026-11-21.parquet",
        "samples/experiment=e1/run=-1/2026-11-22.parquet",
        "events/experiment=-/run=-1/2026-11-21.parquet",
    }


def test_each_table_has_one_schema_with_units(recorded: Path, folder: Path) -> None:
    """All files of a table have the same, whatever is in them; fixed units are in the metadata; all is zstd."""
    update(recorded, folder)
    for table in TABLES:
        found = [pq.ParquetFile(folder / name) for name in files(folder) if name.startswith(f"{table.name}/")]
        assert len({each.schema_arrow.to_string(show_schema_metadata=True) for each in found}) == 1
        schema = found[0].schema_arrow
        assert schema.names == [each.name for each in table.columns]
        for column in table.columns:
            units = (schema.field(column.name).metadata or {}).get(b"units", b"").decode()
            assert units == column.units == schema.metadata.get(f"units.{column.name}".encode(), b"").decode()
        groups = [each.metadata.row_group(0) for each in found if each.metadata.num_rows]
        assert {group.column(0).compression for group in groups} <= {"ZSTD"}
    runs = pq.read_schema(folder / "runs/experiment=e1/run=0/runs.parquet")
    assert (runs.field("started_at").type, runs.field("bytes").type) == (pa.timestamp("us", tz="UTC"), pa.int64())
    assert runs.field("duration").metadata == {b"units": b"s"}


def sql(statements: str) -> Callable[[Path], None]:
    def change(database: Path) -> None:
        with closing(sqlite3.connect(database)) as db:
            db.executescript(statements)

    return change


def edit(database: Path) -> None:
    assert invoke(database, "edit", "1", "--title", "better").exit_code == 0


def adopt(database: Path) -> None:
    directory = database.parent / "found" / "e1" / "run_0007"
    directory.mkdir(parents=True)
    (directory / "CoBo0_AsAd0.graw").write_bytes(b"data")
    assert invoke(database, "adopt", str(directory.parent)).exit_code == 0


def run_files(run: int, *tables: str, experiment: str = "e1") -> set[str]:
    return {f"{table}/experiment={experiment}/run={run}/{table}.parquet" for table in tables}


ALL = ("runs", "measurements", "samples", "files", "events")
LATE = "(SELECT id FROM sample_series WHERE run_id = 2 LIMIT 1)"


@pytest.mark.parametrize(
    ("change", "written", "removed"),
    [
        (lambda _: None, set(), set()),
        (edit, run_files(1, "runs", "events"), set()),
        (adopt, run_files(7, "runs", "files", "events"), set()),
        (sql("UPDATE files SET source = 'CoBo[0]' WHERE run_id = 2"), run_files(1, "files"), set()),
        (sql("UPDATE measurements SET mean = 1 WHERE run_id = 1"), run_files(0, "measurements"), set()),
        (
            sql(f"INSERT INTO sample_rows VALUES ({LATE}, 1895350000000000, 0, 1.5, 0)"),
            run_files(1, "samples"),
            set(),
        ),
        (
            sql(
                "INSERT INTO sample_rows SELECT id, 1795305600000000, 0, 1.5, 0 FROM sample_series WHERE run_id IS NULL"
            ),
            {"samples/experiment=e1/run=-1/2026-11-22.parquet"},
            set(),
        ),
        (
            sql(
                "INSERT INTO events (occurred_at, severity, source, message) "
                "VALUES ('2026-11-23T00:00:00.000000Z', 0, 'IOC', 'ended')"
            ),
            {"events/experiment=-/run=-1/2026-11-23.parquet"},
            set(),
        ),
        (sql("DELETE FROM runs WHERE run_number = 1"), set(), run_files(1, *ALL)),
        (
            sql(
                "INSERT INTO experiments VALUES (2, 'e/2', '2026-11-27T00:00:00.000000Z'); "
                "UPDATE runs SET experiment_id = 2 WHERE run_number = 1"
            ),
            run_files(1, *ALL, experiment="e%2F2"),
            run_files(1, *ALL),
        ),
        (
            sql("UPDATE experiments SET name = 'renamed'"),
            {name for run in range(3) for name in run_files(run, *ALL, experiment="renamed")}
            | {f"samples/experiment=renamed/run=-1/2026-11-{day}.parquet" for day in (21, 22)},
            {name for run in range(3) for name in run_files(run, *ALL)}
            | {f"samples/experiment=e1/run=-1/2026-11-{day}.parquet" for day in (21, 22)},
        ),
    ],
    ids=[
        *("nothing", "edited", "adopted", "files", "measurements", "a late sample", "between runs", "an event"),
        *("deleted", "moved", "renamed"),
    ],
)
def test_only_what_changed_is_written(
    recorded: Path, folder: Path, change: Callable[[Path], None], written: set[str], removed: set[str]
) -> None:
    """All other files are the same afterwards; those of what is gone from the database are gone, with their folders."""
    update(recorded, folder)
    before = files(folder)
    change(recorded)
    update(recorded, folder)
    after = files(folder)
    assert {name for name, number in after.items() if before.get(name) != number} == written
    assert set(before) - set(after) == removed
    assert not [each for each in folder.rglob("*=*") if not any(each.iterdir())]
    fresh = folder.with_name("fresh")
    update(recorded, fresh)
    assert {name: (fresh / name).read_bytes() for name in files(fresh)} == {
        name: (folder / name).read_bytes() for name in after
    }


@pytest.mark.parametrize("name", ["removed", "half"])
def test_a_file_that_somebody_spoilt_is_written_again(recorded: Path, folder: Path, name: str) -> None:
    """A file that is missing or has another size is not taken for a present one."""
    update(recorded, folder)
    file = folder / "samples/experiment=e1/run=1/samples.parquet"
    content = file.read_bytes()
    file.unlink()
    if name == "half":
        file.write_bytes(content[:100])
    assert "1 files written" in update(recorded, folder)
    assert file.read_bytes() == content


async def test_the_samples_of_an_open_run_are_written_each_time(database: Path, folder: Path) -> None:
    """The open run grows; when it is complete its samples are written once more, and then no longer."""
    await record(database, "e1", 2, last_is_open=True)
    for _ in range(2):
        update(database, folder)
    opened = files(folder)
    update(database, folder)
    again = files(folder)
    assert {name for name in again if again[name] != opened[name]} == run_files(1, "samples")
    execute(database, "UPDATE runs SET state = 'complete' WHERE run_number = 1")
    update(database, folder)
    complete = files(folder)
    assert {name for name in complete if complete[name] != again[name]} == run_files(1, "samples", "runs")
    update(database, folder)
    assert files(folder) == complete


async def test_one_experiment_of_several(recorded: Path, folder: Path) -> None:
    """--experiment writes and removes only its files; one that the database lacks is refused."""
    await record(recorded, "e2", 1)
    update(recorded, folder)
    before = files(folder)
    execute(recorded, "DELETE FROM runs WHERE run_number = 0")
    update(recorded, folder, "--experiment", "e2")
    assert set(before) - set(files(folder)) == run_files(0, *ALL, experiment="e2")
    refused = invoke(recorded, "dataset", str(folder), "--experiment", "e3")
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"error: experiment e3 is not in the run database {recorded}: it has e1, e2\n",
    )


async def test_a_new_database_does_not_take_away_what_an_older_one_gave(recorded: Path, folder: Path) -> None:
    """Experiments that the new one lacks stay, and are named; one of the same name is refused before any change."""
    update(recorded, folder)
    before = files(folder)
    new = recorded.with_name("new.db")
    await record(new, "e2", 1)
    assert f"unchanged, because they are not in {new}: e1" in update(new, folder)
    assert set(before) < set(files(folder))
    both = files(folder)
    await record(new, "e1", 1)
    refused = invoke(new, "dataset", str(folder))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: experiment e1 in {folder} is from another run database")
    assert files(folder) == both


def test_two_writers(recorded: Path, folder: Path) -> None:
    """A second process is refused at once and changes nothing; when the first has ended it may write."""
    command = [Path(sys.executable).with_name("attpc-ioc"), "runs", "dataset", folder, "--database", recorded]
    with DatasetFolder(folder, [table.name for table in TABLES]):
        refused = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert (refused.returncode, refused.stdout, refused.stderr) == (
            1,
            "",
            f"error: {folder} is being written by another attpc-ioc: wait until that ends\n",
        )
        assert files(folder) == {}
    update(recorded, folder)


async def test_beside_an_ioc_that_writes(database: Path, folder: Path) -> None:
    """Updates during a run get what is there, whole; the one after it makes what a new data set would be."""
    await record(database, "e1", 1)
    store = await SqliteRunStore.open(database)
    run = (await store.reserve_run("e1", "long", RunClass.Beam, "")).run
    for piece in range(5):
        readings = [reading(float(n), BEGAN + 1000 + n) for n in range(piece * 1000, piece * 1000 + 1000)]
        store.add_samples("e1", run, readings[:500])
        await store.flush()
        store.add_samples("e1", run, readings[500:])
        await asyncio.to_thread(update, database, folder)
        values = [each["value"] for each in read(folder, "samples", 1)]
        assert values == [float(n) for n in range(len(values))]
        assert len(values) in {piece * 1000 + 500, piece * 1000 + 1000}
    await store.close()
    fresh = folder.with_name("fresh")
    update(database, folder)
    update(database, fresh)
    assert {name: (folder / name).read_bytes() for name in files(folder)} == {
        name: (fresh / name).read_bytes() for name in files(fresh)
    }


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        (lambda folder: (folder.mkdir(), (folder / "mine").touch()), "has files that are not of a data set"),
        (lambda folder: folder.touch(), "is a file"),
        (lambda folder: folder.symlink_to("/proc/nowhere"), "cannot be written: "),
        (
            lambda folder: (
                (folder / "_attpc-ioc").mkdir(parents=True),
                (folder / "_attpc-ioc/state.db").write_text("x" * 5000),
            ),
            "state.db cannot be used",
        ),
    ],
    ids=["files", "a file", "nowhere", "spoilt"],
)
def test_a_directory_that_will_not_do(
    recorded: Path, folder: Path, prepare: Callable[[Path], object], error: str
) -> None:
    """It is refused in one line, and what is there stays."""
    prepare(folder)
    before = sorted(folder.rglob("*"))
    refused = invoke(recorded, "dataset", str(folder))
    assert refused.exit_code in {1, 2}
    assert len(refused.stderr.splitlines()) == 1 or refused.exit_code == 2
    assert error in refused.stderr
    assert sorted(folder.rglob("*")) == before


async def test_the_log_of_the_database_can_be_emptied_while_samples_are_read(database: Path) -> None:
    """Between two pages no transaction is open: a checkpoint reaches the end of the log, and later pages still come."""
    store = await SqliteRunStore.open(database)
    await store.close()
    await record(database, "e1", 1)
    store = await SqliteRunStore.open(database)
    store.add_samples("e1", None, [reading(float(n), BEGAN + n / 1000) for n in range(2 * PAGE)])
    await store.flush()
    with DataReader(database) as reader, closing(sqlite3.connect(database)) as other:
        (day,) = [series for name, series in reader.days_between_runs("e1").items() if name == "2026-11-22"]
        rows = 0
        for page in reader.pages(day):
            rows += len(page.values)
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert rows == 2 * PAGE + 1
    await store.close()


HOSTILE = [
    "a/b",
    "..",
    "50%",
    "%2F",
    "a=b",
    "x+y z",
    "Größe 日本",
    "2026",
    "1e5",
    "[a]*?",
    "it's",
    'a"b',
    "\x07",
    "{a}#:\\^",
]


async def test_hostile_names_of_experiments(database: Path, folder: Path) -> None:
    """Whatever an experiment is called, DuckDB, Polars and pyarrow show its name, and nothing is outside the folder."""
    for number in range(len(HOSTILE)):
        await record(database, f"e{number}", 1)
        with closing(sqlite3.connect(database)) as db, db:
            db.execute("UPDATE experiments SET name = ? WHERE name = ?", (HOSTILE[number], f"e{number}"))
    update(database, folder)
    expected = sorted(HOSTILE)
    table = folder / "runs"
    query = f"SELECT experiment, run FROM read_parquet('{table}/**/*.parquet', hive_partitioning = true)"
    assert sorted(duckdb.execute(query).fetchall()) == [(name, 0) for name in expected]
    assert sorted(pl.read_parquet(table)["experiment"].to_list()) == expected
    assert sorted(ds.dataset(table, partitioning="hive").to_table()["experiment"].to_pylist()) == expected
    assert {each.name for each in folder.iterdir()} == {"_attpc-ioc", *ALL}
    assert [len(each.relative_to(folder).parts) for each in folder.rglob("*.parquet")] == [4] * len(files(folder))


async def test_an_experiment_without_a_name(database: Path, folder: Path) -> None:
    """It is what Hive makes of an empty text, and readers show: null."""
    await record(database, "e1", 1)
    execute(database, "UPDATE experiments SET name = ''")
    update(database, folder)
    update(database, folder)
    assert ds.dataset(folder / "runs", partitioning=HIVE).to_table()["experiment"].to_pylist() == [None]


@given(st.text())
def test_a_partition_is_one_folder_and_can_be_decoded(name: str) -> None:
    """The name of its folder has no separator, and percent-decoding gives the experiment back."""
    folder = encoded(name)
    assert not set(folder) & set("/\\=\0\n*?[")
    assert unquote(folder) == name or (name, folder) == ("", "__HIVE_DEFAULT_PARTITION__")


KILLED = '''
import os, signal, sys
from pathlib import Path
from ioc.cli import dataset, dataset_folder, parquet
from ioc.rundb import dataset as source
import pyarrow, pyarrow.parquet, pyarrow.compute  # before any fork, and used by no parent

OURS = {each.__file__ for each in (dataset, dataset_folder, parquet, source)}
database, changed, root = map(Path, sys.argv[1:])

def child(work):
    """The signal that ended a process that does this work; 0 for none."""
    if (process := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(process, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WTERMSIG(status)

def traced(work, lines):
    """Do the work, and kill this process at that line of our modules."""
    def trace(frame, event, _):
        if frame.f_code.co_filename not in OURS:
            return None
        nonlocal lines
        lines -= event == "line"
        if lines == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    work()
    sys.settrace(None)

def content(folder):
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in folder.rglob("*") if each.is_file() and "_attpc-ioc" not in each.parts
    }

def full(name, *databases):
    for each in databases:
        assert child(lambda: dataset.write_dataset(each, root / name, None)) == 0
    return content(root / name)

before, after = full("before", database), full("after", changed)
kills = 0
for step, first, then, expected in (("new", {}, database, before), ("update", before, changed, after)):
    line = 1
    while True:
        name = f"{step}{line}"
        if first:
            full(name, database)
        killed = child(lambda: traced(lambda: dataset.write_dataset(then, root / name, None), line))
        for path, data in content(root / name).items():
            assert data in (first.get(path), expected.get(path)), (name, path)
        if not killed:
            break
        kills += 1
        assert full(name, then) == expected, name
        line += 197
print(kills, line)
'''


@pytest.mark.timeout(600)
async def test_killed_at_any_moment(recorded: Path, tmp_path: Path) -> None:
    """Every file is the old or the new one, and the next run makes the data set that it would have made at once."""
    changed = tmp_path / "changed.db"
    with closing(sqlite3.connect(recorded)) as old, closing(sqlite3.connect(changed)) as new:
        old.backup(new)
    edit(changed)
    execute(changed, "UPDATE measurements SET mean = 1 WHERE run_id = 1")
    execute(changed, "INSERT INTO experiments VALUES (2, 'e2', '2026-11-27T00:00:00.000000Z')")
    execute(changed, "UPDATE runs SET experiment_id = 2 WHERE run_number = 2")
    store = await SqliteRunStore.open(changed)
    await record_run(store, "e1", 3)
    await store.close()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, recorded, changed, tmp_path / "data"],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) > 30, done.stdout
