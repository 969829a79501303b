"""One simulated board: the link to its data router and the data that it sends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import time

from ioc.sim.ecc_arguments import Link
from ioc.sim.frames import Board
from ioc.sim.plan import HOST

IN_FLIGHT = 0.3
"""Seconds for which data still arrive at the routers after the sources were stopped."""
HEARTBEAT = 3.0
"""Seconds between two looks of a running source at its FDT link."""
_PERIOD = 0.1
_PART_WITHIN = 1.0
_ONLY_WHILE_RUNNING = frozenset({"FDT"})
_COMES_BACK = frozenset({"ICE"})
_LASTING = frozenset({"TCP", "ZBUF"})
_LINK_TYPES = _LASTING | _ONLY_WHILE_RUNNING | _COMES_BACK


class LinkError(Exception):
    """A source could not connect to its router; the text is what the server says then."""


class Source:
    """One board, with one router: whole frames to it while it runs.

    TCP and ZBUF links stand from Configure to Breakup, and nothing in between makes a lost one anew. An FDT link stands
    from Start to Stop or Pause; a lost one is tried once more at the next heart beat. An ICE link stands as the first,
    but is tried again for each event.
    """

    def __init__(self, name: str, asads: int, rate: float, host: str = HOST) -> None:
        self.name = name
        self.silent = False
        """Nothing comes, whatever the server says, as from a board whose trigger is dead."""
        self.counts_on = False
        """Event numbers go on at the next Start, as if the counter were not reset."""
        self.event = 0
        """Number of the next event."""
        self._board = Board(name, asads)
        self._rate = rate
        self._host = host
        self._link: Link | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._watches: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._flow: asyncio.Task[None] | None = None
        self._periods_left = 0.0
        self._began = 0.0
        self._lost = False

    @property
    def linked(self) -> bool:
        """Whether the link to its router stands."""
        return self._writer is not None

    async def configure(self, link: Link) -> None:
        """Be told the router, and connect to it with one attempt unless that is left to `begin`.

        A router on another machine is accepted and never connected.

        Raises:
            LinkError: the router does not listen, or the link has no known type.
        """
        if link.type not in _LINK_TYPES:
            raise _not_connected(link, f"Unknown data sender type '{link.type}'")
        self._link = link if link.address in {self._host, "localhost"} else None
        if link.type not in _ONLY_WHILE_RUNNING:
            try:
                await self._connect()
            except LinkError as error:
                raise _not_connected(link, str(error)) from None

    def too_early(self, link: Link) -> LinkError | None:
        """What a new link gets if the old one to the same router stands: that does not listen yet."""
        if self.linked and self._link and self._link.port == link.port and link.type in _LASTING:
            return _not_connected(link, _refusal(link, errno.ECONNREFUSED))
        return None

    async def begin(self) -> None:
        """Make a link that stands only while the source runs.

        Raises:
            LinkError: the router does not listen.
        """
        if not self._has(_ONLY_WHILE_RUNNING):
            return
        try:
            await self._connect()
        except LinkError as error:
            raise LinkError(f"{self.name}: Could not establish data link. {error} | ") from None

    def _has(self, types: frozenset[str]) -> bool:
        return self._link is not None and self._link.type in types

    async def _connect(self) -> None:
        if self._link is None or self._writer is not None:
            return
        try:
            reader, writer = await asyncio.open_connection(self._link.address, self._link.port)
        except OSError as error:
            raise LinkError(_refusal(self._link, error.errno or 0)) from None
        self._writer = writer
        self._lost = False
        watch = asyncio.get_running_loop().create_task(self._watch(reader, writer))
        self._watches[watch] = writer
        watch.add_done_callback(self._watches.pop)

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the router's end of the link."""
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        if writer is self._writer:
            self._writer = None
            self._lost = True
        writer.close()

    def drop(self) -> None:
        """End the link and forget the router; one that has not said good-bye is waited for by `parted`."""
        self.halt()
        self._disconnect()
        self._link = None

    def _disconnect(self) -> None:
        self._lost = False
        if self._writer:
            self._writer.write_eof()
            self._writer = None

    async def reset(self) -> None:
        """Lose the link with a TCP RST, as a board that is switched off and on does."""
        if self._writer:
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
            self._writer, self._lost = None, True
            await self.parted()

    async def parted(self) -> None:
        """Wait until the router has closed a dropped link: it listens again then."""
        leaving = {watch: writer for watch, writer in self._watches.items() if writer is not self._writer}
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=_PART_WITHIN)
            for watch in late:
                leaving[watch].transport.abort()

    def run(self, *, anew: bool) -> None:
        """Send; `anew` begins with event 0."""
        self.halt()
        if anew and not self.counts_on:
            self.event, self._began = 0, time.monotonic()
        self._periods_left = float("inf")
        self._flow = asyncio.get_running_loop().create_task(self._send())

    def pause(self) -> None:
        """Send nothing more, but go on with the event numbers later."""
        self.halt()
        if self._has(_ONLY_WHILE_RUNNING):
            self._disconnect()

    def stop(self) -> None:
        """Send what is in flight, and no more; a link that stands only in a run has nothing in flight after it."""
        if self._has(_ONLY_WHILE_RUNNING):
            if self._flow:
                self._emit()
            self.pause()
        else:
            self._periods_left = min(self._periods_left, round(IN_FLIGHT / _PERIOD))

    def halt(self) -> None:
        """Send nothing more."""
        if self._flow:
            self._flow.cancel()
            self._flow = None

    async def _send(self) -> None:
        with contextlib.suppress(LinkError):
            await self.begin()  # if the state was forced
        size = self._board.event_size
        owed = size if self.event == 0 else 0.0
        beat = time.monotonic() + HEARTBEAT
        while self._periods_left > 0:
            owed += self._rate * _PERIOD
            while owed >= size:
                owed -= size
                await self._send_event()
            await asyncio.sleep(_PERIOD)
            self._periods_left -= 1
            if time.monotonic() >= beat:
                beat += HEARTBEAT
                await self._heart_beat()
        await self._send_event()  # what was in the board's memory

    async def _heart_beat(self) -> None:
        if self._has(_ONLY_WHILE_RUNNING) and self._lost:
            self._lost = False  # a router that is not there now gets nothing until the next Start
            with contextlib.suppress(LinkError):
                await self._connect()

    async def _send_event(self) -> None:
        if self._has(_COMES_BACK):
            with contextlib.suppress(LinkError):
                await self._connect()
        self._emit()
        if self._writer:
            with contextlib.suppress(OSError):  # its watch takes the link away
                await self._writer.drain()

    def _emit(self) -> None:
        ticks = int((time.monotonic() - self._began) * 1e8)
        frames = b"".join(self._board.event(self.event, ticks))
        self.event += 1
        if self._writer and not self.silent:
            self._writer.write(frames)

    async def close(self) -> None:
        """End every connection at once."""
        self.halt()
        self._writer = self._link = None
        watches = list(self._watches)
        for watch in watches:
            self._watches[watch].transport.abort()
        await asyncio.gather(*watches, return_exceptions=True)


def _not_connected(link: Link, reason: str) -> LinkError:
    return LinkError(
        f"Could not connect data sender '{link.source}' to its data router: "
        f"Failed to connect to data router of type '{link.type}': {reason}"
    )


def _refusal(link: Link, number: int) -> str:
    reason = os.strerror(number)
    if link.type in _COMES_BACK:
        return f"src/Ice/Network.cpp: ::Ice::ConnectionRefusedException:\nconnection refused: {reason}"
    return f"TCP connection to {link.address}:{link.port} failed: {reason} (errno={number})."
