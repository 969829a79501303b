"""``attpc-ioc runs adopt`` as a process: runs that are only on the disks get into the database."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.times import from_text
from tests.rundb.rows import rows

COMMAND = Path(sys.executable).parent / "attpc-ioc"
BEGAN = datetime(2026, 11, 22, 12, 0, 0, 500_000).astimezone().timestamp()
STAMP = "2026-11-22T12:00:00.500"


def adopt(database: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "runs", "adopt", "--database", database, *arguments]
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=60, check=False)


def write(path: Path, size: int = 10, at: float = BEGAN + 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Run 7 and 9 of e18008 on two routers, and the backups of their configurations."""
    first, second, backups = (tmp_path / name / "e18008" for name in ("data0", "data1", "backups"))
    for number in (7, 9):
        write(first / f"run_{number:04d}" / f"CoBo0_AsAd0_{STAMP}_0000.graw", 1000, BEGAN + 60)
        write(first / f"run_{number:04d}" / f"CoBo0_AsAd1_{STAMP}_0000.graw", 500, BEGAN + 90)
        write(second / f"run_{number:04d}" / f"MuTanT_{STAMP}_0000.graw", 50)
        for step, name in (("describe", "front"), ("prepare", "e20"), ("configure", "e20")):
            write(backups / f"run_{number:04d}" / f"{step}-{name}.xcfg")
    write(first / "run_0007" / "._CoBo0.graw")
    write(first / "run_0007" / "notes.txt")
    (second / "run_0009" / "below.graw").mkdir()
    return first, second, backups


