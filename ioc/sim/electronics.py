"""The boards of one ECC server: their links to the data routers, and their data.

The server controls its boards (`Electronics.connect`, `begin`, `follow`), but they run independently: when the server
dies, they keep their links and continue to send. A new server starts in Idle and does not know that. Its Configure
takes over the boards and makes the links that are made at Configure. A board that was sending continues over such a
link until Breakup, or until a run is started and stopped; without a link (FDT) its data end.

How long a link stands depends on its type:

=========  =================  ===========  ==============================================
type       made at            ended by     a lost link
=========  =================  ===========  ==============================================
TCP, ZBUF  Configure          Breakup      stays lost
ICE        Configure          Breakup      is made again for the next event
FDT        Start, Resume      Stop, Pause  is tried once more, at the next heartbeat
=========  =================  ===========  ==============================================
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import cast

from ioc.sim.ecc_state import State
from ioc.sim.ecc_wire import Link
from ioc.sim.frames import Board, Readout
from ioc.sim.plan import HOST

HEARTBEAT = 3.0
"""Seconds between two checks of the FDT link of a running source."""
_IN_FLIGHT_PERIODS = 3
"""Time after Stop during which data still arrive at the routers."""
_PERIOD = 0.1
_PART_WITHIN = 1.0
_MEMORY = 1 << 16
_LASTING = frozenset({"TCP", "ZBUF"})
_COMES_BACK = "ICE"
_ONLY_IN_A_RUN = "FDT"
_IN_A_RUN = frozenset({State.RUNNING, State.PAUSED})
_LINKED = _IN_A_RUN | {State.READY}


class LinkError(Exception):
    """A source could not connect to its router; the text is the ECC server's error message."""


class Links(StrEnum):
    """Behaviour of the links when an ECC server dies."""

    STAY = "stay"
    """The boards continue. The next Configure closes a TCP or ZBUF link and reconnects before the router listens again.

    So it fails, and the one after it works. With real servers it fails only sometimes.
    """
    YIELD = "yield"
    """The boards continue, and at the next Configure the router listens again in time."""
    END = "end"
    """The boards are also restarted."""


class _Wire(asyncio.Protocol):
    """A TCP connection to a router, which sends nothing until it closes the connection."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)


def reset_connection(transport: asyncio.WriteTransport) -> None:
    """End a connection with a TCP RST."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Source:
    """One board, which sends whole frames to one router while it runs."""

    def __init__(self, name: str, asads: int, rate: float, host: str = HOST, readout: Readout = "partial") -> None:
        self.name = name
        self.silent = False
        """It sends nothing, whatever the state of the server, like a board with a dead trigger."""
        self.counts_on = False
        """Event numbers continue at the next Start, as if the counter was not reset."""
        self.event = 0
        """Number of the next event."""
        self._board = Board(name, asads, readout)
        self._rate = rate
        self._host = host
        self._link: Link | None = None
        self._wire: _Wire | None = None
        self._leaving: list[_Wire] = []
        """Dropped connections that the router has not closed yet."""
        self._flow: asyncio.Task[None] | None = None
        self._periods_left = 0.0
        self._began = 0.0

    @property
    def port(self) -> int:
        """Port of the connected router, 0 if not connected."""
        return self._link.port if self._link and self._wire and not self._wire.gone.done() else 0

    @property
    def sending(self) -> bool:
        """Whether it takes data, connected or not."""
        return self._flow is not None and not self._flow.done()

    async def configure(self, link: Link, busy: Collection[int] = ()) -> None:
        """Set the router, and try once to connect to it, unless the link exists only during a run.

        A router on another machine is accepted but never connected. On the ports `busy`, the routers do not listen yet.

        Raises:
            LinkError: the router does not listen, or the link has no known type.
        """
        try:
            await self._accept(link, busy)
        except LinkError as error:
            text = f"Could not connect data sender '{link.source}' to its data router"
            raise LinkError(f"{text}: Failed to connect to data router of type '{link.type}': {error}") from None

    async def _accept(self, link: Link, busy: Collection[int]) -> None:
        if link.type not in {*_LASTING, _COMES_BACK, _ONLY_IN_A_RUN}:
            raise LinkError(f"Unknown data sender type '{link.type}'")
        if link.type in _LASTING and link.port in busy:
            raise _refused(link, errno.ECONNREFUSED)
        self._link = link if link.address in {self._host, "localhost"} else None
        if link.type != _ONLY_IN_A_RUN:
            await self._connect()

    async def begin(self) -> None:
        """Make a link that exists only during a run; LinkError if the router does not listen."""
        if self._is(_ONLY_IN_A_RUN):
            try:
                await self._connect()
            except LinkError as error:
                raise LinkError(f"{self.name}: Could not establish data link. {error} | ") from None

    def run(self, *, from_zero: bool) -> None:
        self.halt()
        if from_zero and not self.counts_on:
            self.event, self._began = 0, time.monotonic()
        self._periods_left = float("inf")
        self._flow = asyncio.get_running_loop().create_task(self._send())

    def pause(self) -> None:
        """Stop sending, but keep the event numbers."""
        self.halt()
        self.end_run_link()

    def stop(self) -> None:
        """Send only the data in flight; a link that exists only during a run ends at once."""
        if self._is(_ONLY_IN_A_RUN):
            if self._flow:
                self._emit()
            self.pause()
        else:
            self._periods_left = min(self._periods_left, _IN_FLIGHT_PERIODS)

    def halt(self) -> None:
        if self._flow:
            self._flow.cancel()
            self._flow = None

    def end_run_link(self) -> None:
        """End a link that exists only during a run."""
        if self._is(_ONLY_IN_A_RUN):
            self._disconnect()

    def drop_link(self) -> None:
        """End the link and forget the router; `links_closed` waits until the router has closed it."""
        self._disconnect()
        self._link = None

    async def reset(self) -> None:
        """Lose the link with a TCP RST, like a board that is power-cycled."""
        if self._wire and self.port:
            reset_connection(self._wire.transport)
            await asyncio.wait([self._wire.gone])

    async def links_closed(self) -> None:
        """Wait until the router has closed a dropped link: it listens again then."""
        leaving, self._leaving = self._leaving, []
        if leaving:
            await asyncio.wait([wire.gone for wire in leaving], timeout=_PART_WITHIN)
            for wire in leaving:
                wire.transport.abort()

    @property
    def _full(self) -> bool:
        """Whether its memory is full because its router does not read; then it takes no events."""
        return bool(self._wire and self.port and self._wire.transport.get_write_buffer_size() > _MEMORY)

    def _is(self, link_type: str) -> bool:
        return self._link is not None and self._link.type == link_type

    async def _connect(self) -> None:
        if self._link and not self.port:
            loop = asyncio.get_running_loop()
            try:
                _, self._wire = await loop.create_connection(_Wire, self._link.address, self._link.port)
            except OSError as error:
                raise _refused(self._link, error.errno or 0) from None

    def _disconnect(self) -> None:
        if self._wire and self.port:
            self._wire.transport.write_eof()
            self._leaving.append(self._wire)
        self._wire = None

    async def _send(self) -> None:
        with contextlib.suppress(LinkError):
            await self.begin()  # if the state was forced
        size = len(self._board.event(0))
        owed = size if self.event == 0 else 0.0
        beat = time.monotonic() + HEARTBEAT
        while self._periods_left > 0:
            owed += self._rate * _PERIOD
            while owed >= size:
                owed -= size
                if not self._full:
                    await self._send_event()
            await asyncio.sleep(_PERIOD)
            self._periods_left -= 1
            if time.monotonic() >= beat:
                beat += HEARTBEAT
                if self._is(_ONLY_IN_A_RUN) and self._wire and not self.port:
                    self._wire = None  # a router that is absent now gets no data until the next Start
                    with contextlib.suppress(LinkError):
                        await self._connect()
        await self._send_event()  # the data in the board's memory

    async def _send_event(self) -> None:
        if self._is(_COMES_BACK):
            with contextlib.suppress(LinkError):
                await self._connect()
        self._emit()

    def _emit(self) -> None:
        ticks = int((time.monotonic() - self._began) * 1e8)
        frames = self._board.event(self.event, ticks)
        self.event += 1
        if self._wire and self.port and not self.silent:
            self._wire.transport.write(frames)


