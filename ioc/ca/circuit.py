"""The TCP connection of one client: framing, fairness between clients, and closing connections that are not CA."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

import caproto as ca

from ioc.ca.outbox import BATCH_BYTES, Outbox
from ioc.ca.session import Session
from ioc.ca.site import Site
from ioc.ca.sockets import set_peer_timeout
from ioc.ca.wire import ProtocolViolation, Requests

logger = logging.getLogger("ioc.ca")

_TURN_SECONDS = 0.005
"""How long requests of one client are handled before other clients get their turn."""
_TURN_REQUESTS = 400
"""How many: its own puts must get their turn before it has too many unfinished ones."""
_VERSION_BYTES = 16
"""Maximum payload of the first request."""


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
        self._reading = True
        self._turn: asyncio.Handle | None = None
        self._closed = False
        self._progress = (0, 0.0)
        self._answered = 0.0
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
        protocol = ca.VirtualCircuit(ca.SERVER, self._peer, None)
        self._requests = Requests(protocol)
        self.outbox = Outbox(self._site.turns, self._write)
        self.session = Session(self._site, protocol, self.outbox, self._peer[0])
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
        self._requests.feed(data)
        if self._turn is None and not self.outbox.blocked:
            self._work()
            self._answered = self._site.busy_poll.answered(self._answered, self._loop)

    def pause_writing(self) -> None:
        self.outbox.pause()
        self._read_on(False)
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
        outbox, session, complete = self.outbox, self.session, True
        try:
            end = self._loop.time() + _TURN_SECONDS
            outbox.hold()
            for _ in range(_TURN_REQUESTS):
                request = self._requests.next(self._site.limits.request_bytes if session.spoken else _VERSION_BYTES)
                if request is None:
                    complete = False
                    break
                session.handle(request)
                if outbox.bytes >= BATCH_BYTES:
                    outbox.flush()
                    outbox.hold()
                if outbox.blocked or self._loop.time() >= end:
                    break
        except ProtocolViolation as error:
            self._site.complaints.log(f"protocol {self._peer[0]}", f"client {self.name} closed: it {error}")
            self.drop(str(error))
            return
        outbox.flush()
        self._read_on(not outbox.blocked and not complete)
        if complete and not outbox.blocked:
            self._turn = self._loop.call_soon(self._work)

    def _read_on(self, wanted: bool) -> None:
        """Read more from the client, or no more at present."""
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
