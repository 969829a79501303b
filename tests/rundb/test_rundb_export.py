"""``runs export``, ``list`` and ``show``: which runs, which columns, and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.cli.as_json import PARTS, RUN
from ioc.cli.export import STATISTICS
from ioc.model import DocumentState, RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.rundb.dataset import PAGE
from ioc.rundb.formats import local_time
from ioc.rundb.queries import RunBook
from ioc.topology.schema import Observable
from tests.rundb.invoking import invoke
from tests.rundb.odd_runs import BEGAN, TITLE, odd_runs
from tests.rundb.rows import GAS, PRESSURE, execute, reading

TEXT = (Path(__file__).parents[2] / "docs" / "run-database.md").read_text()
DAY = 86_400.0
RUNS = (
    ("Beam", "Good", 0),
    ("Beam", "Bad", 1),
    ("Pulser", "Good", 2),
    ("Production", "Unknown", 3),
)
"""Class, quality and day of runs 0 to 3; run 4 never ran."""


@pytest.fixture
async def five(store: SqliteRunStore, database: Path) -> Path:
    """Five runs of one experiment, each with a pressure and a gas."""
    await store.define_observables("e1", [PRESSURE, GAS])
    for number, (run_class, quality, day) in enumerate(RUNS):
        record = await store.reserve_run("e1", "", RunClass[run_class], "a/b/c")
        figures = Statistics(1.0, 3.0, 1.75, 7, Severity.MINOR, 2.5)
        none = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
        gas = Measurement("target_gas", "P10", "He", none)
        await store.save_measurements(record.run, [Measurement("pressure", -float(number), 2.5, figures), gas])
        began = BEGAN + day * DAY
        ended = replace(record, state=DocumentState.Complete)
        await store.save_run(replace(ended, started_at=began, stopped_at=began + 1))
        await store.flush()
        execute(database, f"UPDATE runs SET quality = '{quality}' WHERE run_number = {number}")
    await store.reserve_run("e1", "", RunClass.Testing, "")
    await store.flush()
    execute(
        database, "UPDATE runs SET reserved_at = '2026-11-20T00:00:00.000000Z', state = 'failed' WHERE run_number = 4"
    )
    return database


def sheet(database: Path, *arguments: str) -> list[dict[str, str]]:
    result = invoke(database, "export", *arguments)
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout, newline="")))


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ("", "01234"),
        ("1 3", "13"),
        ("--class beam", "01"),
        ("--class Beam --class Pulser", "012"),
        ("--quality Good", "02"),
        ("--quality bad --quality unknown", "134"),
        ("--class Beam --quality Good", "0"),
        ("0 2 --class Beam", "0"),
        ("--since 2026-11-24T12:20:00.25Z", "23"),
        ("--since 2026-11-24T07:20:00.25-05:00", "23"),
        ("--since 2026-11-24T12:20:00.250001Z", "3"),
        ("--since 2026-11-01", "01234"),
        ("--since 1970-01-01", "01234"),
        ("--since 9999-01-01", ""),
        ("--class Junk", ""),
    ],
)
def test_which_runs_are_exported(five: Path, asked: str, numbers: str) -> None:
    """Every condition holds for each run, in CSV, JSON and HDF5 alike; of one option any value."""
    assert "".join(line["run_number"] for line in sheet(five, *asked.split())) == numbers
    document = json.loads(invoke(five, "export", "--format", "json", *asked.split()).stdout)
    assert "".join(str(run["run_number"]) for run in document) == numbers


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ("--since yesterday", 2, "it is 'yesterday', but must be a date such as 2026-11-22, or a time such as"),
        ("--since 2026-13-01", 2, "it is '2026-13-01', but must be"),
        ("--class Great", 2, "'Great' is not one of"),
        ("--quality fine", 2, "'fine' is not one of"),
        ("--statistic median", 2, "'median' is not one of"),
        ("--observable nope", 1, "error: experiment e1 has no observable nope\n"),
        ("--observable nope --format json", 1, "error: experiment e1 has no observable nope\n"),
        ("--observable nope --format bluesky", 1, "error: experiment e1 has no observable nope\n"),
        ("0 9", 1, "error: run 9 is not in experiment e1: its last one is run 4\n"),
        ("x", 2, "'x' is not a valid integer"),
    ],
)
def test_what_cannot_be_exported(five: Path, asked: str, code: int, message: str) -> None:
    """A wrong date, class, name or number is one line on stderr, and nothing is written."""
    result = invoke(five, "export", *asked.split())
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1)
    assert re.search(message, result.stderr)


def test_the_headings_of_chosen_statistics(five: Path) -> None:
    """Name, units and statistic, in the order asked for; a text has no mean."""
    [line, *_] = sheet(five, *(f"--statistic={name}" for name in ("mean", "begin", "samples", "mean")))
    assert dict(list(line.items())[11:]) == {
        "pressure (Torr) mean": "1.75",
        "pressure (Torr) begin": "-0.0",
        "pressure (Torr) samples": "7",
        "target_gas begin": "P10",
        "target_gas samples": "1",
    }


def test_the_observables_asked_for(five: Path) -> None:
    """Only these have columns, in the order asked for."""
    [line, *_] = sheet(five, "--observable", "target_gas", "--observable", "pressure")
    assert list(line)[11:] == ["target_gas", "pressure", "pressure.minimum", "pressure.mean", "pressure.maximum"]
    [line, *_] = sheet(five, "--observable", "target_gas", "--statistic", "end")
    assert list(line)[11:] == ["target_gas end"]


def test_chosen_statistics_in_json(five: Path) -> None:
    """An observable is an object with its units and these statistics."""
    asked = ("--statistic", "end", "--statistic", "worst_severity")
    [run, *_] = json.loads(invoke(five, "export", "--format", "json", *asked).stdout)
    assert run["observables"] == {
        "pressure": {"units": "Torr", "end": 2.5, "worst_severity": 1},
        "target_gas": {"units": "", "end": "He", "worst_severity": 0},
    }


def test_the_page_has_the_headings(five: Path) -> None:
    """docs/run-database.md shows the first lines exactly as they are written, and names every statistic."""
    for command, shown in re.findall(r"^\$ attpc-ioc (runs export .*)\n((?:(?!\$ |```).*\n)+)", TEXT, re.MULTILINE):
        printed = invoke(five, *command.split()[1:]).stdout.splitlines()
        assert shown.splitlines() == printed[: len(shown.splitlines())], command
    assert "pressure (Torr) mean" in TEXT
    assert all(f"`{name}`" in TEXT for name in STATISTICS)


async def test_one_name_with_two_units_has_two_columns(store: SqliteRunStore, database: Path) -> None:
    """The units in the heading keep them apart."""
    none = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
    for units in ("Torr", "mbar", ""):
        await store.define_observables("e1", [Observable(name="p", units=units)])
        run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
        await store.save_measurements(run, [Measurement("p", 1.0, None, none)])
    lines = sheet(database, "--statistic", "begin")
    assert [{name for name, value in line.items() if value == "1.0"} for line in lines] == [
        {"p (Torr) begin"},
        {"p (mbar) begin"},
        {"p begin"},
    ]


async def test_more_runs_than_are_read_at_once(store: SqliteRunStore, database: Path) -> None:
    """Each of 1,200 runs has one line, in the order of the numbers."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    execute(
        database,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1199) "
        "INSERT INTO runs (experiment_id, run_number, run_class, state, reserved_at) "
        "SELECT 1, i, 'Beam', 'failed', '2026-11-22T12:00:00.000000Z' FROM n",
    )
    assert [int(line["run_number"]) for line in sheet(database)] == list(range(1200))
    listed = json.loads(invoke(database, "list", "--json").stdout)
    assert [run["run_number"] for run in listed["runs"]] == list(range(1200))


