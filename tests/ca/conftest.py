"""A server in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.ca.serving import Serve
from tests.epics import Epics


@pytest_asyncio.fixture
async def serve(epics: Epics) -> AsyncIterator[Serve]:
    """Call it with PVs to have them served; EPICS base's tools of `epics` find them."""
    starter = Serve()
    yield starter
    await starter.close()
    assert asyncio.all_tasks() <= {asyncio.current_task()}, "a closed server leaves no task behind"
