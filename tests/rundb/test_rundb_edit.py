"""``attpc-ioc runs edit``: manual observables and the verdict on a run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ioc.cli.main import main
from ioc.model import DocumentState, RunClass, RunQuality, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.epics import eventually
from tests.rundb.invoking import invoke
from tests.rundb.rows import GAS, complete_run, rows

ENERGY = Observable(name="energy", units="MeV/u")
SHIFT = Observable.model_validate({"name": "shift", "type": "integer"})
Values = tuple[Any, Any, Any, Any, Any]
"""Begin, end, minimum, maximum, mean."""


async def complete(store: SqliteRunStore, observable: Observable, before: Values | None) -> None:
    """Run 0 of e1, which is over, with what an observable did."""
    await store.define_observables("e1", [observable])
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    if before is not None:
        begin, end, minimum, maximum, mean = before
        statistics = Statistics(minimum, maximum, mean, 3, Severity.NO_ALARM, 0.0)
        await store.save_measurements(record.run, [Measurement(observable.name, begin, end, statistics)])
    await store.save_run(replace(record, state=DocumentState.Complete))


def edit(database: Path, setting: str) -> Result:
    return CliRunner().invoke(main, ["runs", "edit", "0", "--database", str(database), "--set", setting])


def stored(database: Path) -> list[Values]:
    return rows(database, "SELECT begin_value, end_value, minimum, maximum, mean FROM measurements")


@pytest.mark.parametrize(
    ("observable", "before", "setting", "after", "change"),
    [
        (ENERGY, (5.0, 5.0, 5.0, 5.0, 5.0), "energy=6", (6.0, 6.0, 6.0, 6.0, 6.0), "from 5.0 to 6.0"),
        (SHIFT, (5, 5, 5.0, 5.0, 5.0), "shift=6", (6, 6, 6.0, 6.0, 6.0), "from 5 to 6"),
        (ENERGY, (5.0, 7.0, 4.0, 7.0, 5.5), "energy=5", (5.0,) * 5, "from 5.0 at the start and 7.0 at the end to 5.0"),
        (ENERGY, (5.0, 5.0, 4.0, 7.0, 5.5), "energy=5", (5.0,) * 5, "from 5.0 (4.0 to 7.0 in the run) to 5.0"),
        (
            ENERGY,
            (None, 7.0, 7.0, 7.0, 7.0),
            "energy=7",
            (7.0,) * 5,
            "from none at the start and 7.0 at the end to 7.0",
        ),
        (ENERGY, None, "energy=7", (7.0,) * 5, "from none to 7.0"),
        (GAS, ("P10", "P10", None, None, None), "target_gas=He", ("He", "He", None, None, None), "from 'P10' to 'He'"),
        (
            GAS,
            ("P10", "He", None, None, None),
            "target_gas=P10",
            ("P10", "P10", None, None, None),
            "from 'P10' at the start and 'He' at the end to 'P10'",
        ),
        (GAS, (5.0, 5.0, 5.0, 5.0, 5.0), "target_gas=5.0", ("5.0", "5.0", None, None, None), "from 5.0 to '5.0'"),
    ],
)
async def test_a_run_agrees_with_itself_afterwards(
    store: SqliteRunStore,
    database: Path,
    *,
    observable: Observable,
    before: Values | None,
    setting: str,
    after: Values,
    change: str,
) -> None:
    """The value is that of the whole run: also minimum, maximum and mean of a number. The event says what it was."""
    await complete(store, observable, before)
    result = edit(database, setting)
    assert (result.exit_code, result.output) == (0, f"run 0 of e1: {observable.name} changed {change}\n")
    assert stored(database) == [after]
    assert rows(database, "SELECT message FROM events") == [(result.output.strip(),)]


@pytest.mark.parametrize(
    ("observable", "before", "setting"),
    [
        (ENERGY, (5.0, 5.0, 5.0, 5.0, 5.0), "energy=5"),
        (SHIFT, (5, 5, 5.0, 5.0, 5.0), "shift=5"),
        (GAS, ("P10", "P10", None, None, None), "target_gas=P10"),
    ],
)
async def test_the_value_that_is_there_changes_nothing(
    store: SqliteRunStore, database: Path, observable: Observable, before: Values, setting: str
) -> None:
    """Setting what it was in the whole run is no change, and no event."""
    await complete(store, observable, before)
    result = edit(database, setting)
    assert (result.exit_code, result.output) == (0, "run 0 of e1: nothing has changed\n")
    assert stored(database) == [before]
    assert rows(database, "SELECT * FROM events") == []


@pytest.mark.parametrize(
    ("observable", "setting", "refusal"),
    [
        (ENERGY, "energy=ten", "must be a finite number"),
        (ENERGY, "energy=1_0", "must be a finite number"),
        (ENERGY, "energy=nan", "must be a finite number"),
        (ENERGY, "energy=1e999", "must be a finite number"),
        (SHIFT, "shift=2.5", "must be a whole number"),
        (SHIFT, "shift=3000000000", "must be a whole number"),
        (GAS, "target_gas=" + "x" * 40, "target_gas"),
        (GAS, "target_gas=a\nb", "must be one line"),
    ],
)
async def test_what_a_put_refuses_edit_refuses(
    store: SqliteRunStore, database: Path, observable: Observable, setting: str, refusal: str
) -> None:
    """A value must fit the type of the observable as that of a put must; nothing changes."""
    await complete(store, observable, None)
    result = edit(database, setting)
    assert result.exit_code == 1
    assert refusal in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert stored(database) == []


async def test_the_samples_stay_what_was_recorded(store: SqliteRunStore, database: Path) -> None:
    """How many samples there were, their severity and gaps are those of the record, which an edit does not change."""
    await complete(store, ENERGY, (5.0, 7.0, 4.0, 7.0, 5.5))
    assert edit(database, "energy=6").exit_code == 0
    assert rows(database, "SELECT samples, worst_severity, disconnected_seconds FROM measurements") == [(3, 0, 0.0)]


async def test_an_account_without_a_name(
    store: SqliteRunStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no entry among the users of the machine edits by the number of the account."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    await complete(store, ENERGY, None)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert edit(database, "energy=6").exit_code == 0
    assert rows(database, "SELECT user FROM events") == [(f"uid {os.getuid()}",)]


async def test_the_verdict_is_edited_listed_and_exported(store: SqliteRunStore, database: Path) -> None:
    """A run is judged later, with a history of who did it; lists and sheets have it."""
    for _ in range(2):
        await complete_run(store, database, await store.reserve_run("e1", "", RunClass.Beam, ""), 1e9, 60.0)
    result = invoke(database, "edit", "0", "--quality", "bad", "--comment", "no gas\nfor an hour")
    changes = [
        "run 0 of e1: comment changed from '' to 'no gas\\nfor an hour'",
        "run 0 of e1: quality changed from 'Unknown' to 'Bad'",
    ]
    assert result.output.splitlines() == changes
    assert rows(database, "SELECT message FROM events WHERE user <> '' AND run_id = 1") == [(each,) for each in changes]
    columns = "run_number, quality, comment"
    stored = [(0, "Bad", "no gas\nfor an hour"), (1, "Unknown", "")]
    assert rows(database, f"SELECT {columns} FROM run_sheet ORDER BY run_number") == stored
    assert [(run["run_number"], run["quality"], run["comment"]) for run in json.loads(exported(database))] == stored
    listed = {quality: invoke(database, "list", "--quality", quality).stdout for quality in ("bad", "unknown", "good")}
    assert {name: len(text.splitlines()) for name, text in listed.items()} == {"bad": 3, "unknown": 3, "good": 2}
    assert "Bad" in listed["bad"]
    page = invoke(database, "show", "0").stdout
    assert "Quality        Bad\n" in page
    assert "Comment        no gas for an hour\n" in page
    assert "quality  Bad    Unknown" in invoke(database, "diff", "0", "1").stdout


def exported(database: Path) -> str:
    return invoke(database, "export", "--format", "json").stdout


async def test_the_ioc_learns_of_an_edit_and_does_not_undo_it(store: SqliteRunStore, database: Path) -> None:
    """The number of changes is another one soon after an edit, and saving the run leaves its verdict as edited."""
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    await complete_run(store, database, record, 1e9, 60.0)
    await store.flush()
    before = store.changes_elsewhere()
    await store.save_verdict(record.run, comment="mine", quality=RunQuality.Check)
    await store.flush()
    assert store.changes_elsewhere() == before, "the IOC's own changes are none of others"
    assert invoke(database, "edit", "0", "--comment", "theirs").exit_code == 0
    await eventually(lambda: store.changes_elsewhere() != before)
    found = await store.get_run(record.run)
    assert found is not None
    assert (found.comment, found.quality) == ("theirs", RunQuality.Check)
    await store.save_verdict(record.run, comment=None, quality=RunQuality.Bad)
    await store.save_run(replace(record, state=DocumentState.Complete, message="m"))
    assert rows(database, "SELECT comment, quality, message FROM runs") == [("theirs", "Bad", "m")]
