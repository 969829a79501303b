"""The run card: its schema, when it is due, and the way back from cards to a database."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import tempfile
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ioc.model import DocumentState, Event, FiledFile, RunClass, RunId, RunRecord, Severity, Statistics
from ioc.rundb import SqliteRunStore, cards
from ioc.rundb.card_model import json_schema
from ioc.rundb.connection import open_for_reading
from ioc.rundb.documents import Measurement
from ioc.rundb.times import to_text
from tests.rundb.invoking import invoke
from tests.rundb.rows import GAS, PRESSURE, execute, rows

PAGE = Path(__file__).parents[2] / "docs" / "run-card.md"
SCHEMA = json.loads(files("ioc.rundb").joinpath("run-card.schema.json").read_text())
VALID = Draft202012Validator(SCHEMA, format_checker=None)
TITLES = ["", "Kr", 'a "b" \\ c', "µ 日本 🚀 \u2028", "=1+1", "\x00\x1b[31m", "x" * 200, "<script>", "\ud800"]


async def complete(store: SqliteRunStore, experiment: str = "e1", title: str = "Kr", count: int = 1) -> RunRecord:
    """A complete run with files."""
    record = await store.reserve_run(experiment, title, RunClass.Beam, "a/b/c")
    for number in range(count):
        path = f"/data{number}/{experiment}/run_{record.run.number:04d}/CoBo{number}.graw"
        await store.add_files(record.run, FiledFile("data0", "h0", path, 10, time.time(), "CoBo[0]"))
    done = record.changed(state=DocumentState.Complete, started_at=time.time(), stopped_at=time.time() + 60)
    await store.save_run(done)
    return done


def card_of(database: Path, number: int, experiment: str = "e1") -> dict[str, Any]:
    """The card that the command prints, which must be valid."""
    result = invoke(database, "card", str(number), "--experiment", experiment)
    assert result.exit_code == 0, result.output
    card = json.loads(result.stdout)
    VALID.validate(card)
    return card


def all_cards(database: Path) -> dict[RunId, bytes]:
    """Every card of a database."""
    with closing(open_for_reading(database)) as db:
        found = (cards.card_of(db, run_id) for (run_id,) in db.execute("SELECT id FROM runs").fetchall())
        return {card.run: card.content for card in found}


def put(place: Path, found: dict[RunId, bytes]) -> None:
    """Write cards as hosts have them."""
    for run, text in found.items():
        path = place / run.directory / cards.file_name(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def test_the_schema_in_the_package_is_that_of_the_model() -> None:
    """The file is made from the model; it is a valid schema of JSON Schema 2020-12."""
    assert json_schema() == SCHEMA
    Draft202012Validator.check_schema(SCHEMA)


def test_the_page_names_every_field() -> None:
    """docs/run-card.md has a row for each field of the schema, and no other."""
    text = PAGE.read_text()
    sections = {part.split("`", 1)[0]: part for part in re.split(r"^### `", text, flags=re.MULTILINE)[1:]}
    parts = {"run": SCHEMA, **dict(SCHEMA["$defs"].items())}
    names = {
        "run": "run",
        **{_definition(each): key for key, each in SCHEMA["properties"].items() if _definition(each)},
    }
    names["Copy"] = "copies"
    assert {names[part] for part in parts} == set(sections)
    for part, schema in parts.items():
        documented = re.findall(r"^\| `(\w+)` \|", sections[names[part]], flags=re.MULTILINE)
        assert documented == list(schema["properties"])


def _definition(field: dict[str, Any]) -> str:
    return field.get("items", {}).get("$ref", "").rpartition("/")[2]


@pytest.mark.parametrize("title", TITLES)
async def test_any_text_is_on_the_card(store: SqliteRunStore, database: Path, title: str) -> None:
    """Odd titles, comments and names of files come back from the JSON as the database has them."""
    record = await complete(store, title=title)
    await store.save_verdict(record.run, comment=title + "\n" + title, quality=None)
    await store.add_files(record.run, FiledFile("data0", "h0", f"/d/{title}.graw", 1, time.time()))
    card = card_of(database, 0)
    [(stored, comment)] = rows(database, "SELECT title, comment FROM runs")
    assert (card["title"], card["comment"]) == (stored, comment)
    assert [file["path"] for file in card["files"]] == [path for (path,) in rows(database, "SELECT path FROM files")]


async def test_what_is_no_number_is_null(store: SqliteRunStore, database: Path) -> None:
    """NaN and infinities are null; large numbers, zero and texts are as they are."""
    await store.define_observables("e1", [PRESSURE, GAS])
    record = await complete(store)
    none = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
    odd = Statistics(-math.inf, math.inf, math.nan, 3, Severity.INVALID, 0.0)
    await store.save_measurements(
        record.run,
        [
            Measurement("pressure", math.inf, 2**62, odd),
            Measurement("target_gas", "P5", "=H2", none),
        ],
    )
    pressure, gas = card_of(database, 0)["observables"]
    assert [pressure[each] for each in ("begin_value", "end_value", "minimum", "maximum", "mean")] == [
        None,
        2**62,
        None,
        None,
        None,
    ]
    assert (pressure["label"], pressure["units"], pressure["source_pv"]) == ("Gas pressure", "Torr", "GAS:P")
    assert (gas["begin_value"], gas["end_value"], gas["source_pv"]) == ("P5", "=H2", None)


async def test_a_card_is_small(store: SqliteRunStore, database: Path) -> None:
    """12 hosts of 50 files, 300 observables, and far too many events and intervals: a few hundred kB."""
    observables = [PRESSURE.model_copy(update={"name": f"observable_{number}"}) for number in range(300)]
    await store.define_observables("e1", observables)
    record = await complete(store)
    stamp = "2026-11-22T12:00:00.500_0000"
    paths = [(host, f"/data/e1/run_0000/CoBo{host}_AsAd{n}_{stamp}.graw") for host in range(12) for n in range(50)]
    filed = [
        FiledFile(f"data{host}", f"data{host}.example.org", path, 2**30, 1e9, f"CoBo[{host}]") for host, path in paths
    ]
    await store.add_files(record.run, *filed)
    numbers = Statistics(1 / 3, 2 / 3, 1 / 7, 36000, Severity.NO_ALARM, 0.0)
    await store.save_measurements(record.run, [Measurement(each.name, 1 / 3, 2 / 3, numbers) for each in observables])
    for number in range(5000):
        store.add_event(Event(time.time(), Severity.MAJOR, "Run", f"trouble {number}", record.run))
    await store.flush()
    execute(database, f"UPDATE files SET checksum = 'xxh128:{'0' * 32}', checksummed_at = moved_at")
    [text] = all_cards(database).values()
    VALID.validate(json.loads(text))
    assert len(json.loads(text)["events"]) == cards.MOST_EVENTS
    assert len(text) < 450_000


CHANGES = {
    "UPDATE runs SET title = 'new'": 1,
    "UPDATE runs SET title = title": 0,
    "UPDATE runs SET card_due = 0": 0,
    "UPDATE runs SET quality = 'Good'": 1,
    "UPDATE runs SET good_fraction = 0.5": 1,
    "UPDATE files SET checksum = 'sha256:00', checksummed_at = moved_at": 1,
    "UPDATE files SET checksum = ''": 0,
    "UPDATE files SET purged_at = moved_at": 1,
    "INSERT INTO file_copies (file_id, destination, path, state) VALUES (1, 'd', '/x', 'copied')": 0,
    "INSERT INTO file_copies (file_id, destination, path, state) VALUES (1, 'd', '/x', 'verified')": 1,
    "INSERT INTO measurements (run_id, observable_id, begin_value) VALUES (1, 1, 5.0)": 1,
    "INSERT INTO run_configs (run_id, ecc_server, describe, prepare, configure) VALUES (1, 'x', 'a', 'b', 'c')": 1,
    "INSERT INTO run_intervals (run_id, interlock, began_at, action) VALUES (1, 'x', '2026', 'stop')": 1,
    "INSERT INTO events (occurred_at, severity, source, message, run_id) VALUES ('2026', 1, 'x', 'y', 1)": 1,
    "INSERT INTO events (occurred_at, severity, source, message, run_id) VALUES ('2026', 0, 'x', 'y', 1)": 0,
    "INSERT INTO events (occurred_at, severity, source, message) VALUES ('2026', 3, 'x', 'y')": 0,
}


@pytest.mark.parametrize("sql", CHANGES)
async def test_what_changes_a_card_makes_it_due(store: SqliteRunStore, database: Path, sql: str) -> None:
    """Whoever changes it: exactly what is on the card of an ended run; nothing does while the run is open."""
    await store.define_observables("e1", [PRESSURE])
    await complete(store)
    execute(database, "UPDATE runs SET card_due = 0")
    before = rows(database, "SELECT changed_at FROM runs")
    while rows(database, "SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')") <= before:
        pass  # for the rest of the millisecond
    execute(database, sql)
    assert rows(database, "SELECT card_due FROM runs") == [(CHANGES[sql],)]
    assert (rows(database, "SELECT changed_at FROM runs") > before) == bool(CHANGES[sql])


@pytest.mark.parametrize("sql", CHANGES)
async def test_nothing_makes_a_card_due_while_the_run_is_open(store: SqliteRunStore, database: Path, sql: str) -> None:
    """The card of a run is written when it has ended."""
    await store.define_observables("e1", [PRESSURE])
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    await store.add_files(record.run, FiledFile("d", "h", "/a", 1, 1e9))
    execute(database, sql)
    assert rows(database, "SELECT card_due, changed_at FROM runs") == [(0, None)]


async def test_a_change_while_a_card_is_written_is_not_forgotten(store: SqliteRunStore, database: Path) -> None:
    """What was taken is only done if nothing has changed since; an earlier process's is due again."""
    await complete(store)
    for changed, left in ((False, 0), (True, 1)):
        execute(database, "UPDATE runs SET card_due = 1")
        await store.transaction(lambda db: cards.take(db, 1))
        if changed:
            execute(database, "UPDATE runs SET title = 'changed meanwhile'")
        await store.transaction(lambda db: cards.arrived(db, 1))
        assert rows(database, "SELECT card_due FROM runs") == [(left,)]
    await store.transaction(lambda db: cards.take(db, 1))
    await store.transaction(cards.resume)
    assert await store.transaction(cards.due) == [1]


