"""What the IOC and commands ask the run database, and the lines of the run sheet, do not slow down as it grows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from ioc.model import RunClass, RunId, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore, cards, checksums, documents
from ioc.rundb.queries import find_experiment
from ioc.rundb.run_sheet import last_rows
from ioc.rundb.writing import open_for_editing
from ioc.topology.schema import Observable
from tests.rundb.invoking import invoke
from tests.rundb.rows import GAS, PRESSURE, execute

FEW, MANY = 20, 2000
ASKED: dict[str, Callable[[Database], Any]] = {
    "the last run, at a start of the IOC": lambda db: documents.last_run(db, "e1"),
    "the newest runs, for the PVs": lambda db: documents.last_runs(db, "e1", 5),
    "the newest rows of the run sheet, for the table": lambda db: last_rows(db, "e1", 5),
    "the highest run numbers on the run sheet, in the browser": lambda db: db.execute(
        "SELECT * FROM run_sheet ORDER BY run_number DESC LIMIT 5"
    ).fetchall(),
    "the next number, at a start of a run": lambda db: documents.reserve_run(db, "e1", "", RunClass.Beam, ""),
    "one run": lambda db: documents.get_run(db, RunId("e1", 3)),
    "the open runs, at a start of the IOC": documents.unfinished_runs,
    "the bytes without checksum": checksums.backlog,
    "the next files without checksum": lambda db: checksums.due_files(db, [("h", "r")], [], 5),
    "the experiment, in a command": lambda db: find_experiment(db, Path("runs.db"), None, None),
    "the cards that are due": cards.due,
    "the cards that an earlier process was writing": cards.resume,
}


def grow(database: Path, until: int) -> None:
    execute(
        database,
        "WITH RECURSIVE n (n) AS (SELECT (SELECT count(*) FROM runs) UNION ALL SELECT n + 1 FROM n "
        f"WHERE n + 1 < {until}) INSERT INTO runs (experiment_id, run_number, run_class, state, reserved_at) "
        "SELECT 1, n, 'Beam', 'complete', '2026-11-01T00:00:00.000000Z' FROM n",
    )
    execute(
        database,
        "INSERT INTO files (run_id, router, host, path, bytes, moved_at, checksum) SELECT id, 'r', 'h', id, 5, '', 'x' "
        "FROM runs WHERE id NOT IN (SELECT run_id FROM files)",
    )
    execute(database, "UPDATE files SET checksum = iif(id > (SELECT max(id) FROM files) - 10, '', 'x')")
    execute(database, "UPDATE runs SET state = iif(run_number = 3, 'running', 'complete')")
    execute(database, "UPDATE runs SET card_due = 0")


def steps(database: Path, function: Callable[[Database], Any]) -> int:
    """How many of SQLite's instructions a function takes."""
    counted: list[None] = []
    with closing(open_for_editing(database)) as db:
        function(db)  # the first time also reads the schema
        db.conn.set_progress_handler(lambda: counted.append(None), 1)
        function(db)
    return len(counted)


async def test_what_the_ioc_asks(store: SqliteRunStore, database: Path) -> None:
    """It takes as many steps with a hundred times as many runs and files, of which ten have no checksum."""
    await store.define_observables("e1", [PRESSURE, GAS])
    await store.reserve_run("e1", "", RunClass.Beam, "")
    grow(database, FEW)
    before = {what: steps(database, function) for what, function in ASKED.items()}
    grow(database, MANY)
    after = {what: steps(database, function) for what, function in ASKED.items()}
    assert min(before.values()) > 0
    assert {what: number for what, number in after.items() if number > before[what] + FEW} == {}


async def test_the_same_observables_again(store: SqliteRunStore, database: Path) -> None:
    """A start of the IOC takes as many steps however many experiments and observables there are besides."""
    await store.define_observables("e1", [PRESSURE, GAS])

    def again(db: Database) -> None:
        documents.define_observables(db, "e1", [PRESSURE, GAS])

    before = steps(database, again)
    for number in range(2, 12):
        await store.define_observables(f"e{number}", [PRESSURE, *(Observable(name=f"o{each}") for each in range(50))])
    assert steps(database, again) <= before + FEW


NONE = Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ((1.5, None), (2.5, None), "1.5"),
        ((None, None), (2.5, None), "2.5"),
        ((None, 3.5), (2.5, 4.5), "3.5"),
        ((None, None), (None, None), ""),
        (None, (2.5, None), "2.5"),
        ((1.5, None), None, "1.5"),
        (None, None, ""),
    ],
)
async def test_an_observable_that_was_defined_again_in_a_run(
    store: SqliteRunStore,
    database: Path,
    first: tuple[float | None, float | None] | None,
    second: tuple[float | None, float | None] | None,
    shown: str,
) -> None:
    """On the sheet its first definition with a value counts; the other observables keep their places."""
    measured: list[Measurement] = []
    for pv, values in (("A", first), ("B", second)):
        ids = await store.define_observables("e1", [Observable(name="p", pv=pv), GAS, Observable(name="last")])
        if values is not None:
            measured.append(Measurement("p", *values, NONE, observable_id=ids["p"]))
    measured += [Measurement("target_gas", "P10", None, NONE), Measurement("last", 9.0, None, NONE)]
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    await store.save_measurements(run, measured)
    other = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    await store.save_measurements(other, [Measurement("last", 8.0, None, NONE)])
    result = invoke(database, "export")
    lines = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert [(line["p"], line["target_gas"], line["last"]) for line in lines] == [(shown, "P10", "9.0"), ("", "", "8.0")]
