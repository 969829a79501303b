"""UDP searches: answers those of clients, and sends its own to find other servers with the same PV names."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Iterator
from ipaddress import IPv4Address
from itertools import islice
from typing import cast

import caproto as ca

from ioc.ca.environment import ANY, LOOPBACK, Environment, broadcast_addresses, own_addresses
from ioc.ca.site import Site
from ioc.ca.sockets import broadcasting_socket, search_socket
from ioc.ca.wire import VERSION, decode_searches, found, version

logger = logging.getLogger("ioc.ca")

_LONGEST_REQUEST = 4096
"""Clients send at most 1472 bytes; longer datagrams are ignored."""
_ANSWERS_PER_DATAGRAM = 58
_NAMES = 20
"""Number of our names in one search; the next search takes others."""
_ANSWER_SECONDS = 1.0
_SOCKETS = 8
"""Of two servers on one host, only one receives a unicast datagram; the sender's port determines which one."""
_MOST_ANSWERS = 1000
_MISSED = 3
"""Searches without an answer after which another server counts as gone."""
_AS_SENDER = (0, 0xFFFFFFFF)


class Search(asyncio.DatagramProtocol):
    """Answers from the socket that received the search, or from `answer_from`, with one datagram if it fits.

    The answer repeats the sequence number of the request; without it, libca considers its searches lost and slows down.
    """

    def __init__(
        self,
        site: Site,
        ignored: Collection[str],
        lost: Callable[[Exception | None], None],
        *,
        answer_from: asyncio.DatagramTransport | None = None,
    ) -> None:
        self._site = site
        self._ignored = ignored
        self._lost = lost
        self._answer_from = answer_from
        self._broadcaster = ca.Broadcaster(ca.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._answer_from or cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def error_received(self, exc: Exception) -> None:
        self._site.complaints.log("udp", f"an answer to a search could not be sent: {exc}")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > _LONGEST_REQUEST or addr[0] in self._ignored:
            return
        try:
            searches = decode_searches(data, addr, self._broadcaster)
        except ca.RemoteProtocolError as error:
            self._site.complaints.log("garbage on udp", f"a datagram from {addr[0]} is not Channel Access: {error}")
            return
        find, port = self._site.namespace.find, self._site.port
        answers = [found(port, number) for number, name in searches.names if find(name) is not None]
        for first in range(0, len(answers), _ANSWERS_PER_DATAGRAM):
            batch = answers[first : first + _ANSWERS_PER_DATAGRAM]
            self._transport.sendto(version(searches.sequence) + b"".join(batch), addr)


class SearchListener:
    """Listens on the served interfaces, their networks' broadcast addresses and the multicast groups.

    A search by broadcast or multicast is answered from the socket of the interface, as in EPICS base: the client
    connects to the source address of the answer.
    """

    def __init__(self, site: Site, environment: Environment, lost: Callable[[Exception | None], None]) -> None:
        self._site = site
        self._environment = environment
        self._lost = lost
        self._open: dict[str, asyncio.DatagramTransport] = {}

    async def refresh(self) -> None:
        """Follow the current interfaces: listen on new addresses, and no longer on those that are gone.

        Raises:
            CannotServe: a port is in use.
        """
        environment, interfaces = self._environment, self._environment.interfaces
        nets = {} if ANY in interfaces else environment.broadcasts()
        for address in interfaces:
            await self._listen(address, None)
        for address, net in nets.items():
            await self._listen(net, self._open[address])
        for group in environment.groups:
            await self._listen(group, self._open[interfaces[0]])
            self._join(group)
        for address in self._open.keys() - {*interfaces, *nets.values(), *environment.groups}:
            self._open.pop(address).close()

    async def _listen(self, address: str, answer_from: asyncio.DatagramTransport | None) -> None:
        if address in self._open:
            return

        def ended(error: Exception | None) -> None:
            if address in self._open:
                self._lost(error)

        search = Search(self._site, self._environment.ignored, ended, answer_from=answer_from)
        sock = search_socket(address, self._environment.port)
        loop = asyncio.get_running_loop()
        self._open[address], _ = await loop.create_datagram_endpoint(lambda: search, sock=sock)

    def _join(self, group: str) -> None:
        """Join on every served interface; an error means that it is already a member."""
        served = self._environment.interfaces
        sock: socket.socket = self._open[group].get_extra_info("socket")
        for address in [*broadcast_addresses(), LOOPBACK] if ANY in served else served:
            with contextlib.suppress(OSError):
                member = socket.inet_aton(group) + socket.inet_aton(address)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)

    def close(self) -> None:
        for transport in self._open.values():
            transport.close()


class OtherServers:
    """Searches for some of our own names, as clients do, and warns if another server answers.

    Usually that is a second IOC started by mistake. Clients connect to whichever answers first, and neither server
    would notice.
    """

    def __init__(self, site: Site, environment: Environment) -> None:
        self._site = site
        self._environment = environment
        self._turn = 0
        self._missed: dict[str, int] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of each other server."""
        return tuple(self._missed)

    async def run(self) -> None:
        while True:
            answered = await self._look()
            for address in answered.keys() - self._missed.keys():
                logger.error(
                    "another server, %s, has PVs of the same names (%s): clients may get either, so stop one of them",
                    address,
                    answered[address],
                )
            missed = {address: number + 1 for address, number in self._missed.items()} | dict.fromkeys(answered, 0)
            self._missed = {address: number for address, number in missed.items() if number < _MISSED}
            for address in missed.keys() - self._missed.keys():
                logger.warning("the other server with PVs of the same names, %s, is gone", address)
            await asyncio.sleep(self._site.limits.rivals_seconds)

    async def _look(self) -> dict[str, str]:
        """Other servers that answer, each with one of the names."""
        names, mine = self._names(), own_addresses()
        searches = [ca.SearchRequest(name, number, VERSION) for number, name in enumerate(names)]
        request = b"".join(bytes(part) for part in (ca.VersionRequest(0, VERSION), *searches))
        found: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(broadcasting_socket()) for _ in range(_SOCKETS)]
            for target in self._environment.search_targets:
                for sock in sockets if target[0] in mine else sockets[:1]:
                    with contextlib.suppress(OSError):
                        sock.sendto(request, target)
            await asyncio.sleep(_ANSWER_SECONDS)
            for host, port, number in (answer for sock in sockets for answer in _answers(sock)):
                here = host in mine  # this machine may have answered from several of its addresses
                if not (here and port == self._site.port):
                    found[f"{LOOPBACK if here else host}:{port}"] = names[number if number < len(names) else 0]
        return found

    def _names(self) -> list[str]:
        """The first name, and some of the others."""
        every = list(self._site.namespace.names)
        start = 1 + self._turn * _NAMES
        self._turn = 0 if start + _NAMES >= len(every) else self._turn + 1
        return [*every[:1], *islice(every, start, start + _NAMES)]


def _answers(sock: socket.socket) -> Iterator[tuple[str, int, int]]:
    """The received answers: address and port of the server, number of the name."""
    broadcaster = ca.Broadcaster(ca.CLIENT)
    for _ in range(_MOST_ANSWERS):
        try:
            data, sender = sock.recvfrom(65536)
        except BlockingIOError:
            return
        except OSError:  # nothing listens there, as it should be
            continue
        with contextlib.suppress(ca.RemoteProtocolError):
            for answer in broadcaster.recv(data, sender):
                if isinstance(answer, ca.SearchResponse):
                    given = answer.header.parameter1  # a name server gives the address of another server
                    host: str = sender[0] if given in _AS_SENDER else str(IPv4Address(given))
                    yield host, answer.port, answer.cid
