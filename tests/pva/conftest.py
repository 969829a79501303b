"""PVs in the test's own process, served by both protocols."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from p4p.client.asyncio import Context

from ioc.ca import Limits, Pv
from ioc.pva import PvaServer
from tests.ca.serving import Serve
from tests.epics import Epics


class Both(Serve):
    """Serves PVs by Channel Access and PVAccess."""

    def __init__(self) -> None:
        super().__init__()
        self.pva: list[PvaServer] = []

    async def by_both(self, *pvs: Pv[Any], limits: Limits = Limits()) -> PvaServer:  # noqa: B008 - frozen
        server = PvaServer((await self(*pvs, limits=limits)).site)
        await server.start()
        self.pva.append(server)
        return server

    async def close(self) -> None:
        for server in self.pva:
            await server.close()
        await super().close()


@pytest.fixture
async def both(epics: Epics) -> AsyncIterator[Both]:
    """Call `by_both` with PVs to have them served; the tools of `epics` and `client` find them."""
    starter = Both()
    yield starter
    await starter.close()


@pytest.fixture
async def client(epics: Epics) -> AsyncIterator[Context]:
    """A p4p client that returns whole structures."""
    context = Context("pva", nt=False)
    yield context
    context.close()
    await asyncio.sleep(0)
