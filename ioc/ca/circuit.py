"""The TCP connection of one client: framing, fairness between clients, and closing connections that are not CA."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import caproto as ca

from ioc.ca.outbox import BATCH_BYTES, Outbox
from ioc.ca.session import ProtocolViolation, Session
from ioc.ca.site import Site
from ioc.ca.sockets import set_peer_timeout

logger = logging.getLogger("ioc.ca")

_PIECE = 4096
"""Bytes parsed at a time."""
_TURN_SECONDS = 0.005
"""How long requests of one client are handled before other clients get their turn."""
_VERSION_BYTES = 16
"""Maximum size of the first request."""


class Circuit(asyncio.Protocol):
    """One client. `admit` is called when it connects, `leave` when it has disconnected."""

    session: Session
    outbox: Outbox
    _transport: asyncio.Transport

    def __init__(self, site: Site, admit: Callable[[Circuit], bool], leave: Callable[[Circuit], None]) -> None:
        self._site = site
        self._admit = admit
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._bytes = bytearray()
        self._parsed: deque[Any] = deque()
        self._needed = 0
        """Missing bytes of the request being received."""
        self._turn: asyncio.Handle | None = None
        self._closed = False
        self._progress = (0, 0.0)
        self.born = time.monotonic()

    @property
    def name(self) -> str:
        client = self.session.client
        return f"{client.user or '?'}@{client.host}:{self._peer[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer: tuple[str, int] = (transport.get_extra_info("peername") or ("?", 0))[:2]
        if (sock := transport.get_extra_info("socket")) is not None:
            set_peer_timeout(sock, self._site.limits.vanish_seconds)
        self._protocol = ca.VirtualCircuit(ca.SERVER, self._peer, None)
        self.outbox = Outbox(self._site.turns, self._write)
        self.session = Session(self._site, self._protocol, self.outbox, self._peer[0])
        if not self._admit(self):
            self._closed = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._turn is not None:
            self._turn.cancel()
        self.session.close()
        self.outbox.close()
        self._leave(self)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if self._turn is None and not self.outbox.blocked:
            self._work()

    def pause_writing(self) -> None:
        self.outbox.pause()
        if not self._transport.is_closing():
            self._transport.pause_reading()
        self._progress = self._taken(), time.monotonic()

    def resume_writing(self) -> None:
        self.outbox.resume()
        if self._turn is None:
            self._turn = self._loop.call_soon(self._work)

    def drop(self, why: str) -> None:
        """Close the connection and discard unsent data."""
        if not self._closed:
            self._closed = True
            self.outbox.close()
            logger.debug("client %s dropped: %s", self.name, why)
            self._transport.abort()

    def stalled_for(self) -> float:
        """Seconds for which the client has read nothing although data wait for it."""
        if not self.outbox.blocked or self._closed:
            return 0.0
        now, taken = time.monotonic(), self._taken()
        if taken != self._progress[0]:
            self._progress = taken, now
        return now - self._progress[1]

    def _taken(self) -> int:
        """Bytes accepted by the operating system for the client."""
        return self.outbox.written - self._transport.get_write_buffer_size()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _work(self) -> None:
        """Answer requests for one turn; the rest waits for other clients, and for the client to read its answers."""
        self._turn = None
        if self._closed:
            return
        end = self._loop.time() + _TURN_SECONDS
        try:
            while (self._parsed or self._bytes) and not self.outbox.blocked and self._loop.time() < end:
                if not self._parsed:
                    self._parse()
                else:
                    self.session.handle(self._parsed.popleft())
                    if self.outbox.bytes >= BATCH_BYTES:
                        self.outbox.flush()
            if not self._parsed:
                self._check_length()
        except ProtocolViolation as error:
            self._site.complaints.log(f"protocol {self._peer[0]}", f"client {self.name} closed: it {error}")
            self.drop(str(error))
            return
        self.outbox.flush()
        if self._transport.is_closing():
            return
        if not self.outbox.blocked and not self._parsed and not self._bytes:
            self._transport.resume_reading()
            return
        self._transport.pause_reading()
        if not self.outbox.blocked:
            self._turn = self._loop.call_soon(self._work)

    def _parse(self) -> None:
        piece = bytes(self._bytes[:_PIECE])
        del self._bytes[:_PIECE]
        try:
            self._parsed, self._needed = self._protocol.recv(piece)
        except Exception as error:
            raise ProtocolViolation(f"sent data that are not Channel Access ({type(error).__name__})") from None

    def _check_length(self) -> None:
        longest = self._site.limits.request_bytes if self.session.spoken else _VERSION_BYTES
        if self._needed > longest:
            raise ProtocolViolation(f"announced a request of more than {longest} bytes")
