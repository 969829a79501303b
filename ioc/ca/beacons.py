"""Beacons: datagrams that tell clients a server is there, fast at first and then ever more slowly."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from itertools import count

import caproto as ca

from ioc.ca.environment import Beacon
from ioc.ca.limits import Complaints
from ioc.ca.session import VERSION
from ioc.ca.sockets import beacon_socket

_FIRST_PERIOD = 0.02


class Beacons:
    """Sends beacons to `addresses`; the period doubles from 20 ms to `longest` seconds."""

    def __init__(self, port: int, addresses: Sequence[Beacon], longest: float, complaints: Complaints) -> None:
        self._port = port
        self.addresses = addresses
        self._longest = longest
        self._complaints = complaints
        self._again = asyncio.Event()

    def restart(self) -> None:
        """Begin with the short period again: clients take that as a sign to search for what they miss."""
        self._again.set()

    async def run(self) -> None:
        with beacon_socket() as sock:
            period = _FIRST_PERIOD
            for number in count():
                for beacon in self.addresses:
                    self._send(sock, number, beacon)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(period):
                        await self._again.wait()
                period = _FIRST_PERIOD if self._again.is_set() else min(2 * period, self._longest)
                self._again.clear()

    def _send(self, sock: socket.socket, number: int, to: Beacon) -> None:
        beacon = ca.Beacon(VERSION, self._port, number % 2**32, to.server)
        try:
            sock.sendto(bytes(beacon), (to.host, to.port))
        except OSError as error:
            self._complaints.log(f"beacon {to.host}", f"a beacon to {to.host}:{to.port} could not be sent: {error}")
