"""Long queries of the IOC run beside the writer of the run database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def count(db: Any) -> int:
    return db.execute("SELECT count(*) FROM runs").fetchone()[0]


async def test_a_run_starts_while_all_files_are_looked_at(tmp_path: Path) -> None:
    """A look that takes long delays no transaction, and sees what is in the database when it begins."""
    store = await SqliteRunStore.open(tmp_path / "runs.db")
    begun, go_on = threading.Event(), threading.Event()

    def look(db: Any) -> tuple[int, int]:
        before = count(db)
        begun.set()
        assert go_on.wait(60)
        return before, count(db)

    reading = asyncio.create_task(store.read(look))
    assert await asyncio.to_thread(begun.wait, 60)
    await store.reserve_run("e1", "", RunClass.Testing, "")
    go_on.set()
    assert await reading == (0, 0)
    assert await store.read(count) == 1
    await store.close()


def writes(db: Any) -> None:
    db.execute("DELETE FROM runs")


@pytest.mark.parametrize("bad", [writes, lambda db: db.execute("nonsense")])
async def test_it_cannot_write_and_errors_are_explained(tmp_path: Path, bad: Callable[[Any], None]) -> None:
    """A bug does no harm to the database, and an error does not end the thread."""
    store = await SqliteRunStore.open(tmp_path / "runs.db")
    with pytest.raises(PeerError, match=r"the run database .*runs.db"):
        await store.read(bad)
    assert await store.read(count) == 0
    await store.close()


async def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    """The IOC never waits for a query when it ends."""
    store = await SqliteRunStore.open(tmp_path / "runs.db")
    begun = threading.Event()

    def look(db: Any) -> object:
        begun.set()
        return db.execute(ENDLESS).fetchone()

    reading = asyncio.create_task(store.read(look))
    assert await asyncio.to_thread(begun.wait, 60)
    closing = asyncio.create_task(store.close())
    with pytest.raises(PeerError):
        await reading
    await closing
    with pytest.raises(PeerError, match="is closed"):
        await store.read(count)
