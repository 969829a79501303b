"""Fixtures of the app's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.site import RunningIoc
from tests.epics import Epics


@pytest.fixture
async def ioc(epics: Epics, tmp_path: Path) -> AsyncIterator[RunningIoc]:
    """An IOC that runs, all servers Idle."""
    async with RunningIoc(tmp_path, epics) as running:
        yield running
