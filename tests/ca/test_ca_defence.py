"""What does not behave is closed, bounded and logged once; the others notice nothing."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import struct
from collections.abc import Callable

import caproto as ca
import pytest
import uvloop
from raw_client import RawClient, closes

from ioc.ca import IntPv, Limits, TextPv
from tests.ca.serving import Serve
from tests.epics import Epics, eventually

VERSION = bytes(ca.VersionRequest(0, 13))
HEADER = struct.Struct(">HHHHII")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"GET / HTTP/1.1\r\nHost: ioc\r\n\r\n", "more than 16 bytes"),
        (VERSION + HEADER.pack(4711, 0, 0, 0, 0, 0), "not Channel Access"),
        (VERSION + struct.pack(">HHHHIIII", 4, 0xFFFF, 6, 0, 1, 1, 0x7FFFFFF0, 1), "more than 65536 bytes"),
        (bytes(ca.EchoRequest()), "began with EchoRequest"),
        (VERSION + bytes(ca.RepeaterRegisterRequest("0.0.0.0")), "not a request to a server"),
        (VERSION + HEADER.pack(1, 8, 6, 1, 1, 1) + bytes(8), "not Channel Access"),
        (VERSION + HEADER.pack(19, 8, 999, 1, 1, 1) + bytes(8), "not Channel Access"),
        (bytes(ca.ReadNotifyRequest(6, 1, 1, 1)), "began with ReadNotifyRequest"),
        (VERSION + 2 * bytes(ca.CreateChanRequest("T:X", 7, 13)), "second channel with its id 7"),
    ],
)
async def test_garbage_ends_the_circuit(
    serve: Serve, caplog: pytest.LogCaptureFixture, data: bytes, complaint: str
) -> None:
    """What breaks the protocol is closed at once, with one line in the log and no traceback."""
    server = await serve(IntPv("T:X", ""))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await closes(server.port, data)
        await eventually(lambda: server.stats().clients == 0)
    assert len(caplog.records) == 1
    assert complaint in caplog.text
    assert caplog.records[0].exc_info is None
    async with RawClient(server.port) as client:
        await client.channel("T:X")


async def test_silence_is_closed(serve: Serve) -> None:
    """A connection that says nothing, or stops in the middle of its first header, is closed; one that spoke stays."""
    server = await serve(IntPv("T:X", ""), limits=Limits(speak_seconds=0.3))
    async with RawClient(server.port) as client:
        await client.channel("T:X")
        for beginning in (b"", b"\0\0\0"):
            assert await closes(server.port, beginning)
        await client.echo()


async def test_more_connections_than_allowed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of connections take each other's places, never that of a client with a channel."""
    server = await serve(IntPv("T:X", ""), limits=Limits(clients=20))
    with caplog.at_level(logging.WARNING):
        async with RawClient(server.port) as client:
            channel = await client.channel("T:X")
            for _ in range(40):
                crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
                await client.send(channel.read())
                await client.next(ca.ReadNotifyResponse)
                assert server.stats().clients <= 20
                for one in crowd:
                    one.close()
            async with RawClient(server.port) as late:
                await late.channel("T:X")
    assert len(caplog.records) == 1
    assert "at most 20 are served" in caplog.text


async def test_no_room_beside_real_clients(serve: Serve) -> None:
    """When every place is held by a client with a channel, a newcomer is closed."""
    server = await serve(IntPv("T:X", ""), limits=Limits(clients=2))
    async with RawClient(server.port) as one, RawClient(server.port) as two:
        await one.channel("T:X")
        await two.channel("T:X")
        assert await closes(server.port, b"")
        await one.echo()
        await two.echo()


