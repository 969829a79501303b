"""A CA client that does exactly what a test says, made of caproto's client-side protocol."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Self

import caproto as ca


class RawClient:
    """One circuit. `received` has every response so far, in order."""

    def __init__(self, port: int, user: str = "tester") -> None:
        self._port = port
        self._user = user
        self.circuit = ca.VirtualCircuit(ca.CLIENT, ("127.0.0.1", port), 0)
        """caproto's state of the conversation."""
        self.received: list[Any] = []
        self._passed = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self.send(ca.VersionRequest(0, 13), ca.ClientNameRequest(self._user), ca.HostNameRequest("elsewhere"))
        await self.next(ca.VersionResponse)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, *commands: Any) -> None:
        self._writer.write(b"".join(bytes(buffer) for buffer in self.circuit.send(*commands)))
        await self._writer.drain()

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def next(self, kind: type, timeout: float = 60.0) -> Any:
        """The next response of this kind; what comes before it is passed over."""
        deadline = time.monotonic() + timeout
        while True:
            for response in self.received[self._passed :]:
                self._passed += 1
                if isinstance(response, kind):
                    return response
            await self._read(deadline - time.monotonic())

    async def _read(self, timeout: float) -> None:
        data = await asyncio.wait_for(self._reader.read(65536), timeout)
        assert data, "the server closed the circuit"
        responses, _ = self.circuit.recv(data)
        for response in responses:
            self.circuit.process_command(response)
            self.received.append(response)

    async def channel(self, name: str) -> Any:
        """Create a channel; `access_rights` and `sid` are set when it returns."""
        channel = ca.ClientChannel(name, self.circuit)
        await self.send(channel.create())
        await self.next(ca.CreateChanResponse)
        return channel

    def forget(self) -> None:
        """Drop what was received so far."""
        self.received.clear()
        self._passed = 0

    async def echo(self) -> None:
        """Wait until the server has answered everything before."""
        await self.send(ca.EchoRequest())
        await self.next(ca.EchoResponse)


def datagram_exchange(port: int, *datagrams: bytes, timeout: float = 60.0) -> list[bytes]:
    """Send datagrams from one socket; returns what comes back until as many answers as datagrams have come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        for datagram in datagrams:
            sock.sendto(datagram, ("127.0.0.1", port))
        return [sock.recv(65536) for _ in datagrams]


async def closes(port: int, data: bytes, timeout: float = 60.0) -> bool:
    """Whether the server closes a connection over which `data` was sent within the time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(timeout):
            while await reader.read(65536):
                pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    else:
        return True
    finally:
        writer.close()
