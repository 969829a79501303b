"""Beacons: datagrams that announce a server to clients, frequent at first and then less and less often."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from itertools import count

import caproto as ca

from ioc.ca.environment import Beacon, Environment
from ioc.ca.site import Site
from ioc.ca.sockets import broadcasting_socket
from ioc.ca.wire import VERSION

logger = logging.getLogger("ioc.ca")

_FIRST_PERIOD = 0.02


class Beacons:
    """Sends beacons to the addresses of the environment; the period doubles from 20 ms to the environment's value."""

    def __init__(self, environment: Environment, site: Site) -> None:
        self._environment = environment
        self._site = site
        self._addresses = environment.beacons
        self._again = asyncio.Event()

    def restart(self) -> None:
        """Restart with the short period: clients then search again for PVs that they miss."""
        self._again.set()

    def refresh(self) -> None:
        """Send to the current networks."""
        if (addresses := self._environment.beacons) != self._addresses:
            logger.info("beacons now go to %s", ", ".join(beacon.host for beacon in addresses) or "nobody")
            self._addresses = addresses
            self.restart()

    async def run(self) -> None:
        with broadcasting_socket() as sock:
            period = _FIRST_PERIOD
            for number in count():
                for beacon in self._addresses:
                    self._send(sock, number, beacon)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(period):
                        await self._again.wait()
                period = _FIRST_PERIOD if self._again.is_set() else min(2 * period, self._environment.beacon_period)
                self._again.clear()

    def _send(self, sock: socket.socket, number: int, to: Beacon) -> None:
        beacon = ca.Beacon(VERSION, self._site.port, number % 2**32, to.server)
        try:
            sock.sendto(bytes(beacon), (to.host, to.port))
        except OSError as error:
            text = f"a beacon to {to.host}:{to.port} could not be sent: {error}"
            self._site.complaints.log(f"beacon {to.host}", text)
