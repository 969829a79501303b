"""Schema, migrations and refusals of a file that is not ours."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from ioc.errors import PeerError
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.connection import open_for_reading
from ioc.rundb.migrations import migrate, newest_version, version_of
from ioc.rundb.writing import open_for_writing
from tests.rundb.rows import PRESSURE, execute, reading, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "run-database.md"


def _schema(path: Path) -> list[tuple[str, ...]]:
    return rows(path, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")


@pytest.mark.parametrize("version", range(newest_version()))
async def test_every_older_version_is_brought_up_to_date(database: Path, tmp_path: Path, version: int) -> None:
    """From each older version (0 is an empty file) a start leads to the schema that a new file has."""
    with closing(open_for_writing(database, create=True, busy_seconds=1).conn) as connection:
        migrate(Database(connection), str(database), target=version)
    fresh = tmp_path / "fresh.db"
    for path in (database, fresh):
        store = await SqliteRunStore.open(path)
        await store.reserve_run("e1", "", RunClass.Beam, "")
        await store.close()
    assert _schema(database) == _schema(fresh)


async def test_a_present_version_keeps_its_data(database: Path) -> None:
    """Opening a database of the newest version changes nothing in it."""
    for expected in range(3):
        store = await SqliteRunStore.open(database)
        record = await store.reserve_run("e1", "", RunClass.Beam, "")
        assert record.run.number == expected
        await store.close()
    assert rows(database, "PRAGMA user_version") == [(newest_version(),)]


async def test_a_newer_version_is_refused(database: Path) -> None:
    """A database of a newer program is refused for writing and reading, and stays as it is."""
    await (await SqliteRunStore.open(database)).close()
    execute(database, "PRAGMA user_version = 99")
    with pytest.raises(PeerError, match=r"has version 99, but this program knows only \d+: install the newer"):
        await SqliteRunStore.open(database)
    with pytest.raises(PeerError, match="has version 99"):
        open_for_reading(database)
    assert rows(database, "PRAGMA user_version") == [(99,)]


async def test_an_older_version_is_not_read(database: Path) -> None:
    """The command line does not guess at an older schema: it says that the IOC brings it up to date."""
    open_for_writing(database, create=True, busy_seconds=1).close()
    with pytest.raises(PeerError, match="has version 0, but must have"):
        open_for_reading(database)


def test_a_file_that_is_no_database_is_refused(database: Path) -> None:
    """A text file named as database is refused and stays as it is."""
    database.write_text("my precious notes\n" * 100)
    with pytest.raises(PeerError, match=r"runs\.db is not an SQLite database"):
        asyncio.run(SqliteRunStore.open(database))
    assert database.read_text().startswith("my precious notes")


async def test_a_database_of_another_program_is_refused(database: Path) -> None:
    """An SQLite file with tables that are not ours is refused and stays as it is."""
    execute(database, "CREATE TABLE tune (turn INTEGER)")
    before = await asyncio.to_thread(database.read_bytes)
    with pytest.raises(PeerError, match="is the database of another program"):
        await SqliteRunStore.open(database)
    assert await asyncio.to_thread(database.read_bytes) == before


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A database in a directory that does not exist is an error that names the file."""
    with pytest.raises(PeerError, match=r"nowhere/runs\.db"):
        await SqliteRunStore.open(tmp_path / "nowhere" / "runs.db")


