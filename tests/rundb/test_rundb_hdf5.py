"""HDF5 files, read back with h5py and checked with NeXus' own definitions."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

from ioc.model import Reading, RunClass, Severity
from ioc.rundb import SqliteRunStore
from tests.rundb.invoking import invoke
from tests.rundb.odd_runs import BEGAN, EXPERIMENT, TITLE, odd_runs
from tests.rundb.rows import PRESSURE, reading


def written(database: Path, *arguments: str) -> Path:
    output = database.parent / "runs.h5"
    result = invoke(database, "export", "--format", "hdf5", "--output", str(output), *arguments)
    assert (result.exit_code, result.output) == (0, "")
    return output


def text(dataset: Any) -> str:
    return dataset.asstr()[()]


async def test_a_run_is_an_entry_with_logs(store: SqliteRunStore, database: Path) -> None:
    """Times, titles, samples, statistics and files of a run are there with the names of NeXus."""
    await odd_runs(store)
    with h5py.File(written(database)) as file:
        assert list(file) == ["run_0000", "run_0001", "run_0002", "run_0003", "run_0004"]
        assert file.attrs["NX_class"] == "NXroot"
        entry: Any = file["run_0000"]
        assert entry.attrs["NX_class"] == "NXentry"
        assert text(entry["title"]) == TITLE
        assert (text(entry["entry_identifier"]), text(entry["collection_identifier"])) == ("0", EXPERIMENT)
        assert (text(entry["start_time"]), text(entry["end_time"])) == (
            "2026-11-22T12:20:00.250000Z",
            "2026-11-22T12:21:00.250000Z",
        )
        assert (entry["duration"][()], entry["duration"].attrs["units"]) == (60250, "ms")
        assert entry["run_sheet/duration"][()] == 60.25
        assert text(entry["run_sheet/run_class"]) == "Beam"
        log = entry["observables/pressure"]
        assert log.attrs["NX_class"] == "NXlog"
        assert (log["value"].attrs["units"], log["time"].attrs["units"]) == ("Torr", "s")
        assert log["time"].attrs["start"] == "2026-11-22T12:20:00.250000Z"
        assert log["time"][:].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert list(map(repr, log["value"][:].tolist())) == ["1.5", "nan", "2.5", "inf", "nan"]
        assert log["alarm_status"].asstr()[:].tolist()[:2] == ["NO_ALARM", "disconnected"]
        figures = [log[name][()] for name in ("minimum_value", "average_value", "maximum_value")]
        assert figures == [1.5, 1.75, 2.5]
        assert entry["observables/count/value"][:].tolist() == [5, 2**60]
        assert entry["observables/target_gas/value"].asstr()[:].tolist() == ["P10", "=1\n+1"]
        statistics = entry["statistics"]
        assert statistics["name"].asstr()[:].tolist() == ["pressure", "target_gas", "count"]
        assert math.isnan(statistics["mean"][1])
        assert statistics["begin_text"].asstr()[:].tolist() == ["", "P10", ""]
        assert entry["files/bytes"][:].tolist() == [5_000_000, 5_000_001]
        failed: Any = file["run_0002"]
        assert "start_time" not in failed, "it never ran"


async def test_nexus_finds_no_error(store: SqliteRunStore, database: Path) -> None:
    """The checker of nexusformat has neither errors nor warnings about odd runs."""
    await odd_runs(store)
    command = [sys.executable, "-m", "nexusformat.scripts.nxcheck", written(database)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert re.findall(r"Total number of (\w+): (\d+)", done.stdout) == [("warnings", "0"), ("errors", "0")], done.stdout


async def test_many_samples_are_written_in_portions(store: SqliteRunStore, database: Path) -> None:
    """None of 40,000 samples is lost or doubled."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(float(number), BEGAN + number / 1000) for number in range(40_000)])
    await store.flush()
    with h5py.File(written(database)) as file:
        log: Any = file["run_0000/observables/pressure"]
        assert log["value"][:].tolist() == list(map(float, range(40_000)))
        assert len(log["alarm_status"]) == 40_000


async def test_a_redefined_observable_has_two_logs(store: SqliteRunStore, database: Path) -> None:
    """Samples before and after a change of units in a run do not share a log."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(1.0, BEGAN)])
    await store.flush()
    await store.define_observables("e1", [PRESSURE.model_copy(update={"units": "mbar"})])
    store.add_samples("e1", run, [reading(2.0, BEGAN + 1)])
    await store.flush()
    with h5py.File(written(database)) as file:
        logs: Any = file["run_0000/observables"]
        assert {name: logs[name]["value"].attrs["units"] for name in logs} == {"pressure": "mbar", "pressure_2": "Torr"}


async def test_an_alarm_status_in_any_letters(store: SqliteRunStore, database: Path) -> None:
    """Its bytes are counted, not its letters: none is cut off."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [Reading("pressure", 1.0, Severity.MAJOR, "überhöht: µΩ", BEGAN)])
    await store.flush()
    with h5py.File(written(database)) as file:
        statuses: Any = file["run_0000/observables/pressure/alarm_status"]
        assert statuses.asstr()[:].tolist() == ["überhöht: µΩ"]


async def test_hdf5_needs_a_file(store: SqliteRunStore, database: Path) -> None:
    """Standard output cannot hold it."""
    await odd_runs(store)
    for arguments in ((), ("--output", "-")):
        result = invoke(database, "export", "--format", "hdf5", *arguments)
        assert (result.exit_code, "--format hdf5 needs --output FILE" in result.stderr) == (2, True)


@pytest.mark.parametrize("form", ["hdf5", "bluesky"])
async def test_there_is_no_choice_of_statistics_where_all_are(store: SqliteRunStore, database: Path, form: str) -> None:
    """--statistic is for sheets only."""
    await odd_runs(store)
    result = invoke(database, "export", "--format", form, "--statistic", "mean", "--output", "/nowhere/x")
    assert (result.exit_code, f"--format {form} has all statistics: leave out --statistic" in result.stderr) == (
        2,
        True,
    )


async def test_the_example_of_the_page(
    store: SqliteRunStore, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/run-database.md shows how to read the samples of an observable."""
    page = (Path(__file__).parents[2] / "docs" / "run-database.md").read_text()
    [program] = (
        each for each in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "h5py" in each
    )
    await odd_runs(store)
    written(database)
    monkeypatch.chdir(database.parent)
    exec(program)
    assert capsys.readouterr().out == "[1.5 nan 2.5] Torr from 2026-11-22T12:20:00.250000Z\n"
