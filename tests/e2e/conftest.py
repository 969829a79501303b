"""Fixtures of the end-to-end ring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.plant import Plant
from tests.epics import Epics


@pytest.fixture
async def plant(tmp_path: Path, epics: Epics) -> AsyncIterator[Plant]:
    """The IOC in front of a simulated site, all servers Idle."""
    async with Plant(tmp_path, epics) as plant:
        yield plant


@pytest.fixture
async def ready(plant: Plant) -> Plant:
    """The same with all servers Ready and a start permitted."""
    await plant.to_ready()
    return plant