async def test_a_card_can_be_asked_for(store: SqliteRunStore, database: Path) -> None:
    """`runs card --write` makes cards due, of ended runs only, also while an IOC has the database."""
    await complete(store)
    await complete(store)
    execute(database, "UPDATE runs SET card_due = 0")
    result = invoke(database, "card", "1", "--write", "--experiment", "e1")
    assert result.stdout == "the IOC writes the card of e1 on every reachable host where it is missing\n"
    assert rows(database, "SELECT run_number FROM runs WHERE card_due") == [(1,)]
    await store.reserve_run("e1", "", RunClass.Beam, "")
    result = invoke(database, "card", "0", "2", "--write", "--experiment", "e1")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: run 2 of e1 is starting: its card is written when it has ended\n",
    )
    assert rows(database, "SELECT run_number FROM runs WHERE card_due") == [(1,)]
    assert invoke(database, "card", "7", "--write").exit_code == 1
    assert invoke(database, "card").exit_code == 2


def test_the_schema_is_printed_without_a_database(tmp_path: Path) -> None:
    """As it is in the package."""
    assert json.loads(invoke(tmp_path / "none.db", "card", "--schema").stdout) == SCHEMA


# ---- import


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_name = st.sampled_from(["pressure", "gas", "voltage"])
_number = st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**63 - 1).map(float))
_any = st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**63 - 1), _text)
_moment = st.floats(0, 4e9).map(to_text)
_maybe = st.one_of(st.none(), _moment)
_fraction = st.one_of(st.none(), st.floats(0, 1))
_count = st.integers(0, 2**62)
_severity = st.integers(0, 3)
_definition_row = st.tuples(_name, st.sampled_from(["Torr", "mbar"]), st.sampled_from(["float", "string"]), st.none())
_copy = st.fixed_dictionaries(
    {
        "path": _text,
        "state": st.sampled_from(["verified", "failed"]),
        "copied_at": _maybe,
        "verified_at": _maybe,
    }
)
_run = st.fixed_dictionaries(
    {
        "row": st.fixed_dictionaries(
            {
                "run_class": st.sampled_from([each.name for each in RunClass]),
                "title": _text,
                "state": st.sampled_from(["complete", "failed", "orphaned"]),
                "reserved_at": _moment,
                "started_at": _maybe,
                "stopped_at": _maybe,
                "duration": st.one_of(st.none(), st.floats(0, 1e9)),
                "config_name": _text,
                "message": _text,
                "bytes": _count,
                "comment": _text,
                "quality": st.sampled_from(["Unknown", "Good", "Check", "Bad"]),
                "adopted_at": _maybe,
                "good_fraction": _fraction,
            }
        ),
        "configs": st.dictionaries(_text, st.tuples(_text, _text, _text, _text, _text), max_size=2),
        "measured": st.dictionaries(
            _definition_row,
            st.tuples(_any, _any, _number, _number, _number, _count, _severity, st.floats(0, 1e9), _fraction),
            max_size=4,
        ),
        "intervals": st.dictionaries(
            st.tuples(_text, _moment), st.tuples(_maybe, st.booleans(), _text, _number, _any), max_size=3
        ),
        "events": st.lists(st.tuples(_moment, _severity, _text, _text, _text, _text), max_size=4),
        "files": st.dictionaries(
            st.tuples(st.sampled_from(["h0", "h1"]), _text),
            st.tuples(_text, _count, _moment, _text, _text, _maybe, _maybe, st.dictionaries(_text, _copy, max_size=2)),
            max_size=3,
        ),
    }
)
_experiments = st.lists(st.tuples(st.sampled_from(["e1", "e2"]), _run), max_size=4)


