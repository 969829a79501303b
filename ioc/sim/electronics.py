"""The data sources behind one ECC server: CoBos or a MuTAnT, with the links to their routers and the data they send."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

from ioc.sim.ecc_arguments import Link
from ioc.sim.ecc_state import State
from ioc.sim.frames import Board
from ioc.sim.plan import HOST

IN_FLIGHT = 0.3
"""Seconds for which data still arrive at the routers after the sources were stopped."""
_PERIOD = 0.1
_PART_WITHIN = 1.0
_LINKED = frozenset({State.READY, State.RUNNING, State.PAUSED})


class LinkError(Exception):
    """A source could not connect to its router; the text is what the server says then."""


class Source:
    """One board: connected to its routers from Configure to Breakup, whole frames to each of them while it runs."""

    def __init__(self, name: str, asads: int, rate: float, host: str = HOST) -> None:
        self.name = name
        self.silent = False
        """Nothing comes, whatever the server says, as from a board whose trigger is dead."""
        self.event = 0
        """Number of the next event; begins at 0 in each run."""
        self._board = Board(name, asads)
        self._rate = rate
        self._host = host
        self._writers: list[asyncio.StreamWriter] = []
        self._watches: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._flow: asyncio.Task[None] | None = None
        self._periods_left = 0.0
        self._began = 0.0

    @property
    def link_count(self) -> int:
        """Links that stand."""
        return len(self._writers)

    async def connect(self, links: tuple[Link, ...]) -> None:
        """Make the link to each router of this machine, with one attempt, as the real boards do.

        Raises:
            LinkError: one of them does not listen; the links already made are dropped.
        """
        for link in links:
            if link.source != self.name or link.address not in {self._host, "localhost"}:
                continue
            try:
                reader, writer = await asyncio.open_connection(link.address, link.port)
            except OSError as error:
                self.drop()
                raise LinkError(
                    f"Could not connect data sender '{self.name}' to its data router: "
                    f"{link.address}:{link.port}: {os.strerror(error.errno or 0)}"
                ) from None
            self._writers.append(writer)
            watch = asyncio.get_running_loop().create_task(self._watch(reader, writer))
            self._watches[watch] = writer
            watch.add_done_callback(self._watches.pop)

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the router's end of the link. Nothing but Configure makes it anew."""
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        if writer in self._writers:
            self._writers.remove(writer)
        writer.close()

    def drop(self) -> None:
        """End every link; what the routers have not said good-bye to is waited for by `parted`."""
        self.halt()
        for writer in self._writers:
            writer.write_eof()
        self._writers.clear()

    async def parted(self) -> None:
        """Wait until the routers have closed the dropped links: they listen again then."""
        leaving = {watch: writer for watch, writer in self._watches.items() if writer not in self._writers}
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=_PART_WITHIN)
            for watch in late:
                leaving[watch].transport.abort()

    def run(self, *, anew: bool) -> None:
        """Send; `anew` begins with event 0."""
        self.halt()
        if anew:
            self.event, self._began = 0, time.monotonic()
        self._periods_left = float("inf")
        self._flow = asyncio.get_running_loop().create_task(self._send())

    def stop(self) -> None:
        """Send what is in flight, and no more."""
        self._periods_left = min(self._periods_left, round(IN_FLIGHT / _PERIOD))

    def halt(self) -> None:
        """Send nothing more."""
        if self._flow:
            self._flow.cancel()
            self._flow = None

    async def _send(self) -> None:
        size = self._board.event_size * max(1, len(self._writers))
        owed = size if self.event == 0 else 0.0
        while self._periods_left > 0:
            owed += self._rate * _PERIOD
            while owed >= size:
                owed -= size
                await self._send_event()
            await asyncio.sleep(_PERIOD)
            self._periods_left -= 1
        await self._send_event()  # what was in the board's memory

    async def _send_event(self) -> None:
        ticks = int((time.monotonic() - self._began) * 1e8)
        frames = b"".join(self._board.event(self.event, ticks))
        self.event += 1
        if self.silent:
            return
        for writer in list(self._writers):
            with contextlib.suppress(OSError):  # its watch takes the link away
                writer.write(frames)
                await writer.drain()

    async def close(self) -> None:
        """End every connection at once."""
        self.halt()
        self._writers.clear()
        watches = list(self._watches)
        for watch in watches:
            self._watches[watch].transport.abort()
        await asyncio.gather(*watches, return_exceptions=True)


class Electronics:
    """All sources of one ECC server; `follow` makes them do what the server's state says."""

    def __init__(self, sources: tuple[str, ...], rate_per_source: float, asads: int = 4, host: str = HOST) -> None:
        self.sources = tuple(Source(name, asads, rate_per_source, host) for name in sources)
        self.dead = False
        """They have lost power: nothing is sent, and Breakup will find out."""
        self.abandoned = False
        """Their server died and they go on as they were, until a Configure takes them over."""
        self._state = State.IDLE

    async def connect(self, links: tuple[Link, ...]) -> None:
        """Link every source to its routers; all or none.

        Raises:
            LinkError: for the first that could not.
        """
        if self.abandoned:
            self.abandoned, self._state = False, State.PREPARED
            self.drop()
            await self.parted()
        try:
            for source in self.sources:
                await source.connect(links)
        except LinkError:
            self.drop()
            raise

    def follow(self, state: State) -> None:
        """Send in Running, keep the links in Ready and Paused, drop them in any other state."""
        if self.abandoned and not self.dead:
            return
        before, self._state = self._state, state
        if self.dead or state not in _LINKED:
            self.drop()
            return
        for source in self.sources:
            match state:
                case State.RUNNING if before is not State.RUNNING:
                    source.run(anew=before is not State.PAUSED)
                case State.PAUSED:
                    source.halt()
                case State.READY:
                    source.stop()
                case _:
                    pass

    def drop(self) -> None:
        """End every link."""
        for source in self.sources:
            source.drop()

    async def parted(self) -> None:
        """Wait until the routers of the dropped links listen again."""
        await asyncio.gather(*(source.parted() for source in self.sources))

    async def close(self) -> None:
        """End everything at once."""
        await asyncio.gather(*(source.close() for source in self.sources))
