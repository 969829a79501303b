"""The simulated data sources, with a TCP server of the test in the place of the router."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable

import pytest
from sim_clients import TO_READY, TO_RUNNING, Frame, Sink, ask, frames, link_table, steps, until

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.ecc_wire import Link
from ioc.sim.electronics import Electronics, Links
from ioc.sim.frames import Board

MakeServer = Callable[..., Awaitable[EccServer]]


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


@pytest.mark.parametrize("end", ["OFF", "IDLE", "DESCRIBED", "PREPARED", "restarted", "no power"])
async def test_what_ends_a_link(end: str, make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A server that leaves Ready, Running and Paused by any way has no link, nor have restarted boards."""
    router, router_port = sink
    server = await make_server()
    port = await steps(server, link_table("CoBo[0]", router_port), *TO_RUNNING)
    await until(lambda: router.total)
    if end == "restarted":
        await server.kill(Links.END)
    elif end == "no power":
        server.electronics.break_down()
        assert (await ask(port, "GetState")).state == State.RUNNING
    else:
        server.force_state(State[end])
    await until(lambda: router.open == 0)


@pytest.mark.parametrize("link_type", ["TCP", "ZBUF", "ICE", "FDT"])
@pytest.mark.parametrize("left", list(Links))
async def test_what_is_left_of_a_dead_server(
    left: Links, link_type: str, make_server: MakeServer, sink: tuple[Sink, int]
) -> None:
    """Boards whose server was killed in a run go on sending while the new one is Idle, unless they were restarted too.

    The next Configure takes them over. It ends the data of an FDT link, which is made again only at Start. It makes the
    other links again, but only Breakup ends their data; it fails once if the router does not listen again in time.
    """
    router, router_port = sink
    server, table = await make_server(), link_table("CoBo[0]", router_port, link_type)
    (source,) = server.electronics.sources
    await steps(server, table, *TO_RUNNING)
    await until(lambda: router.total)
    await server.kill(left)
    await server.start()
    port = await steps(server, table, "Describe", "Prepare")
    goes_on = left is not Links.END
    assert bool(source.port) == goes_on
    if goes_on:
        before = router.total
        await until(lambda: router.total > before)
    if left is Links.STAY and link_type in {"TCP", "ZBUF"}:
        failed = await ask(port, "Configure", table=table)
        assert failed.code == 3
        assert failed.field("ErrorMessage").endswith(f"Connection refused (errno={errno.ECONNREFUSED}).")
        assert not source.port
    await steps(server, table, "Configure")
    if goes_on and link_type == "FDT":
        await until(lambda: router.open == 0)
        assert not source.port
    elif goes_on:
        await until(lambda: len(router.streams) == 2 and router.streams[1])
        assert frames(router.streams[1])[0].event > 0
        await steps(server, table, "Stop")  # ignored in Ready
        before = router.total
        await until(lambda: router.total > before)
        await steps(server, table, "Breakup")
        assert not source.port
        await until(lambda: router.open == 0)
        await steps(server, table, "Configure")
    assert bool(source.port) == (link_type != "FDT")
    await steps(server, table, "Start")
    count = 3 if goes_on and link_type != "FDT" else 2
    await until(lambda: len(router.streams) >= count and router.streams[-1])
    assert router.open == 1
    assert frames(router.streams[-1])[0].event == 0