def fill(database: Path, experiments: list[tuple[str, Any]]) -> None:
    """Enter runs as they are, whatever sense they make."""

    async def made() -> None:
        store = await SqliteRunStore.open(database)
        await store.transaction(lambda db: _fill(db.conn, experiments))
        await store.close()

    asyncio.run(made())


def _fill(db: Any, experiments: list[tuple[str, Any]]) -> None:
    def insert(table: str, **row: Any) -> int:
        marks = ", ".join("?" * len(row))
        return db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())).lastrowid

    owners: dict[str, int] = {}
    definitions: dict[tuple[Any, ...], int] = {}
    for number, (experiment, run) in enumerate(experiments):
        if experiment not in owners:
            owners[experiment] = insert("experiments", name=experiment, created_at="2026-11-22T12:00:00.000000Z")
        owner = owners[experiment]
        run_id = insert("runs", experiment_id=owner, run_number=number, **run["row"])
        for server, (describe, prepare, configure, digest, digests) in run["configs"].items():
            names = {"describe": describe, "prepare": prepare, "configure": configure}
            insert("run_configs", run_id=run_id, ecc_server=server, config_digest=digest, file_digests=digests, **names)
        measured: dict[str, int] = {}
        for identity, values in run["measured"].items():
            key = (owner, *identity)
            name, units, value_type, pv = identity
            if key not in definitions:
                retired = to_text(number) if any(each[:2] == (owner, name) for each in definitions) else None
                order = {"display_order": len(definitions), "label": f"label of {name}", "retired_at": retired}
                what = {"name": name, "units": units, "value_type": value_type, "source_pv": pv}
                definitions[key] = insert("observables", experiment_id=owner, **what, **order)
            columns = ("begin_value", "end_value", "minimum", "maximum", "mean", "samples", "worst_severity")
            row = dict(zip((*columns, "disconnected_seconds", "good_fraction"), values, strict=True))
            insert("measurements", run_id=run_id, observable_id=definitions[key], **row)
            measured.setdefault(name, definitions[key])
        for (interlock, began), (ended, watched, reason, low, value) in run["intervals"].items():
            observable = next(iter(measured.values()), None) if watched else None
            row = {"ended_at": ended, "action": "stop", "reason": reason, "low": low, "value": value}
            insert("run_intervals", run_id=run_id, interlock=interlock, began_at=began, observable_id=observable, **row)
        for at, severity, source, message, user, host in run["events"]:
            who = {"run_id": run_id, "user": user, "host": host}
            insert("events", occurred_at=at, severity=severity, source=source, message=message, **who)
        for (host, path), (router, size, moved, source, checksum, summed, purged, copies) in run["files"].items():
            sums = {"checksum": checksum, "checksummed_at": summed, "purged_at": purged}
            place = {"host": host, "path": f"/run {number}/{path}", "router": router, "source": source}
            file_id = insert("files", run_id=run_id, bytes=size, moved_at=moved, **place, **sums)
            for destination, copy in copies.items():
                insert("file_copies", file_id=file_id, destination=destination, **copy)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(experiments=_experiments)
