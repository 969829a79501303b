"""The sockets on which searches are heard: of the served interfaces, of their nets, of multicast groups."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from ioc.ca.environment import ANY, Environment
from ioc.ca.interfaces import broadcast_addresses
from ioc.ca.search import Search
from ioc.ca.site import Site
from ioc.ca.sockets import search_socket

_LOOPBACK = "127.0.0.1"


class Ears:
    """Listens on what `environment` says, with the interfaces as they are whenever `refresh` is called.

    What is heard by broadcast or in a group is answered from the socket of the interface, as in EPICS base: the client
    connects to the address that the answer comes from.
    """

    def __init__(self, site: Site, environment: Environment, lost: Callable[[Exception | None], None]) -> None:
        self._site = site
        self._environment = environment
        self._lost = lost
        self._open: dict[str, asyncio.DatagramTransport] = {}

    @property
    def transports(self) -> list[asyncio.DatagramTransport]:
        return list(self._open.values())

    async def refresh(self) -> None:
        """Listen on what is new and no longer on what has gone.

        Raises:
            CannotServe: a port is in use.
        """
        environment = self._environment
        for address in environment.interfaces:
            await self._listen(address, None)
        nets = {} if ANY in environment.interfaces else environment.broadcasts()
        for address, net in nets.items():
            await self._listen(net, self._open[address])
        for group in environment.groups:
            await self._listen(group, self._open[environment.interfaces[0]])
            self._join(group)
        wanted = {*environment.interfaces, *nets.values(), *environment.groups}
        for address in [address for address in self._open if address not in wanted]:
            self._open.pop(address).close()

    async def _listen(self, address: str, answer_from: asyncio.DatagramTransport | None) -> None:
        if address in self._open:
            return
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Search(
                self._site,
                self._environment.ignored,
                lambda error: self._ended(address, error),
                answer_from=answer_from,
            ),
            sock=search_socket(address, self._environment.port),
        )
        self._open[address] = transport

    def _ended(self, address: str, error: Exception | None) -> None:
        if address in self._open:
            self._lost(error)

    def _join(self, group: str) -> None:
        """On every interface that is served; one that is a member already says so."""
        served = self._environment.interfaces
        known = [*broadcast_addresses(), _LOOPBACK] if ANY in served else served
        sock: socket.socket = self._open[group].get_extra_info("socket")
        for address in known:
            with contextlib.suppress(OSError):
                member = socket.inet_aton(group) + socket.inet_aton(address)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)

    def close(self) -> None:
        for transport in self._open.values():
            transport.close()
