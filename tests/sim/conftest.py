"""Fixtures for the tests of the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest
from sim_clients import Sink, until
from sim_site import plan_for

from ioc.sim import ServerPlan, Site
from ioc.sim.configs import ConfigDirectory
from ioc.sim.ecc_server import EccServer
from ioc.sim.electronics import Electronics


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """The configuration directory that the recorded server had, with empty files."""
    directory = tmp_path / "configs"
    directory.mkdir()
    for name in ("describe-empty", "describe-loop", "describe-refused", "prepare-noasad", "configure-noasad"):
        (directory / f"{name}.xcfg").touch()
    return directory


@pytest.fixture
async def make_server(
    tmp_path: Path, configs: Path, sink: tuple[Sink, int]
) -> AsyncIterator[Callable[..., Awaitable[EccServer]]]:
    """Start simulated ECC servers of source CoBo[0] inside the test's own loop; they are gone before the sink is."""
    servers: list[EccServer] = []

    async def make(
        dialect: Literal["2.7", "2.8"] = "2.8", speed: float = 100.0, *, supports_resume: bool = False
    ) -> EccServer:
        plan = ServerPlan("CoBo0", ("CoBo[0]",), supports_resume=supports_resume, dialect=dialect)
        server = EccServer(
            plan, ConfigDirectory(configs), Electronics(plan.sources, 10_000), tmp_path / "ecc.log", speed
        )
        await server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        await server.close()


@pytest.fixture
async def sink() -> AsyncIterator[tuple[Sink, int]]:
    """A router, and its port."""
    router = Sink()
    server = await asyncio.start_server(router.receive, "127.0.0.1", 0)
    yield router, server.sockets[0].getsockname()[1]
    server.close()
    await until(lambda: router.open == 0)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The small site, running."""
    async with Site(plan_for(tmp_path)) as running:
        yield running
