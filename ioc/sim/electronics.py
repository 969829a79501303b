"""All data sources behind one ECC server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum

from ioc.sim.ecc_arguments import Link
from ioc.sim.ecc_state import State
from ioc.sim.plan import HOST
from ioc.sim.source import LinkError, Source

_LINKED = frozenset({State.READY, State.RUNNING, State.PAUSED})


class Links(StrEnum):
    """What becomes of the links of an ECC server that dies."""

    STAY = "stay"
    """The boards go on as they were. At the next Configure they close a TCP or ZBUF link and make it anew before the
    router listens again: it fails, and the one after it does not. With the real ones that happens only sometimes."""
    YIELD = "yield"
    """The boards go on as they were, and the router is quick enough at the next Configure."""
    END = "end"
    """The boards are restarted too."""


class Electronics:
    """The sources of one ECC server; `follow` makes them do what the server's state says."""

    def __init__(self, sources: tuple[str, ...], rate_per_source: float, asads: int = 4, host: str = HOST) -> None:
        self.sources = tuple(Source(name, asads, rate_per_source, host) for name in sources)
        self.dead = False
        """They have lost power: nothing is sent, and Breakup will find out."""
        self._left = Links.END
        """Their server died and they go on as they were, until a Configure takes them over; unless END."""
        self._state = State.IDLE

    async def connect(self, links: Mapping[str, Link]) -> None:
        """Link every source to its router, as far as that is done at Configure; all or none.

        Raises:
            LinkError: for the first that could not.
        """
        if self._left is not Links.END:
            await self._take_over(links)
        try:
            for source in self.sources:
                await source.configure(links[source.name])
        except LinkError:
            self.drop()
            raise

    async def _take_over(self, links: Mapping[str, Link]) -> None:
        early = [source.too_early(links[source.name]) for source in self.sources]
        left = self._left
        self.power_cycle()
        await self.parted()
        for error in early:
            if error and left is Links.STAY:
                raise error

    async def begin(self) -> None:
        """Make the links that stand only while the sources run.

        Raises:
            LinkError: for the first that could not; those that could end again.
        """
        try:
            for source in self.sources:
                await source.begin()
        except LinkError:
            for source in self.sources:
                source.stop()
            raise

    def follow(self, state: State) -> None:
        """Send in Running, keep the links in Ready and Paused, drop them in any other state."""
        if self._left is not Links.END and not self.dead:
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
                    source.pause()
                case State.READY:
                    source.stop()
                case _:
                    pass

    def leave(self, links: Links) -> None:
        """Be without a server: it died."""
        if links is Links.END or self.dead:
            self.power_cycle()
        elif self._state in _LINKED:
            self._left = links

    def break_down(self) -> None:
        """Have no power any more."""
        self.power_cycle()
        self.dead = True

    def power_cycle(self) -> None:
        """Be as nobody had configured them."""
        self._left, self._state = Links.END, State.IDLE
        self.drop()

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
