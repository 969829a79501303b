"""All circuits of a server: who is let in, who has to go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ioc.ca.circuit import Circuit
from ioc.ca.limits import Complaints, Limits
from ioc.ca.pv import Pv

_WATCH_PERIOD = 0.5


class Clients:
    """Keeps the circuits in order of their arrival, bounded in number."""

    def __init__(self, limits: Limits, complaints: Complaints) -> None:
        self._limits = limits
        self._complaints = complaints
        self._circuits: dict[Circuit, None] = {}
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._high_water = 0
        self.dropped = 0
        """Clients that were dropped because they took nothing of what waited for them."""

    def __len__(self) -> int:
        return len(self._circuits)

    def __iter__(self) -> Iterator[Circuit]:
        return iter(list(self._circuits))

    @property
    def high_water(self) -> int:
        """The most that ever waited for one client."""
        return max([self._high_water, *(circuit.high_water for circuit in self._circuits)])

    def admit(self, circuit: Circuit) -> bool:
        """Take in a newcomer; if there is no room the oldest without a channel goes, else the newcomer."""
        if len(self._circuits) >= self._limits.clients:
            idle = next((other for other in self._circuits if not other.channels), None)
            self._complaints.log(
                "clients",
                f"there are {len(self._circuits)} clients, more than {self._limits.clients} "
                f"are not served: {(idle or circuit).name} is closed",
            )
            if idle is None:
                return False
            del self._circuits[idle]
            idle.drop("made room for another")
        self._circuits[circuit] = None
        return True

    def leave(self, circuit: Circuit) -> None:
        self._high_water = max(self._high_water, circuit.high_water)
        self._circuits.pop(circuit, None)
        if not self._circuits:
            self._none_left.set()

    def disconnect(self, pvs: Iterable[Pv[Any]]) -> None:
        gone = tuple(pvs)
        for circuit in self:
            circuit.disconnect(gone)

    async def close(self) -> None:
        """Drop everybody and wait until they have left."""
        for circuit in self:
            self._none_left.clear()
            circuit.drop("the server ends")
        await self._none_left.wait()

    async def watch(self) -> None:
        """Drop clients that take nothing, and connections that do not speak Channel Access."""
        while True:
            await asyncio.sleep(_WATCH_PERIOD)
            now = time.monotonic()
            for circuit in self:
                stalled = circuit.stalled_for()
                if stalled > self._limits.stall_seconds:
                    self.dropped += 1
                    self._complaints.log(
                        f"stalled {circuit.name}", f"client {circuit.name} took nothing for {stalled:.0f} s: dropped"
                    )
                    circuit.drop("took nothing")
                elif not circuit.spoken and now - circuit.born > self._limits.speak_seconds:
                    self._complaints.log(
                        "silent", f"connection {circuit.name} closed: it said nothing for {now - circuit.born:.0f} s"
                    )
                    circuit.drop("did not speak")
