"""Fixtures for the partners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import pytest
from partner_clients import HOST, Serve, client_of

from ioc.partners import ReadoutGui
from ioc.sim.plan import PartnerPlan
from ioc.sim.readout_gui import ReadoutGui as Simulated


@pytest.fixture(params=[2015, 2024])
def release(request: pytest.FixtureRequest) -> int:
    """An old release and a new one."""
    return request.param


@pytest.fixture
async def gui(release: Literal[2015, 2024]) -> AsyncIterator[Simulated]:
    """A simulated ReadoutGUI of the release, which begins and ends in 10 ms."""
    simulated = Simulated(PartnerPlan("aux", release=release), 100.0)
    await simulated.start()
    yield simulated
    simulated.thawed.set()
    await simulated.close()


@pytest.fixture
async def client(gui: Simulated) -> AsyncIterator[ReadoutGui]:
    """A client of it with short time-outs."""
    partner = client_of(gui.address.port)
    yield partner
    await partner.close()


@pytest.fixture
async def peer() -> AsyncIterator[Callable[[Serve], Awaitable[int]]]:
    """Serve every connection with a function; returns the port."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(serve: Serve) -> int:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await serve(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(run, HOST, 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