async def test_the_memory_does_not_grow_with_the_runs(store: SqliteRunStore, database: Path) -> None:
    """20,000 runs take the process that exports them hardly more memory than 20."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    execute(
        database,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) "
        "INSERT INTO runs (experiment_id, run_number, run_class, state, reserved_at, title) "
        "SELECT 1, i, iif(i < 20, 'Pulser', 'Beam'), 'failed', '2026-11-22T12:00:00.000000Z', hex(zeroblob(500)) "
        "FROM n",
    )
    peak = "import resource, sys; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    program = f"import atexit\nfrom ioc.cli.main import main\n@atexit.register\ndef _(): {peak}\nmain()"
    for arguments in (("export", "--format", "csv"), ("export", "--format", "json")):
        used: list[int] = []
        for chosen in (("--class", "Pulser"), ("--class", "Beam")):
            command = [sys.executable, "-c", program, "runs", *arguments, *chosen, "--database", database]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=100, check=True)
            used.append(int(done.stderr.split()[-1]) // (1024 if sys.platform == "darwin" else 1))
        assert used[1] - used[0] < 15_000, "kB; the titles alone are 20,000 kB"


async def test_the_log_of_the_database_can_be_emptied_while_samples_are_written(
    store: SqliteRunStore, database: Path
) -> None:
    """Whoever reads samples one by one, as in a pager, keeps no transaction open; every sample comes, in order."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(float(n), 1e9 + n / 1000) for n in range(PAGE + 1)])
    await store.flush()
    with RunBook(database, "e1") as book, closing(sqlite3.connect(database)) as other:
        samples = book.samples(0, book.sampled(0))
        first = next(samples)
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert [each["value"] for each in (first, *samples)] == list(range(PAGE + 1))
    assert first["sampled_at"] == "2001-09-09T01:46:40.000000Z"