async def test_channels_without_end(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A client that creates channels without end gets no more than its share, and keeps those it has."""
    server = await serve(IntPv("T:X", ""), limits=Limits(channels_per_client=10))
    with caplog.at_level(logging.WARNING):
        async with RawClient(server.port) as client:
            channels = [ca.ClientChannel("T:X", client.circuit) for _ in range(50)]
            await client.send(*(channel.create() for channel in channels))
            await client.echo()
            kinds = [type(answer) for answer in client.received]
            assert kinds.count(ca.CreateChanResponse) == 10
            assert kinds.count(ca.CreateChFailResponse) == 40
            await client.send(*(channels[0].subscribe(subscriptionid=number) for number in range(12)))
            await client.echo()
            statuses = [answer.status.name for answer in client.received if isinstance(answer, ca.ErrorResponse)]
            assert statuses == ["ECA_ALLOCMEM"] * 2
        async with RawClient(server.port) as other:
            await other.channel("T:X")
    assert len(caplog.records) == 2


async def test_channels_of_all_clients_are_bounded(serve: Serve) -> None:
    """The bound on all channels together counts down when clients go."""
    server = await serve(IntPv("T:X", ""), limits=Limits(channels=3))
    async with RawClient(server.port) as one:
        for _ in range(3):
            await one.channel("T:X")
        async with RawClient(server.port) as two:
            await two.send(ca.ClientChannel("T:X", two.circuit).create())
            await two.next(ca.CreateChFailResponse)
    await eventually(lambda: server.stats().clients == 0)
    async with RawClient(server.port) as three:
        await three.channel("T:X")


async def test_a_flood_of_requests_lets_others_through(serve: Serve) -> None:
    """While one client sends tens of thousands of requests at once, another is answered soon."""
    server = await serve(IntPv("T:X", ""))
    async with RawClient(server.port) as flood, RawClient(server.port) as other:
        channel = await flood.channel("T:X")
        theirs = await other.channel("T:X")
        request = bytes(ca.ReadNotifyRequest(6, 1, channel.sid, 1))
        sending = asyncio.create_task(flood.send_bytes(request * 40_000))
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        for _ in range(20):
            begun = loop.time()
            await other.send(theirs.read())
            await other.next(ca.ReadNotifyResponse)
            waits.append(loop.time() - begun)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert sorted(waits)[10] < 0.2


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_client_that_asks_and_never_reads(
    epics: Epics, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """Requests are not even read while their answers are not taken: memory stays bounded and the client is dropped."""
    request = ca.ReadNotifyRequest(ca.ChannelType.STRING, 16384, 0, 1)

    async def scene() -> None:
        serve = Serve()
        server = await serve(TextPv("T:Text", "", 16384), limits=Limits(stall_seconds=0.5))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with RawClient(server.port) as greedy, RawClient(server.port) as other:
            request.header.parameter1 = (await greedy.channel("T:Text")).sid
            sending = asyncio.create_task(greedy.send_bytes(bytes(request) * 100_000))
            while server.stats().dropped_clients == 0:
                await other.echo()
                await asyncio.sleep(0.01)
            await asyncio.gather(sending, return_exceptions=True)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        await serve.close()
        assert grown < 100_000, "kB, though 65 GB of answers were asked for"

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(scene(), 90))


async def test_forms_kept_of_a_snapshot_are_bounded(serve: Serve) -> None:
    """A client that asks for every possible count cannot make the server keep them all."""
    pv = TextPv("T:Text", "", 1000)
    server = await serve(pv)
    async with RawClient(server.port) as client:
        channel = await client.channel("T:Text")
        await client.send(*(channel.read(data_count=count) for count in range(1, 1001)))
        await client.echo()
    assert len(pv.snapshot.encoded) <= 16


async def test_garbage_on_udp(epics: Epics, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Datagrams of garbage are ignored with one line in the log; searches go on being answered."""
    await serve(IntPv("T:X", "", value=5))
    with caplog.at_level(logging.WARNING), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in (b"", b"x", b"\xff" * 100, bytes(5000), b"\0\6\xff\xff" * 30):
            for _ in range(20):
                sock.sendto(data, ("127.0.0.1", epics.server_port))
        assert await epics.value("T:X") == "5"
    assert len(caplog.records) <= 1


async def test_requests_for_channels_that_are_gone(serve: Serve) -> None:
    """A request for a channel that does not exist (any more) is answered or ignored, and the circuit goes on."""
    server = await serve(IntPv("T:X", ""))
    async with RawClient(server.port) as client:
        await client.send_bytes(bytes(ca.ReadNotifyRequest(6, 1, 999, 1)))
        assert (await client.next(ca.ErrorResponse)).status.name == "ECA_BADCHID"
        await client.send_bytes(bytes(ca.ClearChannelRequest(999, 998)))
        await client.send_bytes(bytes(ca.EventCancelRequest(6, 999, 1)))
        await client.echo()
