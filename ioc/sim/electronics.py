"""The data sources behind one ECC server: CoBos or a MuTAnT that send to their routers while the server is Running."""

from __future__ import annotations

import asyncio
import contextlib

from ioc.sim.ecc_arguments import Link
from ioc.sim.ecc_state import State
from ioc.sim.plan import HOST

IN_FLIGHT = 0.3
"""Seconds for which data still arrive at the routers after the sources were stopped."""
_PERIOD = 0.1
_RECONNECT = 0.5
_FRAME = b"\x08" + bytes(range(255))


class DataStream:
    """One source's connection to one router: the id of the source in a line, then frames until the run ends."""

    def __init__(self, link: Link, rate: float) -> None:
        self.flowing = True
        self._link = link
        self._rate = rate
        self._periods_left = float("inf")

    def end(self, in_flight: float) -> None:
        """Close the connection when `in_flight` more seconds of data are sent."""
        self._periods_left = round(in_flight / _PERIOD)

    async def run(self) -> None:
        """Connect, again if the router dies, and send."""
        while self._periods_left > 0:
            try:
                _, writer = await asyncio.open_connection(self._link.address, self._link.port)
            except OSError:
                await asyncio.sleep(_RECONNECT)
                continue
            try:
                await self._send(writer)
            except OSError:
                await asyncio.sleep(_RECONNECT)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self._link.source}\n".encode())
        owed = 0.0
        while self._periods_left > 0:
            self._periods_left -= 1
            if self.flowing:
                owed += self._rate * _PERIOD
                size = int(owed)
                owed -= size
                writer.write((_FRAME * (size // len(_FRAME) + 1))[:size])
            await writer.drain()
            await asyncio.sleep(_PERIOD)


class Electronics:
    """All sources of one ECC server; `follow` makes them do what the server's state says."""

    def __init__(self, rate_per_source: float) -> None:
        self.links: tuple[Link, ...] = ()
        self.dead = False
        """They have lost power: nothing is sent, and Breakup will find out."""
        self._rate = rate_per_source
        self._active: list[DataStream] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, state: State) -> None:
        """Send in Running, wait in Paused, end in any other state."""
        if state not in {State.RUNNING, State.PAUSED} or self.dead:
            for stream in self._active:
                stream.end(0.0 if self.dead else IN_FLIGHT)
            self._active.clear()
            return
        if state is State.RUNNING and not self._active:
            self._active = [self._connect(link) for link in self.links if link.address in {HOST, "localhost"}]
        for stream in self._active:
            stream.flowing = state is State.RUNNING

    def _connect(self, link: Link) -> DataStream:
        siblings = sum(other.source == link.source for other in self.links)
        stream = DataStream(link, self._rate / siblings)
        task = asyncio.get_running_loop().create_task(stream.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stream

    async def close(self) -> None:
        """End every connection at once."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