async def test_a_migration_that_fails_leaves_no_trace(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails half way is undone, with the version it would have led to."""
    await (await SqliteRunStore.open(database)).close()
    before, version = _schema(database), newest_version()

    def broken(db: object) -> None:
        db.execute("CREATE TABLE half (a)")  # type: ignore[attr-defined]
        db.execute("this is no SQL")  # type: ignore[attr-defined]

    monkeypatch.setattr("ioc.rundb.migrations.MIGRATIONS", [broken] * (newest_version() + 1))
    db = open_for_writing(database, create=False, busy_seconds=1)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, str(database))
    assert version_of(db) == version
    db.close()
    assert _schema(database) == before


async def test_keys_are_declared_enforced_and_indexed(store: SqliteRunStore, database: Path) -> None:
    """Every column `*_id` is a declared foreign key with an index, every `*_at` column of a table has an index."""
    tables = [name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = {row[1] for row in rows(database, f"PRAGMA table_info({table})")}
        keys = {row[3] for row in rows(database, f"PRAGMA foreign_key_list({table})")}
        first = {
            rows(database, f"PRAGMA index_info({index[1]})")[0][2]
            for index in rows(database, f"PRAGMA index_list({table})")
        }
        assert {name for name in columns if name.endswith("_id")} == keys
        assert {name for name in columns if name.endswith(("_id", "_at"))} <= first
    assert rows(database, "PRAGMA journal_mode") == [("wal",)]
    db = open_for_writing(database, create=False, busy_seconds=1)
    with closing(db), pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute("INSERT INTO sample_series (observable_id) VALUES (99)")


async def test_samples_of_a_run_are_found_by_index(store: SqliteRunStore, database: Path) -> None:
    """Neither a run's samples nor an observable's nor a time range is looked for by reading all samples."""
    await store.define_observables("e1", [PRESSURE])
    store.add_samples("e1", None, [reading(1.0)])
    await store.flush()
    for where in ("run_id = 1", "observable_id = 1", "observable_id = 1 AND sampled_us > 5"):
        plan = " ".join(row[3] for row in rows(database, f"EXPLAIN QUERY PLAN SELECT * FROM samples WHERE {where}"))
        assert "SCAN sample_rows" not in plan


async def test_the_documentation_names_every_table_and_column(store: SqliteRunStore, database: Path) -> None:
    """docs/run-database.md has a section for each table and view, with each of its columns."""
    text = DOCUMENT.read_text()
    sections = {part.split("`", 1)[0]: part for part in re.split(r"^### `", text, flags=re.MULTILINE)[1:]}
    for (table,) in rows(database, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"):
        assert table in sections, f"no section about {table}"
        for row in rows(database, f"PRAGMA table_info({table})"):
            assert f"| `{row[1]}` |" in sections[table], f"column {row[1]} of {table} is missing"


async def test_the_examples_of_the_documentation_work(store: SqliteRunStore, database: Path) -> None:
    """Every SQL statement shown in docs/run-database.md runs."""
    await store.define_observables("e1", [PRESSURE])
    text = DOCUMENT.read_text()
    blocks = re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
    statements = [statement for block in blocks for statement in block.split(";") if statement.strip()]
    statements += re.findall(r'"""(SELECT.*?)"""', text, flags=re.DOTALL)
    statements += [query.replace("+", " ") for query in re.findall(r"\?sql=(\S+)", text)]
    assert len(statements) == 4
    for statement in statements:
        rows(database, statement)


_DATA_1 = """
    INSERT INTO experiments VALUES (1, 'e1', '2026-11-22T12:00:00.000000Z');
    INSERT INTO runs (id, experiment_id, run_number, run_class, title, state, reserved_at)
        VALUES (1, 1, 0, 'Beam', 'first', 'complete', '2026-11-22T12:00:00.000000Z');
    INSERT INTO observables (id, experiment_id, name, units, value_type, display_order, source_pv)
        VALUES (7, 1, 'pressure', 'Torr', 'float', 0, 'GAS:P');
    INSERT INTO measurements (run_id, observable_id, begin_value, end_value, mean, samples)
        VALUES (1, 7, 5.0, 6.0, 5.5, 2);
    CREATE VIEW mine AS SELECT name, mean FROM observables JOIN measurements ON id = observable_id;
    INSERT INTO files (run_id, router, host, path, bytes, moved_at)
        VALUES (1, 'r', 'h', '/a', 10, '2026-11-22T12:00:00.000000Z'),
               (1, 'r', 'h', '/b', 20, '2026-11-22T12:00:00.000000Z');
    INSERT INTO puts (occurred_at, pv, old_value, new_value, user, host, result, message)
        VALUES ('2026-11-22T12:00:00.000000Z', 'T:X', '', '1', 'ann', 'h', 'ok', '');
    INSERT INTO sample_series VALUES (3, 7, 1);
    INSERT INTO sample_rows VALUES (3, 1795350000000000, 0, 5.0, 0);
"""


@pytest.mark.parametrize("version", range(1, newest_version()))
async def test_data_of_older_versions_stay_as_they_are(database: Path, version: int) -> None:
    """Runs, observables, figures and samples of each version are there with their ids, and go on to be used.

    So do views that somebody has made.
    """
    with closing(open_for_writing(database, create=True, busy_seconds=1).conn) as connection:
        migrate(Database(connection), str(database), target=1)
        connection.executescript(_DATA_1)
        migrate(Database(connection), str(database), target=version)
    store = await SqliteRunStore.open(database)
    ids = await store.define_observables("e1", [PRESSURE])
    changed = await store.define_observables("e1", [PRESSURE.model_copy(update={"units": "mbar"})])
    await store.close()
    assert (ids, changed) == ({"pressure": 7}, {"pressure": 8})
    found = "SELECT observable_id, begin_value, mean, samples, measured_us FROM measurements"
    assert rows(database, found) == [(7, 5.0, 5.5, 2, None)]
    assert rows(database, "SELECT observable_id, run_id, value FROM samples") == [(7, 1, 5.0)]
    assert rows(database, "SELECT run_number, title, pressure FROM run_sheet") == [(0, "first", 5.0)]
    assert rows(database, "SELECT name, mean FROM mine") == [("pressure", 5.5)]
    assert rows(database, "SELECT bytes FROM run_sheet") == [(30,)]
    assert rows(database, "SELECT path, source FROM files") == [("/a", ""), ("/b", "")]
    assert rows(database, "SELECT count FROM puts") == [(1,)]
    assert rows(database, "PRAGMA foreign_key_check") == []
