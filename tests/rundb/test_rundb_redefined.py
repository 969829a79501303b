"""What is seen of runs whose observables have another unit, type or source today."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ioc.model import DocumentState, RunClass, Severity, Statistics, ValueType
from ioc.rundb import Measurement, SqliteRunStore
from tests.rundb.invoking import invoke
from tests.rundb.rows import PRESSURE, reading, rows

ENERGY = PRESSURE.model_copy(update={"name": "energy", "pv": None, "units": "MeV", "label": ""})
NOW = (
    PRESSURE.model_copy(update={"units": "mbar"}),
    ENERGY.model_copy(update={"type": ValueType.String, "units": ""}),
)
NOTHING = Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)


@pytest.fixture
async def changed(store: SqliteRunStore) -> SqliteRunStore:
    """Run 0 with pressure in Torr and energy as a number; in run 1 the topology changed: mbar, and a text."""
    await store.define_observables("e1", [PRESSURE, ENERGY])
    for number, values in enumerate(((760.0, 4.5), (750.0, 4.5))):
        record = await store.reserve_run("e1", "", RunClass.Beam, "")
        figures = [
            Measurement(name, value, None, NOTHING) for name, value in zip(("pressure", "energy"), values, strict=True)
        ]
        await store.save_measurements(record.run, figures)
        store.add_samples("e1", record.run, [reading(values[0], 1e9 + number)])
        if number:
            await store.define_observables("e1", NOW)
            later = [Measurement("pressure", 1000.0, None, NOTHING), Measurement("energy", "5 MeV", None, NOTHING)]
            await store.save_measurements(record.run, later)
            store.add_samples("e1", record.run, [reading(1000.0, 1e9 + 5)])
            await store.flush()
        await store.save_run(replace(record, state=DocumentState.Complete))
    return store


async def test_values_of_two_units_are_in_two_columns(changed: SqliteRunStore, database: Path) -> None:
    """In the run sheet as CSV no column has values of two units; JSON names the units of each value."""
    lines = list(csv.DictReader(io.StringIO(invoke(database, "export").stdout)))
    assert [(line["pressure [Torr]"], line["pressure"]) for line in lines] == [("760.0", ""), ("750.0", "1000.0")]
    assert [(line["energy [MeV]"], line["energy"]) for line in lines] == [("4.5", ""), ("4.5", "5 MeV")]
    runs = json.loads(invoke(database, "export", "--format", "json").stdout)
    assert runs[0]["observables"]["pressure"] == {
        "value": 760.0,
        "units": "Torr",
        "minimum": None,
        "mean": None,
        "maximum": None,
    }


async def test_parquet_has_a_column_for_each_unit(changed: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """The Parquet file of the run sheet can be read, with a column for each unit."""
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "sheet.parquet"
    assert invoke(database, "export", "--format", "parquet", "--output", str(target)).exit_code == 0
    table = parquet.read_table(target).to_pydict()
    assert (table["pressure"], table["pressure [Torr]"]) == ([None, 1000.0], [760.0, 750.0])


async def test_a_run_shows_what_it_had(changed: SqliteRunStore, database: Path) -> None:
    """`show` and `samples` have the units of the time; a run in which they changed has both."""
    assert "760" in invoke(database, "show", "0").stdout
    assert "mbar" not in invoke(database, "show", "0").stdout
    samples = list(csv.DictReader(io.StringIO(invoke(database, "samples", "1").stdout)))
    assert {(each["units"], each["value"]) for each in samples} == {("Torr", "750.0"), ("mbar", "1000.0")}
    sheet = rows(database, "SELECT run_number, pressure, energy FROM run_sheet")
    assert [row[0] for row in sheet] == [0, 1]
    assert sheet[0][1:] == (760.0, 4.5)


async def test_edit_takes_an_observable_as_it_was(changed: SqliteRunStore, database: Path) -> None:
    """A value of an old run is that of the type it had then."""
    assert invoke(database, "edit", "0", "--set", "energy=P10").exit_code == 1
    assert invoke(database, "edit", "0", "--set", "energy=6").exit_code == 0
    found = "SELECT begin_value, units FROM measurements JOIN observables ON id = observable_id WHERE run_id = 1"
    assert rows(database, f"{found} AND name = 'energy'") == [(6.0, "MeV")]
