"""The examples of docs/run-database.md do what the text beside them says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.model import DocumentState, RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from tests.rundb.rows import PRESSURE, reading, rows

PAGE = (Path(__file__).parents[2] / "docs" / "run-database.md").read_text()
BEGAN = 1_795_350_000.0


@pytest.fixture
async def database_of_two(store: SqliteRunStore, database: Path) -> Path:
    """Runs 0 to 12 of e18008, longer and longer, every other one with a gap, and those of another experiment."""
    for experiment, longer in (("e18008", 0.0), ("another", 1000.0)):
        await store.define_observables(experiment, [PRESSURE])
        for number in range(13):
            record = await store.reserve_run(experiment, f"run {number}", RunClass.Beam, "")
            gap = 0.0 if number % 2 else 1.5
            figures = Statistics(None, None, None, 2, Severity.NO_ALARM, gap)
            await store.save_measurements(record.run, [Measurement("pressure", number + longer, None, figures)])
            ended = BEGAN + longer + number
            await store.save_run(replace(record, state=DocumentState.Complete, started_at=BEGAN, stopped_at=ended))
            store.add_samples(experiment, record.run, [reading(longer, BEGAN + 60), reading(longer + 1, BEGAN)])
    await store.flush()
    return database


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


async def test_the_examples_of_sql(database_of_two: Path) -> None:
    """Each statement is about one experiment only."""
    pressures, longest = (each for each in blocks("sql").split(";") if each.strip())
    assert [row[0] for row in rows(database_of_two, pressures)] == list(range(13))
    assert [row[-1] for row in rows(database_of_two, pressures)] == [float(number) for number in range(13)]
    found: list[tuple[Any, ...]] = rows(database_of_two, longest)
    assert found == [(11, 11.0)]


async def test_the_example_of_pandas(database_of_two: Path) -> None:
    """The samples are those of one run of one experiment, by time."""
    (query,) = re.findall(r'"""(.*?)"""', blocks("python"), re.DOTALL)
    found = rows(database_of_two, query)
    assert [value for _, value in found] == [1.0, 0.0]
    assert found == sorted(found)
