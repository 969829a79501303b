"""A run database of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ioc.rundb import SqliteRunStore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Path of a database that does not exist yet."""
    return tmp_path / "runs.db"


@pytest.fixture
async def store(database: Path) -> AsyncIterator[SqliteRunStore]:
    """An open store, closed at the end."""
    opened = await SqliteRunStore.open(database)
    yield opened
    await opened.close()