def test_runs_get_into_a_new_database(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """Each has its files of all routers with sizes, the times that they tell, and a mark with who entered it."""
    database = tmp_path / "runs.db"
    done = adopt(database, *places, "--class", "production")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"2 runs of e18008 added to {database}; the next run is 10"
    columns = "run_number, run_class, title, state, config_name, bytes, duration"
    assert rows(database, f"SELECT {columns} FROM runs ORDER BY id") == [
        (number, "Production", "", "complete", "front/e20/e20", 1550, 3600.0) for number in (7, 9)
    ]
    [(reserved, started, stopped, adopted)] = rows(
        database, "SELECT reserved_at, started_at, stopped_at, adopted_at FROM runs WHERE run_number = 7"
    )
    assert (from_text(started), from_text(stopped)) == (BEGAN, BEGAN + 3600)
    assert reserved <= started
    assert adopted > stopped
    files = "SELECT path, files.bytes, source, router FROM files JOIN runs ON runs.id = run_id WHERE run_number = 7"
    assert rows(database, f"{files} ORDER BY path") == [
        (f"{places[0]}/run_0007/CoBo0_AsAd0_{STAMP}_0000.graw", 1000, "CoBo[0]", ""),
        (f"{places[0]}/run_0007/CoBo0_AsAd1_{STAMP}_0000.graw", 500, "CoBo[0]", ""),
        (f"{places[1]}/run_0007/MuTanT_{STAMP}_0000.graw", 50, "", ""),
    ]
    events = rows(database, "SELECT source, message, host, user <> '' FROM events ORDER BY id")
    assert events[0] == (
        "runs adopt",
        f"run 7 of e18008: adopted with 3 files from {', '.join(f'{each}/run_0007' for each in places)}",
        "localhost",
        1,
    )
    assert (
        "Adopted  "
        in subprocess.run(
            [COMMAND, "runs", "show", "7", "--database", database], capture_output=True, text=True, check=True
        ).stdout
    )


def test_a_dry_run_changes_nothing(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """It shows the runs with what they have, and makes no file."""
    database = tmp_path / "runs.db"
    done = adopt(database, "--dry-run", *places)
    heading, seven, nine, summary = done.stdout.splitlines()
    assert heading.split() == ["run", "began", "ended", "files", "size", "configuration", "directories"]
    assert seven.split()[0:1] + seven.split()[5:9] == ["7", "3", "1.6", "kB", "front/e20/e20"]
    assert nine.startswith("9 ")
    assert summary == f"2 runs of e18008 would be added to {database}; the next run is 10"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backups", "data0", "data1"]


async def test_the_router_is_the_one_of_the_topology(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """With the topology, each file has the router that writes the data of its source."""
    topology = (Path(__file__).parents[2] / "topology.yaml").read_text()
    path = tmp_path / "topology.yaml"
    path.write_text(topology.replace("database: ", f"database: {tmp_path / 'runs.db'} # "))
    subprocess.run([COMMAND, "runs", "adopt", "--topology", path, *places], check=True, capture_output=True)
    found = rows(tmp_path / "runs.db", "SELECT DISTINCT source, router FROM files ORDER BY source")
    assert found == [("CoBo[0]", "data0"), ("Mutant[master]", "mutant")]


async def test_an_existing_database_goes_on_after_them(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """The next number is after the highest run, adopted or not; a run of one directory can be named alone."""
    database = tmp_path / "runs.db"
    store = await SqliteRunStore.open(database)
    await store.reserve_run("e18008", "mine", RunClass.Beam, "", at_least=8)
    await store.close()
    assert adopt(database, places[0] / "run_0007").stdout.splitlines()[-1].endswith("the next run is 9")
    assert adopt(database, places[0] / "run_0009").stdout.splitlines()[-1].endswith("the next run is 10")
    store = await SqliteRunStore.open(database)
    assert (await store.reserve_run("e18008", "", RunClass.Beam, "")).run.number == 10
    await store.close()
    assert rows(database, "SELECT run_number, adopted_at IS NULL FROM runs ORDER BY run_number") == [
        (7, 0),
        (8, 1),
        (9, 0),
        (10, 1),
    ]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """Known runs and files, odd names, directories without runs: one line each, and nothing is entered."""
    database = tmp_path / "runs.db"
    assert adopt(database, places[0] / "run_0007").returncode == 0
    (places[1] / "run_12").mkdir()
    (places[1] / "run_00099").mkdir()
    (tmp_path / "empty").mkdir()
    before = rows(database, "SELECT * FROM runs")
    for dry in ([], ["--dry-run"]):
        done = adopt(database, *places, tmp_path / "empty", tmp_path / "nowhere", "--experiment", "e18008", *dry)
        assert (done.returncode, done.stdout) == (1, "")
        odd = "must be named run_NNNN after its number, such as run_0012: rename or move it"
        assert done.stderr.splitlines() == [
            f"error: {places[1]}/run_00099 {odd}",
            f"error: {places[1]}/run_12 {odd}",
            f"error: {tmp_path}/empty has no directory run_NNNN: name the directory of an experiment, or that of a run",
            f"error: {tmp_path}/nowhere cannot be read: No such file or directory",
            "error: run 7 of e18008 is in the database already: it is complete",
        ]
    again = adopt(database, places[0] / "run_0007", "--experiment", "other")
    assert again.stderr.splitlines()[0] == (
        f"error: {places[0]}/run_0007/CoBo0_AsAd0_{STAMP}_0000.graw is in the database already: "
        "it belongs to run 7 of e18008"
    )
    assert rows(database, "SELECT * FROM runs") == before


@pytest.mark.parametrize("name", ["run_00099", "run_1000000000", "run_2147483648"])
def test_a_directory_of_a_run_is_checked_as_those_of_an_experiment(tmp_path: Path, name: str) -> None:
    """Named directly, it must have the name that filing gives it, too."""
    place = write(tmp_path / "e18008" / name / "a.graw").parent
    done = adopt(tmp_path / "runs.db", place)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {place} must be named run_NNNN after its number, such as run_0012: rename or move it\n"
    )


@pytest.mark.parametrize("stamp", ["2026-02-30T12:00:00", "0000-01-01T00:00:00", "0001-01-01T00:00:00"])
def test_an_impossible_time_in_a_file_name_is_unknown(tmp_path: Path, stamp: str) -> None:
    """The run is entered without the time of its start."""
    place = write(tmp_path / "e18008" / "run_0007" / f"CoBo0_AsAd0_{stamp}_0000.graw").parent
    done = adopt(tmp_path / "runs.db", place)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(tmp_path / "runs.db", "SELECT run_number, started_at IS NULL FROM runs") == [(7, 1)]


def test_directories_of_two_experiments_are_refused(tmp_path: Path, places: tuple[Path, ...]) -> None:
    """Which experiment is meant is never guessed; --experiment says it."""
    other = write(tmp_path / "copy" / "run_0011" / "a.graw").parent
    done = adopt(tmp_path / "runs.db", places[0], other)
    assert done.returncode == 1
    assert done.stderr == "error: the directories are of experiments e18008, copy, but must be of one: --experiment\n"
    assert adopt(tmp_path / "runs.db", places[0], other, "--experiment", "e18008").returncode == 0
    assert rows(tmp_path / "runs.db", "SELECT run_number, started_at IS NULL, duration FROM runs WHERE bytes = 10") == [
        (11, 1, None)
    ]


async def test_not_while_an_ioc_uses_the_database(
    store: SqliteRunStore, database: Path, places: tuple[Path, ...]
) -> None:
    """The IOC would go on with the number that it knows."""
    done = adopt(database, *places)
    assert done.returncode == 1
    assert "is in use by another IOC" in done.stderr
    assert rows(database, "SELECT * FROM runs") == []
