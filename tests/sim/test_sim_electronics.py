"""The simulated data sources, with a TCP server of the test in the place of the router."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sim_clients import CONFIG_ID, Frame, Sink, ask, frames, link_table, until

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.frames import Board

MakeServer = Callable[..., Awaitable[EccServer]]


async def steps(server: EccServer, table: str, *operations: str) -> int:
    """Carry out operations; returns the server's port."""
    for operation in operations:
        reply = await ask(server.address.port, operation, CONFIG_ID, table)
        assert reply.code == 0, (operation, reply)
    return server.address.port


TO_READY = ("Describe", "Prepare", "Configure")
TO_RUNNING = (*TO_READY, "Start")


async def test_link_stands_from_configure_to_breakup(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Configure connects, runs come and go over the one link, data are in flight after Stop, Breakup ends it."""
    router, router_port = sink
    server, table = await make_server(), link_table("CoBo[0]", router_port)
    port = await steps(server, table, *TO_READY)
    await until(lambda: router.open == 1)
    assert router.total == 0
    for run in range(2):
        await steps(server, table, "Start")
        await until(lambda: len([f for f in frames(router.streams[0]) if f.event == 1]) == 4 * (run + 1))  # noqa: B023
        await steps(server, table, "Stop")
        at_stop = router.total
        await until(lambda: router.total > at_stop)  # noqa: B023
    events = [frame.event for frame in frames(router.streams[0]) if frame.asad == 0]
    restart = events.index(0, 1)
    assert events == [*range(restart), *range(len(events) - restart)]
    await steps(server, table, "Breakup")
    await until(lambda: router.open == 0)
    assert (await ask(port, "GetState")).state == State.PREPARED
    await steps(server, table, "Configure")
    await until(lambda: router.open == 1)
    assert len(router.streams) == 2


@pytest.mark.parametrize("end", ["OFF", "IDLE", "DESCRIBED", "PREPARED", "killed", "no power"])
async def test_what_ends_a_link(end: str, make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A server that leaves Ready, Running and Paused by any way has no link, nor has one that died."""
    router, router_port = sink
    server = await make_server()
    port = await steps(server, link_table("CoBo[0]", router_port), *TO_RUNNING)
    await until(lambda: router.total)
    if end == "killed":
        await server.kill()
    elif end == "no power":
        server.break_electronics()
        assert (await ask(port, "GetState")).state == State.RUNNING
    else:
        server.force_state(State[end])
    await until(lambda: router.open == 0)


async def test_links_can_outlive_their_server(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Boards whose server was killed and restarted go on sending while it is Idle; Configure takes them over."""
    router, router_port = sink
    server, table = await make_server(), link_table("CoBo[0]", router_port)
    await steps(server, table, *TO_RUNNING)
    await server.kill(links_stay=True)
    await server.start()
    port = await steps(server, table, "Describe", "Prepare")
    before = router.total
    await until(lambda: router.total > before)
    assert ((await ask(port, "GetState")).state, router.open) == (State.PREPARED, 1)
    await steps(server, table, "Configure")
    await until(lambda: len(router.streams) == 2)
    assert router.open == 1
    assert not router.streams[1]
    await steps(server, table, "Start")
    await until(lambda: router.streams[1])
    assert frames(router.streams[1])[0].event == 0
    await server.kill()
    await until(lambda: router.open == 0)


async def test_pause_and_resume_keep_link_and_numbers(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A run that is paused and resumed is one stream with rising numbers; while it is paused nothing comes."""
    router, router_port = sink
    server, table = await make_server(supports_resume=True), link_table("CoBo[0]", router_port)
    await steps(server, table, *TO_RUNNING)
    await until(lambda: router.total > 1000)
    await steps(server, table, "Pause")
    await asyncio.sleep(0.2)
    paused = router.total
    await asyncio.sleep(0.4)
    assert router.total == paused
    await steps(server, table, "Resume")
    await until(lambda: router.total > paused)
    await steps(server, table, "Breakup")
    await until(lambda: router.open == 0)
    events = [frame.event for frame in frames(router.streams[0]) if frame.asad == 3]
    assert events == list(range(len(events)))


async def test_silent_source(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A silent source says nothing although its link stands and its server Runs; later its numbers have a gap."""
    router, router_port = sink
    server = await make_server()
    (source,) = server.electronics.sources
    source.silent = True
    port = await steps(server, link_table("CoBo[0]", router_port), *TO_RUNNING)
    await until(lambda: source.event > 1)
    assert ((await ask(port, "GetState")).state, router.open, router.total) == (State.RUNNING, 1, 0)
    source.silent = False
    await until(lambda: router.total)
    assert frames(router.streams[0])[0].event > 1


async def test_lost_link_stays_lost(make_server: MakeServer) -> None:
    """A link that the router ended is not made anew by Start, which succeeds, but by Breakup and Configure."""
    router, writers = Sink(), list[asyncio.StreamWriter]()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await router.receive(reader, writer)

    listener = await asyncio.start_server(receive, "127.0.0.1", 0)
    server, table = await make_server(), link_table("CoBo[0]", listener.sockets[0].getsockname()[1])
    (source,) = server.electronics.sources
    await steps(server, table, *TO_READY)
    await until(lambda: writers)
    writers[0].close()
    await until(lambda: source.link_count == 0)
    port = await steps(server, table, "Start")
    await until(lambda: source.event > 1)
    assert ((await ask(port, "GetState")).state, len(writers), router.total) == (State.RUNNING, 1, 0)
    await steps(server, table, "Stop", "Breakup", "Configure", "Start")
    await until(lambda: router.total)
    assert len(writers) == 2
    await server.kill()
    listener.close()
    await until(lambda: router.open == 0)


async def test_configure_fails_without_a_listening_router(make_server: MakeServer) -> None:
    """A router that does not listen fails Configure with its number and leaves Prepared; it works when it listens."""
    listener = await asyncio.start_server(Sink().receive, "127.0.0.1", 0)
    router_port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    server = await make_server()
    server.force_state(State.PREPARED)
    reply = await ask(server.address.port, "Configure", table=link_table("CoBo[0]", router_port))
    assert reply.code == 3
    assert reply.field("ErrorMessage").startswith("Could not connect data sender 'CoBo[0]' to its data router: ")
    assert (await ask(server.address.port, "GetState")).state == State.PREPARED


async def test_no_address_but_this_machine(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Links to other machines, such as the real routers of a topology, are accepted and never connected."""
    router, router_port = sink
    table = link_table("CoBo[0]", router_port)
    elsewhere = table.replace("127.0.0.1", "127.1")  # would reach the sink if it were tried
    await steps(await make_server(), (elsewhere + table).replace("</DataLinkSet><DataLinkSet>", ""), *TO_RUNNING)
    await until(lambda: router.total > 1000)
    assert len(router.streams) == 1


@pytest.mark.parametrize("asads", [1, 4])
@pytest.mark.parametrize("number", [0, 1, 2**32 - 1])
def test_frames_are_what_their_headers_say(asads: int, number: int) -> None:
    """A CoBo's event is a frame per AsAd, a MuTAnT's is one; sizes, types and numbers are where MFM has them."""
    cobo, mutant = Board("CoBo[7]", asads), Board("Mutant[master]", asads)
    event = b"".join(cobo.event(number, 123))
    assert frames(event) == [Frame(512, 1, number, cobo=7, asad=asad) for asad in range(asads)]
    assert len(event) == cobo.event_size
    trigger = b"".join(mutant.event(number, 123))
    assert (len(trigger), len(frames(trigger)), frames(trigger)[0].type) == (mutant.event_size, 1, 8)
    assert int.from_bytes(trigger[14:18], "big") == number
