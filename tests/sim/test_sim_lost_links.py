"""Links that their routers end, with a router of the test that can do so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sim_clients import TO_READY, TO_RUNNING, Sink, ask, frames, link_table, steps, until

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State

MakeServer = Callable[..., Awaitable[EccServer]]


class Restarting(Sink):
    """A router that can end its connection and stop listening."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._listener: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        await super().receive(reader, writer)

    async def listen(self) -> None:
        self._listener = await asyncio.start_server(self.receive, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """End as a process does."""
        if self._listener:
            self._listener.close()
            await asyncio.sleep(0)
        if self._writer:
            self._writer.close()
        await until(lambda: self.open == 0)


@pytest.fixture
async def restarting() -> AsyncIterator[Restarting]:
    """It listens."""
    router = Restarting()
    await router.listen()
    yield router
    await router.die()


@pytest.mark.parametrize("link_type", ["TCP", "ZBUF"])
async def test_lost_link_stays_lost(link_type: str, make_server: MakeServer, restarting: Restarting) -> None:
    """A link that the router ended is not made anew by Start, which succeeds, but by Breakup and Configure."""
    server, table = await make_server(), link_table("CoBo[0]", restarting.port, link_type)
    (source,) = server.electronics.sources
    await steps(server, table, *TO_READY)
    await until(lambda: restarting.open)
    await restarting.die()
    await restarting.listen()
    await until(lambda: not source.port)
    port = await steps(server, table, "Start")
    await until(lambda: source.event > 1)
    assert (await ask(port, "GetState")).state == State.RUNNING
    assert (len(restarting.streams), restarting.total) == (1, 0)
    await steps(server, table, "Stop", "Breakup", "Configure", "Start")
    await until(lambda: restarting.total)
    assert len(restarting.streams) == 2
    await server.close()


@pytest.mark.parametrize("link_type", ["FDT", "ICE"])
async def test_lost_link_comes_back_in_a_run(
    link_type: str, make_server: MakeServer, restarting: Restarting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted router gets its data again by itself: FDT at the next heart beat, ICE with the next event."""
    monkeypatch.setattr("ioc.sim.electronics.HEARTBEAT", 0.3)
    server, table = await make_server(), link_table("CoBo[0]", restarting.port, link_type)
    await steps(server, table, *TO_RUNNING)
    await until(lambda: restarting.total)
    await restarting.die()
    await restarting.listen()
    await until(lambda: len(restarting.streams) == 2 and restarting.streams[1])
    assert frames(restarting.streams[1])[0].event > 0
    await server.close()


async def test_fdt_link_is_tried_once_more(
    make_server: MakeServer, restarting: Restarting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that is not back at the heart beat gets nothing until the next Start; ICE would go on trying."""
    monkeypatch.setattr("ioc.sim.electronics.HEARTBEAT", 0.3)
    server, table = await make_server(), link_table("CoBo[0]", restarting.port, "FDT")
    (source,) = server.electronics.sources
    await steps(server, table, *TO_RUNNING)
    await until(lambda: restarting.total)
    await restarting.die()
    beaten = source.event + 4  # at 5 events a second, later than the next heartbeat
    await until(lambda: source.event > beaten)
    await restarting.listen()
    later = source.event + 5
    await until(lambda: source.event > later)
    assert (len(restarting.streams), server.machine.state) == (1, State.RUNNING)
    await steps(server, table, "Stop", "Start")
    await until(lambda: len(restarting.streams) == 2 and restarting.streams[1])
    await server.close()


async def test_fdt_run_is_one_stream_of_whole_frames(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Each Start and Resume has a link of its own; Pause and Stop end it with all that was sent."""
    router, router_port = sink
    server, table = await make_server(supports_resume=True), link_table("CoBo[0]", router_port, "FDT")
    await steps(server, table, *TO_READY)
    for number, (begin, end) in enumerate((("Start", "Pause"), ("Resume", "Stop"), ("Start", "Breakup"))):
        assert (len(router.streams), router.open) == (number, 0)
        await steps(server, table, begin)
        await until(lambda: len(router.streams) > number and router.streams[number])  # noqa: B023
        await steps(server, table, end)
        await until(lambda: not router.open)
    events = [[frame.event for frame in frames(stream) if frame.asad == 0] for stream in router.streams]
    assert [*events[0], *events[1]] == list(range(events[1][-1] + 1))
    assert events[2][0] == 0
