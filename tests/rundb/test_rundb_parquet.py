# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false, reportUnknownArgumentType=false
"""Parquet files, read back with pyarrow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ioc.cli import parquet
from ioc.cli.main import main
from ioc.model import DocumentState, RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE, reading

BEGAN = 1795350000.25
NONE = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
COUNT = Observable.model_validate({"name": "count", "type": "integer"})


def written(database: Path, *command: str) -> Path:
    output = database.parent / "out.parquet"
    asked = ["runs", *command, "--database", str(database), "--format", "parquet", "--output", str(output)]
    result = CliRunner().invoke(main, asked)
    assert (result.exit_code, result.output) == (0, "")
    return output


FIGURES = [f"{name}.{figure}" for name in ("pressure", "count") for figure in ("minimum", "mean", "maximum")]


async def test_the_run_sheet_keeps_types_and_units(store: SqliteRunStore, database: Path) -> None:
    """Numbers are numbers, times are times in UTC, units are in the column's metadata, what is not known is null."""
    await store.define_observables("e1", [PRESSURE, GAS, COUNT])
    first = await store.reserve_run("e1", "a, b", RunClass.Beam, "x/y/z")
    await store.reserve_run("e1", "", RunClass.Junk, "")
    measured = (("pressure", 1.5), ("target_gas", "P10"), ("count", 7))
    await store.save_measurements(first.run, [Measurement(name, value, None, NONE) for name, value in measured])
    await store.save_run(replace(first, state=DocumentState.Complete, started_at=BEGAN, stopped_at=BEGAN + 1))
    table = pq.read_table(written(database, "export"))
    assert table.to_pylist() == [
        {
            "run_number": 0,
            "run_class": "Beam",
            "title": "a, b",
            "state": "complete",
            "started_at": datetime.fromtimestamp(BEGAN, UTC),
            "stopped_at": datetime.fromtimestamp(BEGAN + 1, UTC),
            "duration": 1.0,
            "config_name": "x/y/z",
            "bytes": 0,
            "quality": "Unknown",
            "comment": "",
            "pressure": 1.5,
            "target_gas": "P10",
            "count": 7,
            **dict.fromkeys(FIGURES),
        },
        {
            "run_number": 1,
            "run_class": "Junk",
            "title": "",
            "state": "starting",
            "started_at": None,
            "stopped_at": None,
            "duration": None,
            "config_name": "",
            "bytes": 0,
            "quality": "Unknown",
            "comment": "",
            "pressure": None,
            "target_gas": None,
            "count": None,
            **dict.fromkeys(FIGURES),
        },
    ]
    assert table.schema.field("pressure").metadata == {b"units": b"Torr"}


async def test_an_observable_called_like_a_column_of_the_run(store: SqliteRunStore, database: Path) -> None:
    """Both are there, under the names that they have in the view `run_sheet`."""
    await store.define_observables("e1", [Observable.model_validate({"name": "title", "type": "string"})])
    run = (await store.reserve_run("e1", "the run's", RunClass.Beam, "")).run
    await store.save_measurements(run, [Measurement("title", "the observable's", None, NONE)])
    (row,) = pq.read_table(written(database, "export")).to_pylist()
    assert (row["title"], row["title_observable"]) == ("the run's", "the observable's")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([7, None, 2**62], [7, None, 2**62]),
        ([7, math.inf, None], [7.0, math.inf, None]),
        ([7, 1.5], [7.0, 1.5]),
        ([7, "seven", 1e300], [7.0, None, 1e300]),
        ([7, "seven"], [7, None]),
    ],
)
async def test_what_is_no_whole_number_among_integers(
    store: SqliteRunStore, database: Path, values: list[float | str | None], read: list[float | None]
) -> None:
    """A column of integers becomes one of floats if a run has another number; a text, of another type once, is null."""
    await store.define_observables("e1", [COUNT])
    for value in values:
        run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
        await store.save_measurements(run, [Measurement("count", value, None, NONE)])
    assert [repr(each) for each in pq.read_table(written(database, "export"))["count"].to_pylist()] == [
        repr(each) for each in read
    ]


def test_a_wide_sheet_is_written_in_parts(tmp_path: Path) -> None:
    """Hundreds of columns: rows go to the file before the last one is read, so memory does not grow with the runs."""
    output, most, row = tmp_path / "out.parquet", 15_000, (1.5,) * 400
    schema = pa.schema([(f"v{number}", pa.float64()) for number in range(len(row))])
    sizes: list[int] = []

    def rows() -> Iterator[tuple[float, ...]]:
        for _ in range(most):
            yield row
        sizes.append(output.stat().st_size)

    parquet.write_tables(parquet.arrow(), schema, parquet.tables_of(pa, schema, rows()), output)
    assert sizes[0] > 1000
    assert pq.read_metadata(output).num_rows == most


async def test_samples_keep_numbers_texts_and_gaps(store: SqliteRunStore, database: Path) -> None:
    """A number is in `value`, a text in `text`, a gap in neither; more than one batch of rows is written whole."""
    await store.define_observables("e1", [PRESSURE, GAS])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    many = 150_000
    store.add_samples("e1", run, [reading(float(number), BEGAN + number / 1000) for number in range(many)])
    store.add_samples("e1", run, [reading(math.inf, BEGAN + 900), reading(None, BEGAN + 901)])
    store.add_samples("e1", run, [reading("P10", BEGAN, "target_gas")])
    await store.flush()
    table = pq.read_table(written(database, "samples", "0"))
    assert table.num_rows == many + 3
    assert table["value"].to_pylist()[:many] == [float(number) for number in range(many)]
    rows = table.slice(many).to_pylist()
    assert [(row["observable"], row["value"], row["text"], row["severity"], row["status"]) for row in rows] == [
        ("pressure", math.inf, None, 0, "NO_ALARM"),
        ("pressure", None, None, 3, "disconnected"),
        ("target_gas", None, "P10", 0, "NO_ALARM"),
    ]
    assert rows[0]["sampled_at"] == datetime.fromtimestamp(BEGAN + 900, UTC)
