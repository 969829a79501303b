"""A hundred thousand malformed inputs, the same ones each time: the server closes, ignores or answers, and goes on."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Iterator
from typing import Any

import caproto as ca
import pytest
from raw_client import RawClient

from ioc.ca import Client, EnumPv, IntPv, Limits, StringArrayPv, TextPv
from ioc.ca.circuit import Circuit
from ioc.ca.limits import Complaints
from ioc.ca.puts import Journal, Puts
from ioc.ca.search import Search
from ioc.ca.site import Namespace, Site
from tests.ca.serving import Serve
from tests.laps import Laps

_TCP_INPUTS = 80_000
_UDP_INPUTS = 20_000
_SOCKETS = 300
_NAMES = ["T:I", "T:E", "T:T", "T:L", "T:I.DESC", "T:T$", "T:None", "T:I.{", "", "x" * 300, "T:I\0T:E", "\xff\xfe"]


async def _accept(client: Client, value: Any) -> None:
    pass


def some_pvs() -> list[Any]:
    return [
        IntPv("T:I", "", on_put=_accept),
        EnumPv("T:E", "", ("a", "b"), on_put=_accept),
        TextPv("T:T", "", 100, on_put=_accept),
        StringArrayPv("T:L", "", 3),
    ]


def a_site() -> Site:
    return Site(
        Namespace(some_pvs()),
        Puts(Journal(lambda _: None)),
        lambda *_: True,
        Limits(),
        Complaints(),
        port=5064,
    )


def message(dice: random.Random) -> bytes:
    """One message that is nearly right: real commands with wrong numbers, sizes and payloads."""
    kind = dice.randrange(4)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 60))
    sid, cid = dice.randrange(4), dice.randrange(6)
    request = dice.choice(
        [
            lambda: ca.CreateChanRequest(dice.choice(_NAMES), cid, 13),
            lambda: ca.ReadNotifyRequest(0, 1, sid, cid),
            lambda: ca.EventAddRequest(6, 1, sid, cid, 0, 0, 0, dice.randrange(16)),
            lambda: ca.EventCancelRequest(6, sid, cid),
            lambda: ca.ClearChannelRequest(sid, cid),
            lambda: ca.WriteNotifyRequest([dice.randrange(100)], 5, 1, sid, cid),
            lambda: ca.SearchRequest(dice.choice(_NAMES[:9]), cid, 13, dice.choice([5, 10])),
            lambda: ca.ClientNameRequest(dice.choice(_NAMES)),
            ca.EventsOffRequest,
            ca.EventsOnRequest,
            ca.EchoRequest,
        ]
    )()
    if kind == 1:
        request.header.data_type = dice.choice([0, 3, 4, 5, 6, 14, 20, 31, 34, 37, 38, 99, 65535])
        request.header.data_count = dice.choice([0, 1, 2, 40, 65535])
    data = bytearray(bytes(request))
    if kind == 2:
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data[: dice.randrange(len(data) + 1)] if dice.random() < 0.05 else data)


class NoTransport:
    """Stands for the socket of a circuit."""

    def __init__(self) -> None:
        self.aborted = False
        self.sent = 0

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def a_circuit(site: Site) -> tuple[Circuit, NoTransport]:
    circuit, transport = Circuit(site, lambda _: True, lambda _: None), NoTransport()
    circuit.connection_made(transport)  # type: ignore[arg-type]
    return circuit, transport


async def test_tcp_inputs(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a circuit receives it is answered, ignored or closed; the server's own numbers stay right."""
    caplog.set_level(logging.ERROR)
    dice = random.Random(4711)
    site = a_site()
    circuit, transport = a_circuit(site)
    closed = answered = 0
    for number in range(_TCP_INPUTS):
        circuit.data_received(message(dice))
        if transport.aborted or number % 20 == 19:
            closed += transport.aborted
            answered += transport.sent
            circuit.connection_lost(None)
            assert site.channels == 0
            circuit, transport = a_circuit(site)
            circuit.data_received(bytes(ca.VersionRequest(0, 13)))
            for name in dice.sample(_NAMES[:6], 3):
                circuit.data_received(bytes(ca.CreateChanRequest(name, dice.randrange(6), 13)))
        if number % 100 == 0:
            await asyncio.sleep(0)
    circuit.connection_lost(None)
    await site.puts.close()
    assert closed > 1000
    assert answered > 100_000
    assert not caplog.records
    assert not [pv for pv in map(site.namespace.find, _NAMES) if pv is not None and pv.listeners]


async def test_udp_inputs(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever datagram comes, the search protocol goes on answering the right ones."""
    caplog.set_level(logging.ERROR)
    dice = random.Random(815)

    class Answers:
        count = 0

        def sendto(self, data: bytes, addr: object) -> None:
            self.count += 1

    answers: Any = Answers()
    search = Search(a_site(), (), lambda _: None)
    search.connection_made(answers)
    good = bytes(ca.VersionRequest(0, 13)) + bytes(ca.SearchRequest("T:I", 1, 13))
    for _ in range(_UDP_INPUTS):
        before = answers.count
        search.datagram_received(b"".join(message(dice) for _ in range(dice.randrange(1, 4))), ("127.0.0.1", 1))
        search.datagram_received(good, ("127.0.0.1", 1))
        assert answers.count > before
    assert not caplog.records


def hostile(dice: random.Random) -> Iterator[bytes]:
    while True:
        yield b"".join(message(dice) for _ in range(dice.randrange(1, 30)))


async def test_through_sockets(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of connections with garbage, some left open, beside a client that is answered all the time."""
    caplog.set_level(logging.ERROR)
    dice = random.Random(42)
    server = await serve(*some_pvs(), limits=Limits(clients=100, speak_seconds=0.5))
    open_ones: list[socket.socket] = []
    async with RawClient(server.port) as client:
        channel = await client.channel("T:I")
        with Laps() as laps:
            for _, data in zip(range(_SOCKETS), hostile(dice), strict=False):
                one = socket.create_connection(("127.0.0.1", server.port))
                one.setblocking(False)
                one.send(data if dice.random() < 0.5 else bytes(ca.VersionRequest(0, 13)) + data)
                if dice.random() < 0.5:
                    one.close()
                else:
                    open_ones.append(one)
                with laps.lap():
                    await client.send(channel.read())
                    await client.next(ca.ReadNotifyResponse)
        for one in open_ones:
            one.close()
        assert server.stats().clients <= 100
    assert laps.longest < 1.0
    assert not caplog.records
