"""Small clients for the tests of the simulator: plain sockets, never the program's own SOAP client."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ioc.sim.ecc_server import EccServer

CONFIG_ID = (
    '<ConfigId><SubConfigId type="describe">loop</SubConfigId><SubConfigId type="prepare">noasad</SubConfigId>'
    '<SubConfigId type="configure">noasad</SubConfigId></ConfigId>'
)


@dataclass(frozen=True)
class Reply:
    """What a test wants to know of an answer."""

    raw: bytes

    def field(self, name: str) -> str:
        """Text of one child, whatever the dialect."""
        match = re.search(rf"<(?:ecc:)?{name}(?:/>|>(.*?)</(?:ecc:)?{name}>)", self.raw.decode(), re.DOTALL)
        assert match, f"{name} is not in {self.raw!r}"
        return (match[1] or "").replace("&#xA;", "\n").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    @property
    def code(self) -> int:
        return int(self.field("ErrorCode"))

    @property
    def state(self) -> int:
        return int(self.field("State"))

    @property
    def transition(self) -> int:
        return int(self.field("Transition"))


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes to a port of this machine and return everything that comes back until the peer closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read(-1)
    finally:
        writer.close()


def soap(operation: str, config_id: str = CONFIG_ID, table: str = "") -> bytes:
    """A request in the form that every build accepts."""
    arguments = ""
    if operation not in {"GetState", "GetConfigIDs", "ServerExit"}:
        escaped = [text.replace("&", "&amp;").replace("<", "&lt;") for text in (config_id, table)]
        arguments = f"<configID>{escaped[0]}</configID><table>{escaped[1]}</table>"
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<{operation} xmlns="urn:ecc">{arguments}</{operation}></s:Body></s:Envelope>'
    ).encode()
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def link_table(source: str, port: int, link_type: str = "TCP") -> str:
    """The argument `table` with one link."""
    return (
        f'<DataLinkSet><DataLink><DataSender id="{source}"/><DataRouter name="r0" ipAddress="127.0.0.1" '
        f'port="{port}" type="{link_type}"/></DataLink></DataLinkSet>'
    )


async def ask(port: int, operation: str, config_id: str = CONFIG_ID, table: str = "") -> Reply:
    """One operation."""
    return Reply(await exchange(port, soap(operation, config_id, table)))


TO_READY = ("Describe", "Prepare", "Configure")
TO_RUNNING = (*TO_READY, "Start")


async def steps(server: EccServer, table: str, *operations: str) -> int:
    """Carry out operations; returns the server's port."""
    for operation in operations:
        reply = await ask(server.address.port, operation, CONFIG_ID, table)
        assert reply.code == 0, (operation, reply)
    return server.address.port


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


@dataclass(frozen=True)
class Frame:
    """What the header of an MFM frame says; a CoBo's."""

    size: int
    type: int
    event: int
    cobo: int
    asad: int


def frames(data: bytes | bytearray) -> list[Frame]:
    """Take a stream, or a .graw file, apart; nothing may be left over."""
    result: list[Frame] = []
    while data:
        assert data[0] == 8
        size = int.from_bytes(data[1:4], "big") * 256
        assert 0 < size <= len(data)
        result.append(
            Frame(
                size, int.from_bytes(data[5:7], "big"), int.from_bytes(data[22:26], "big"), cobo=data[26], asad=data[27]
            )
        )
        data = data[size:]
    return result


async def until(condition: Callable[[], object], within: float = 60.0) -> None:
    """Poll until `condition` holds, or fail."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)
