"""The simulated data sources, with a TCP server of the test in the place of the router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sim_clients import CONFIG_ID, ask, link_table, until

from ioc.sim.ecc_server import EccServer

MakeServer = Callable[..., Awaitable[EccServer]]


class Sink:
    """A router that only remembers what it got: one entry per stream."""

    def __init__(self) -> None:
        self.streams: list[bytearray] = []
        self.open = 0

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = bytearray()
        self.streams.append(stream)
        self.open += 1
        while data := await reader.read(65536):
            stream += data
        self.open -= 1
        writer.close()

    @property
    def total(self) -> int:
        return sum(len(stream) for stream in self.streams)


@pytest.fixture
async def sink() -> AsyncIterator[tuple[Sink, int]]:
    """The router and its port."""
    router = Sink()
    server = await asyncio.start_server(router.receive, "127.0.0.1", 0)
    yield router, server.sockets[0].getsockname()[1]
    server.close()
    await until(lambda: router.open == 0)


async def to_running(server: EccServer, table: str) -> int:
    """Start a run; returns the server's port."""
    for operation in ("Describe", "Prepare", "Configure", "Start"):
        assert (await ask(server.address.port, operation, CONFIG_ID, table)).code == 0
    return server.address.port


async def test_data_are_in_flight_when_stop_answers(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Data still arrive after Stop has answered; then the stream ends."""
    router, router_port = sink
    port = await to_running(await make_server(), link_table("CoBo[0]", router_port))
    await until(lambda: router.total > 3000)
    assert (await ask(port, "Stop")).code == 0
    assert (await ask(port, "GetState")).state == 4
    at_stop = router.total
    await until(lambda: router.open == 0)
    assert router.total > at_stop
    assert router.streams[0].startswith(b"CoBo[0]\n")


async def test_pause_and_resume_keep_the_stream(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A run that is paused and resumed is one stream; while it is paused nothing comes."""
    router, router_port = sink
    port = await to_running(await make_server(supports_resume=True), link_table("CoBo[0]", router_port))
    await until(lambda: router.total > 1000)
    assert (await ask(port, "Pause")).code == 0
    await asyncio.sleep(0.2)
    paused = router.total
    await asyncio.sleep(0.4)
    assert router.total == paused
    assert (await ask(port, "Resume")).code == 0
    await until(lambda: router.total > paused)
    assert (await ask(port, "Breakup")).code == 0
    await until(lambda: router.open == 0)
    assert len(router.streams) == 1


async def test_dead_electronics_are_silent_at_once(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Electronics without power close their streams although the server still says Running."""
    router, router_port = sink
    server = await make_server()
    port = await to_running(server, link_table("CoBo[0]", router_port))
    await until(lambda: router.total > 1000)
    server.break_electronics()
    await until(lambda: router.open == 0)
    assert (await ask(port, "GetState")).state == 5


async def test_no_address_but_this_machine(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Links to other machines, such as the real routers of a topology, are accepted and never connected."""
    router, router_port = sink
    table = link_table("CoBo[0]", router_port)
    elsewhere = table.replace("127.0.0.1", "127.1")  # would reach the sink if it were tried
    port = await to_running(await make_server(), (elsewhere + table).replace("</DataLinkSet><DataLinkSet>", ""))
    await until(lambda: router.total > 1000)
    assert len(router.streams) == 1
    assert (await ask(port, "Stop")).code == 0
    await until(lambda: router.open == 0)