def test_a_database_comes_back_from_its_cards(experiments: list[tuple[str, Any]]) -> None:
    """Database, cards, import, cards: the second cards are the first, byte for byte, valid, and none is due."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        fill(place / "old.db", experiments)
        first = all_cards(place / "old.db")
        for text in first.values():
            VALID.validate(json.loads(text))
        put(place / "host0", first)
        put(place / "host1", first)
        result = invoke(place / "new.db", "import", str(place))
        if not first:
            assert result.exit_code == 1
            return
        assert result.exit_code == 0, result.output
        assert all_cards(place / "new.db") == first
        assert rows(place / "new.db", "SELECT count(*) FROM runs WHERE card_due") == [(0,)]
        assert rows(place / "new.db", "PRAGMA foreign_key_check") == []
        again = invoke(place / "new.db", "import", str(place / "host0"))
        assert (again.exit_code, again.stdout.split(" runs ")[0]) == (0, "0")


@pytest.fixture
def made(tmp_path: Path) -> dict[RunId, bytes]:
    """The cards of two runs."""

    async def make() -> None:
        store = await SqliteRunStore.open(tmp_path / "old.db")
        await complete(store, title="first")
        await complete(store, title="second")
        await store.close()

    asyncio.run(make())
    return all_cards(tmp_path / "old.db")


def changed(text: bytes, **fields: Any) -> bytes:
    """A card with other fields."""
    return cards.encode(json.loads(text) | fields)


def test_the_latest_card_of_a_run_counts(tmp_path: Path, made: dict[RunId, bytes]) -> None:
    """A host that was away has an old card: it is left out, and said in what it differs."""
    put(tmp_path / "host0", made)
    run = RunId("e1", 1)
    newer = changed(made[run], title="corrected", quality="Good", changed_at="2099-01-01T00:00:00.000000Z")
    put(tmp_path / "host1", {run: newer})
    os.utime(tmp_path / "host1" / "e1/run_0001/run_0001.json", (1, 1))  # a copy may have any time
    result = invoke(tmp_path / "new.db", "import", str(tmp_path / "host0"), str(tmp_path / "host1"))
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        f"note: run 1 of e1: {tmp_path}/host1/e1/run_0001/run_0001.json is later than "
        f"{tmp_path}/host0/e1/run_0001/run_0001.json, which differs in title, quality, changed_at and is ignored\n"
    )
    assert rows(tmp_path / "new.db", "SELECT title FROM runs ORDER BY id") == [("first",), ("corrected",)]
    assert result.stdout.splitlines()[-1] == f"2 runs added to {tmp_path}/new.db"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, made: dict[RunId, bytes]) -> None:
    """Another run of the same number, damaged and impossible cards, no card: one line each, and nothing is entered."""
    first, second = made
    place = tmp_path / "found"
    put(place / "good", {first: made[first]})
    put(place / "other", {second: changed(made[second], title="not the same")})
    put(place / "newer", {RunId("e1", 2): changed(made[second], run_number=2, version=2)})
    put(place / "wrong", {RunId("e1", 3): changed(made[second], run_number=3, quality="Nice", bytes=-1, files=3)})
    put(place / "open", {RunId("e1", 4): changed(made[second], run_number=4, state="running")})
    put(place / "cut", {RunId("e1", 5): made[second][:500]})
    put(place / "name", {RunId("e1", 6): changed(made[second], run_number=6, experiment="../x")})
    put(place / "shared", {RunId("e1", 7): changed(made[second], run_number=7)})
    put(place / "notes", {RunId("e1", 8): b"no card at all"})
    put(place / "nan", {RunId("e1", 9): made[second].replace(b'"duration": 60.', b'"duration": NaN, "x": 60.')})
    mine = tmp_path / "mine.json"
    mine.write_text("[]")
    before = all_cards(tmp_path / "old.db")
    for dry in ([], ["--dry-run"]):
        result = invoke(tmp_path / "old.db", "import", str(place), str(mine), str(tmp_path / "nowhere.json"), *dry)
        assert (result.exit_code, result.stdout) == (1, "")
        said = result.stderr.replace(str(tmp_path), "")
        expected = [
            "note: /found/notes/e1/run_0008/run_0008.json is not a run card and is skipped",
            "error: /found/cut/e1/run_0005/run_0005.json is damaged: leave it out, another host has the same card",
            "error: /found/name/e1/run_0006/run_0006.json: experiment name '../x' is also a directory: it must ",
            "error: /found/nan/e1/run_0009/run_0009.json is damaged: leave it out, another host has the same card",
            (
                "error: /found/newer/e1/run_0002/run_0002.json: it has version 2, but this program knows only 1: "
                "install a newer attpc-ioc"
            ),
            "error: /found/open/e1/run_0004/run_0004.json: the run is running, but must have ended",
            (
                "error: /found/wrong/e1/run_0003/run_0003.json: quality: Input should be 'Unknown', 'Good', 'Check' or "
                "'Bad'; bytes: Input should be greater than or equal to 0; files: Input should be a valid list"
            ),
            "error: /mine.json is not a run card: give cards, or directories to search for run_NNNN.json",
            "error: /nowhere.json cannot be read: No such file or directory",
            (
                "error: run 1 of e1 is in the database already, but differs from "
                "/found/other/e1/run_0001/run_0001.json in title"
            ),
            (
                "error: /found/shared/e1/run_0007/run_0007.json: its file /data0/e1/run_0001/CoBo0.graw on h0 "
                "belongs to run 1 of e1"
            ),
        ]
        lines = said.splitlines()
        assert len(lines) == len(expected), said
        for line, begin in zip(lines, expected, strict=True):
            assert line.startswith(begin)
    assert all_cards(tmp_path / "old.db") == before


def test_a_card_that_contradicts_itself_is_refused(tmp_path: Path, made: dict[RunId, bytes]) -> None:
    """The same file twice: an error that names the card, and no run is entered."""
    first, second = made
    twice = json.loads(made[second])["files"] * 2
    put(tmp_path / "host", {first: made[first], second: changed(made[second], files=twice)})
    result = invoke(tmp_path / "new.db", "import", str(tmp_path / "host"))
    assert result.exit_code == 1
    assert "run_0001.json contradicts itself (UNIQUE constraint failed" in result.stderr
    assert rows(tmp_path / "new.db", "SELECT count(*) FROM runs") == [(0,)]


def test_a_dry_run_enters_nothing(tmp_path: Path, made: dict[RunId, bytes]) -> None:
    """It lists the runs, and makes no file."""
    put(tmp_path / "host", made)
    result = invoke(tmp_path / "new.db", "import", "--dry-run", str(tmp_path / "host"))
    assert result.exit_code == 0
    heading, first, second, summary = result.stdout.splitlines()
    assert heading.split() == ["experiment", "run", "class", "title", "state", "began", "files", "size", "card"]
    assert first.split()[:5] == ["e1", "0", "Beam", "first", "complete"]
    assert second.endswith("host/e1/run_0001/run_0001.json")
    assert summary == f"2 runs would be added to {tmp_path}/new.db"
    assert not (tmp_path / "new.db").exists()


async def test_the_next_run_follows_imported_ones(tmp_path: Path) -> None:
    """A rebuilt database goes on after its highest number, and its observables are used again."""
    store = await SqliteRunStore.open(tmp_path / "old.db")
    before = await store.define_observables("e1", [PRESSURE])
    record = await complete(store)
    statistics = Statistics(4.5, 5.5, 5.0, 7, Severity.MINOR, 0.5)
    await store.save_measurements(record.run, [Measurement("pressure", 5.0, 5.5, statistics)])
    await store.close()
    put(tmp_path / "host", all_cards(tmp_path / "old.db"))
    assert invoke(tmp_path / "new.db", "import", str(tmp_path / "host")).exit_code == 0
    store = await SqliteRunStore.open(tmp_path / "new.db")
    assert await store.define_observables("e1", [PRESSURE]) == before
    assert (await store.reserve_run("e1", "", RunClass.Beam, "")).run.number == 1
    await store.close()
    assert rows(tmp_path / "new.db", "SELECT run_number, pressure FROM run_sheet") == [(0, 5.0), (1, None)]


async def test_not_while_an_ioc_uses_the_database(store: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """The IOC would go on with the number that it knows."""
    await complete(store)
    put(tmp_path / "host", {RunId("e1", 4): changed(all_cards(database)[RunId("e1", 0)], run_number=4, files=[])})
    result = invoke(database, "import", str(tmp_path / "host"))
    assert result.exit_code == 1
    assert "is in use by another IOC" in result.stderr