async def test_a_run_of_boards_that_went_on_ends_as_any_other(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Start after such a Configure begins with event 0, and Stop ends the data."""
    router, router_port = sink
    server, table = await make_server(), link_table("CoBo[0]", router_port)
    await steps(server, table, *TO_RUNNING)
    await until(lambda: router.total)
    await server.kill(Links.YIELD)
    await server.start()
    await steps(server, table, *TO_RUNNING)
    await until(lambda: any(frame.event == 0 for frame in frames(router.streams[1])))
    await steps(server, table, "Stop")
    (source,) = server.electronics.sources
    await until(lambda: not source.sending)


async def test_boards_go_on_without_a_link(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A Configure that fails takes the link away, not the data: another death of the server does not end them."""
    server, table = await make_server(), link_table("CoBo[0]", sink[1])
    (source,) = server.electronics.sources
    await steps(server, table, *TO_RUNNING)
    await until(lambda: sink[0].total)
    await server.kill()
    await server.start()
    port = await steps(server, table, "Describe", "Prepare")
    assert (await ask(port, "Configure", table=table)).code == 3
    await server.kill()
    await server.start()
    assert (source.port, source.sending) == (0, True)
    await steps(server, table, *TO_READY)
    assert (source.port, source.sending) == (sink[1], True)
    await steps(server, table, "Breakup")
    assert (source.port, source.sending) == (0, False)


async def test_a_dead_server_of_idle_boards_leaves_nothing(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Where there was no link, the first Configure after the restart works."""
    server, table = await make_server(), link_table("CoBo[0]", sink[1])
    await steps(server, table, *TO_READY, "Breakup")
    await server.kill()
    await server.start()
    await steps(server, table, *TO_RUNNING)
    await until(lambda: sink[0].total)


async def test_pause_and_resume_keep_link_and_numbers(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A run that is paused and resumed is one stream with rising numbers; while it is paused nothing comes."""
    router, router_port = sink
    server, table = await make_server(supports_resume=True), link_table("CoBo[0]", router_port)
    await steps(server, table, *TO_RUNNING)
    await until(lambda: router.total > 1000)
    await steps(server, table, "Pause")
    paused = -1
    async with asyncio.timeout(60):
        while router.total != paused:  # what is under way
            paused = router.total
            await asyncio.sleep(0.5)
    await steps(server, table, "Resume")
    await until(lambda: router.total > paused)
    await steps(server, table, "Breakup")
    await until(lambda: router.open == 0)
    events = [frame.event for frame in frames(router.streams[0]) if frame.asad == 3]
    assert events == list(range(len(events)))


async def test_router_that_does_not_read() -> None:
    """A board whose router stops reading takes no events once all memory between them is full, and goes on later."""
    reading = asyncio.Event()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reading.wait()
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    electronics = Electronics(("CoBo[0]",), 50_000_000)
    (source,) = electronics.sources
    port = server.sockets[0].getsockname()[1]
    await electronics.connect({"CoBo[0]": Link("CoBo[0]", "r0", "127.0.0.1", port, "TCP")})
    electronics.follow(State.RUNNING)
    async with asyncio.timeout(60):
        held = -1
        while source.event != held:
            held = source.event
            await asyncio.sleep(0.5)
    assert source.sending
    reading.set()
    await until(lambda: source.event > held)
    electronics.leave(Links.END)
    await electronics.links_closed()
    server.close()


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
    assert reply.field("ErrorMessage") == (
        "Could not connect data sender 'CoBo[0]' to its data router: Failed to connect to data router of type 'TCP': "
        f"TCP connection to 127.0.0.1:{router_port} failed: {os.strerror(errno.ECONNREFUSED)} "
        f"(errno={errno.ECONNREFUSED})."
    )
    assert (await ask(server.address.port, "GetState")).state == State.PREPARED


async def test_no_address_but_this_machine(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Links to other machines, such as the real routers of a topology, are accepted and never connected."""
    elsewhere = link_table("CoBo[0]", sink[1]).replace("127.0.0.1", "127.1")  # would reach the sink if it were tried
    server = await make_server()
    (source,) = server.electronics.sources
    await steps(server, elsewhere, *TO_RUNNING)
    await until(lambda: source.event > 1)
    assert not sink[0].streams


@pytest.mark.parametrize("asads", [1, 4])
@pytest.mark.parametrize("number", [0, 1, 2**32 - 1])
def test_frames_are_what_their_headers_say(asads: int, number: int) -> None:
    """A CoBo's event is a frame per AsAd, a MuTAnT's is one; sizes, types and numbers are where MFM has them."""
    cobo, mutant = Board("CoBo[7]", asads), Board("Mutant[master]", asads)
    event = cobo.event(number, 123)
    assert frames(event) == [Frame(512, 1, number, cobo=7, asad=asad) for asad in range(asads)]
    assert len(event) == 512 * asads
    trigger = mutant.event(number, 123)
    assert (len(trigger), len(frames(trigger)), frames(trigger)[0].type) == (256, 1, 8)
    assert int.from_bytes(trigger[14:18], "big") == number
