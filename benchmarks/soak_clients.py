"""Clients that come and go: well-behaved ones, ones that never read, ones that vanish, ones that send garbage."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable

from benchmarks.ca_client import Circuit

Visit = Callable[[list[str], float], None]
_SECONDS = 3.0
_CHANNELS = 40


class Visitors:
    """Clients of the server on one port."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self.came = 0

    async def come_and_go(self, names: list[str]) -> None:
        """Some clients at once, each with random channels; all have gone when this returns."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._chance.randrange(4)):
                self.came += 1
                visit = self._chance.choice((self._watch, self._freeze, self._babble))
                some = self._chance.sample(names, _CHANNELS)
                tasks.create_task(asyncio.to_thread(self._leniently, visit, some, self._chance.uniform(0, _SECONDS)))

    def _leniently(self, visit: Visit, names: list[str], seconds: float) -> None:
        """The server may restart meanwhile, or close the circuit."""
        with contextlib.suppress(OSError):
            visit(names, seconds)

    def _watch(self, names: list[str], seconds: float) -> None:
        with contextlib.closing(Circuit(self._port)) as circuit:
            sids = circuit.create(names)
            circuit.read(sids)
            circuit.subscribe(sids)
            circuit.sock.settimeout(0.2)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    circuit.sock.recv(65536)

    def _freeze(self, names: list[str], seconds: float) -> None:
        with contextlib.closing(Circuit(self._port, receive_buffer=4096)) as circuit:
            circuit.subscribe(circuit.create(names))
            time.sleep(seconds)

    def _babble(self, names: list[str], seconds: float) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as stream:
            stream.sendall(random.randbytes(1000))
            time.sleep(seconds / 3)