class Electronics:
    """The sources of one ECC server; `follow` adapts them to the server's state."""

    def __init__(
        self,
        sources: tuple[str, ...],
        rate_per_source: float,
        asads: int = 4,
        host: str = HOST,
        readout: Readout = "partial",
    ) -> None:
        self.sources = tuple(Source(name, asads, rate_per_source, host, readout) for name in sources)
        self.dead = False
        """They have lost power: they send nothing, and Breakup will detect it."""
        self._left = Links.END
        """Unless END, their server died and they continue until a Configure takes them over."""
        self._state = State.IDLE

    async def connect(self, links: Mapping[str, Link]) -> None:
        """Make all links that are made at Configure, or none (LinkError)."""
        busy = {source.port for source in self.sources} if self._left is Links.STAY else ()
        self._drop_links()
        await self.links_closed()
        try:
            for source in self.sources:
                await source.configure(links[source.name], busy)
        except LinkError:
            self._drop_links()
            raise
        if self._left is not Links.END:
            self._left, self._state = Links.END, State.PREPARED

    async def begin(self) -> None:
        """Make all links that exist only during a run, or none (LinkError)."""
        try:
            for source in self.sources:
                await source.begin()
        except LinkError:
            for source in self.sources:
                source.end_run_link()
            raise

    def follow(self, state: State) -> None:
        """Send in Running, keep the links in Ready and Paused, end data and links in any other state."""
        if self._left is not Links.END and not self.dead:
            return
        before, self._state = self._state, state
        for source in self.sources:
            if self.dead or state not in _LINKED:
                source.halt()
                source.drop_link()
            elif state is State.RUNNING and before is not State.RUNNING:
                source.run(from_zero=before is not State.PAUSED)
            elif state is State.PAUSED:
                source.pause()
            elif state is State.READY and before in _IN_A_RUN:  # not after Configure: boards that were sending continue
                source.stop()

    def leave(self, links: Links) -> None:
        """Continue without the server, which has died."""
        if links is Links.END or self.dead:
            self.restart()
        elif self._state in _LINKED:
            self._left = links

    def restart(self) -> None:
        """Stop sending and forget the links."""
        self._left = Links.END
        self.follow(State.IDLE)

    def break_down(self) -> None:
        """Lose power."""
        self.restart()
        self.dead = True

    async def links_closed(self) -> None:
        """Wait until the routers of the dropped links listen again."""
        await asyncio.gather(*(source.links_closed() for source in self.sources))

    def _drop_links(self) -> None:
        for source in self.sources:
            source.drop_link()


def _refused(link: Link, number: int) -> LinkError:
    reason = os.strerror(number)
    if link.type == _COMES_BACK:
        return LinkError(f"src/Ice/Network.cpp: ::Ice::ConnectionRefusedException:\nconnection refused: {reason}")
    return LinkError(f"TCP connection to {link.address}:{link.port} failed: {reason} (errno={number}).")