async def test_what_a_killed_export_leaves(store: SqliteRunStore, database: Path) -> None:
    """The older file is whole and unchanged whenever the process is killed; the new one has another name till then."""
    await odd_runs(store)
    output = database.parent / "out" / "runs.csv"
    output.parent.mkdir()
    output.write_text("older")
    killed = f"""
import os, signal
from ioc.cli import output
from ioc.cli.main import main
real = output.whole_file
def dies_before_the_end(*args):
    from contextlib import contextmanager
    @contextmanager
    def both():
        with real(*args) as path:
            yield path
            os.kill(os.getpid(), {int(signal.SIGKILL)})
    return both()
output.whole_file = dies_before_the_end
main()
"""
    command = [sys.executable, "-c", killed, "runs", "export", "--database", database, "--output", output]
    done = subprocess.run(command, env=os.environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert output.read_text() == "older"
    assert invoke(database, "export", "--output", str(output)).exit_code == 0
    assert output.read_text(encoding="utf-8-sig").startswith("run_number,")


def test_a_dash_is_standard_output(five: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--output - writes no file of that name."""
    monkeypatch.chdir(tmp_path / "..")
    assert invoke(five, "export", "--output", "-").stdout == invoke(five, "export").stdout
    assert not Path("-").exists()


def _refuse(constant: str) -> Any:
    raise AssertionError(constant)


async def test_list_and_show_for_programs(store: SqliteRunStore, database: Path) -> None:
    """One strict JSON document with the keys that the page names, in ASCII, whatever a title has."""
    await odd_runs(store)
    result = invoke(database, "list", "--json")
    assert result.stdout.isascii()
    listed = json.loads(result.stdout, parse_constant=_refuse)
    assert (listed["experiment"], len(listed["runs"])) == ("e18008", 5)
    assert listed["runs"][0]["title"] == TITLE
    assert all(tuple(run) == RUN for run in listed["runs"])
    assert json.loads(invoke(database, "list", "--json", "--quality", "Bad").stdout)["runs"] == []
    for number in range(5):
        shown = json.loads(invoke(database, "show", str(number), "--json").stdout, parse_constant=_refuse)
        assert list(shown) == ["experiment", "run", *PARTS]
        assert shown["run"] == listed["runs"][number]
        assert all(tuple(row) == columns for name, columns in PARTS.items() for row in shown[name])
    first = json.loads(invoke(database, "show", "0", "--json").stdout)
    assert [row["end_value"] for row in first["observables"]] == ["inf", "=1\n+1", None]
    assert [row["bytes"] for row in first["files"]] == [5_000_000, 5_000_001]


async def test_purged_files_do_not_look_as_if_they_were_there(store: SqliteRunStore, database: Path) -> None:
    """`show` says when they were removed, and Bluesky documents refer to the others only."""
    await odd_runs(store)
    assert "purged" not in invoke(database, "show", "0").stdout
    execute(
        database,
        "UPDATE files SET purged_at = '2026-11-22T12:00:00.000000Z', checksum = 'sha256:ab' WHERE bytes = 5000000",
    )
    shown = invoke(database, "show", "0").stdout
    assert shown.count(local_time("2026-11-22T12:00:00Z")) == 1
    files = json.loads(invoke(database, "show", "0", "--json").stdout)["files"]
    assert [(row["checksum"], row["purged_at"]) for row in files] == [
        ("sha256:ab", "2026-11-22T12:00:00.000000Z"),
        ("", None),
    ]
    documents = [
        json.loads(line) for line in invoke(database, "export", "0", "--format", "bluesky").stdout.splitlines()
    ]
    assert [its["parameters"]["bytes"] for name, its in documents if name == "stream_resource"] == [5_000_001]


def test_the_keys_for_programs_are_documented() -> None:
    """docs/run-database.md lists them in their order."""
    for name, keys in {"run": RUN, **PARTS}.items():
        [row] = re.findall(rf"^\| `{name}` \| (`.*) \|$", TEXT, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", row)) == keys
