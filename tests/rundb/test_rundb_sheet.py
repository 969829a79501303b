"""Definitions of observables and the view run_sheet."""

from __future__ import annotations

from pathlib import Path

from ioc.model import RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE, execute, rows

NAMES = [
    "experiment",
    "run_number",
    "run_class",
    "title",
    "state",
    "started_at",
    "stopped_at",
    "duration",
    "config_name",
    "bytes",
    "quality",
    "comment",
]


def _columns(database: Path) -> list[str]:
    return [row[1] for row in rows(database, "PRAGMA table_info(run_sheet)")]


def _measured(name: str, begin: float | str | None, end: float | str | None) -> Measurement:
    return Measurement(name, begin, end, Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0))


async def test_the_sheet_has_a_row_per_run_and_a_column_per_observable(store: SqliteRunStore, database: Path) -> None:
    """Each observable shows its value at the begin of the run, else at its end; none is null."""
    await store.define_observables("e1", [PRESSURE, GAS])
    first = (await store.reserve_run("e1", "one", RunClass.Beam, "a/b/c")).run
    second = (await store.reserve_run("e1", "two", RunClass.Junk, "a/b/c")).run
    await store.save_measurements(first, [_measured("pressure", 1.5, 9.0), _measured("target_gas", None, "P10")])
    await store.save_measurements(second, [_measured("pressure", 2.5, None)])
    assert _columns(database) == [*NAMES, "pressure", "target_gas"]
    sheet = rows(database, "SELECT run_number, run_class, title, pressure, target_gas FROM run_sheet")
    assert sheet == [(0, "Beam", "one", 1.5, "P10"), (1, "Junk", "two", 2.5, None)]


async def test_the_sheet_follows_the_observables(store: SqliteRunStore, database: Path) -> None:
    """A new order, a new observable and a retired one change the columns; old values stay."""
    await store.define_observables("e1", [PRESSURE, GAS])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    await store.save_measurements(run, [_measured("pressure", 1.5, None)])
    await store.define_observables("e1", [Observable(name="beam"), GAS])
    assert _columns(database)[len(NAMES) :] == ["beam", "target_gas", "pressure"]
    assert rows(database, "SELECT pressure FROM run_sheet") == [(1.5,)]
    retired = "SELECT name FROM observables WHERE retired_at IS NOT NULL"
    assert rows(database, retired) == [("pressure",)]
    await store.define_observables("e1", [PRESSURE])
    assert rows(database, f"{retired} ORDER BY name") == [("beam",), ("target_gas",)]


async def test_names_that_collide_get_columns_of_their_own(store: SqliteRunStore, database: Path) -> None:
    """An observable called like a column of the run gets a suffix; odd names are quoted; experiments share a column."""
    await store.define_observables("e1", [Observable(name="title"), Observable(name="V-MM")])
    await store.define_observables("e2", [Observable(name="V-MM"), Observable(name="Title")])
    assert _columns(database)[len(NAMES) :] == ["V-MM", "Title_observable"]
    for experiment, value in (("e1", 1.0), ("e2", 2.0)):
        run = (await store.reserve_run(experiment, "", RunClass.Beam, "")).run
        await store.save_measurements(run, [_measured("V-MM", value, None)])
    assert rows(database, 'SELECT experiment, "V-MM" FROM run_sheet') == [("e1", 1.0), ("e2", 2.0)]


async def test_a_name_that_looks_like_a_way_out_gets_one_too(store: SqliteRunStore, database: Path) -> None:
    """Observables `title`, `title_observable` and so on have each a column of its own, with its own values."""
    names = ["title", "title_observable", "Title_Observable_observable", "titles", "observable"]
    await store.define_observables("e1", [Observable(name=name) for name in names])
    run = (await store.reserve_run("e1", "the run's", RunClass.Beam, "")).run
    await store.save_measurements(run, [_measured(name, float(n), None) for n, name in enumerate(names)])
    columns = [
        "title_observable",
        "title_observable_observable",
        "Title_Observable_observable_observable",
        "titles",
        "observable",
    ]
    assert _columns(database)[len(NAMES) :] == columns
    assert rows(database, f"SELECT title, {', '.join(columns)} FROM run_sheet") == [("the run's", 0, 1, 2, 3, 4)]


async def test_a_thousand_observables_fit_on_the_sheet(store: SqliteRunStore, database: Path) -> None:
    """The sheet works with a thousand columns."""
    await store.define_observables("e1", [Observable(name=f"v{number}") for number in range(1000)])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    await store.save_measurements(run, [_measured("v999", 5.0, None)])
    assert rows(database, "SELECT v0, v999 FROM run_sheet") == [(None, 5.0)]


async def test_the_last_rows(store: SqliteRunStore) -> None:
    """The newest runs come first, with units, and with the observables of their own experiment, retired ones last."""
    assert (await store.last_rows("nobody", 9)).rows == ()
    await store.define_observables("e2", [Observable(name="other")])
    await store.define_observables("e1", [PRESSURE, Observable(name="title", units="V")])
    for title in ("one", "two", "three"):
        run = (await store.reserve_run("e1", title, RunClass.Beam, "a/b/c")).run
        await store.save_measurements(run, [_measured("pressure", 1.5, None), _measured("title", 7.0, None)])
    await store.define_observables("e1", [GAS, PRESSURE])
    sheet = await store.last_rows("e1", 2)
    assert [column.name for column in sheet.columns][len(NAMES) :] == ["target_gas", "pressure", "title_observable"]
    about = {column.name: (column.units, column.is_text) for column in sheet.columns}
    assert about["duration"] == ("s", False)
    assert about["pressure"] == ("Torr", False)
    assert about["target_gas"] == ("", True)
    assert about["title_observable"] == ("V", False)
    assert [(row[1], row[3], *row[len(NAMES) :]) for row in sheet.rows] == [
        (2, "three", None, 1.5, 7.0),
        (1, "two", None, 1.5, 7.0),
    ]


async def test_an_observable_that_was_a_number_and_is_a_text(store: SqliteRunStore) -> None:
    """Its column holds texts, because that has room for both."""
    await store.define_observables("e1", [Observable(name="gas", units="%")])
    await store.define_observables("e1", [Observable.model_validate({"name": "gas", "type": "string"})])
    await store.define_observables("e1", [Observable(name="gas", units="%")])
    column = (await store.last_rows("e1", 1)).columns[-1]
    assert (column.name, column.units, column.is_text) == ("gas", "%", True)


async def test_a_sheet_that_was_dropped_comes_back(store: SqliteRunStore, database: Path) -> None:
    """If somebody drops the view, the next start of the IOC makes it again, also with the same observables."""
    await store.define_observables("e1", [PRESSURE])
    execute(database, "DROP VIEW run_sheet")
    await store.define_observables("e1", [PRESSURE])
    assert rows(database, "SELECT pressure FROM run_sheet") == []
