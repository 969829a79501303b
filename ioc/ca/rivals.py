"""Looks for other servers that have PVs of the same names: a second IOC that somebody started by mistake, mostly.

Clients connect to whichever answers first, and neither server would ever notice.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import islice

import caproto as ca

from ioc.ca.environment import Environment
from ioc.ca.interfaces import own_addresses
from ioc.ca.session import VERSION
from ioc.ca.site import Site

logger = logging.getLogger("ioc.ca")

_NAMES = 20
"""Searched for at a time; other ones the next time."""
_ANSWER_SECONDS = 1.0
_SOCKETS = 8
"""Of two servers on one host only one gets what is sent to its address: which one depends on the sender's port."""
_MOST_ANSWERS = 1000
_MISSED = 3
"""A rival that was not heard so many times in a row is gone."""
_HERE = "127.0.0.1"
_AS_SENDER = (0, 0xFFFFFFFF)


class Rivals:
    """Searches as clients do for some names of our own, and warns of whoever else answers."""

    def __init__(self, site: Site, environment: Environment) -> None:
        self._site = site
        self._environment = environment
        self._turn = 0
        self._missed: dict[str, int] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of each rival there is."""
        return tuple(self._missed)

    async def run(self) -> None:
        while True:
            heard = await self._look()
            for address, name in heard.items():
                if address not in self._missed:
                    logger.error(
                        "another server, %s, has PVs of the same names (%s): clients get either, so end one of the two",
                        address,
                        name,
                    )
                self._missed[address] = 0
            for address in [address for address in self._missed if address not in heard]:
                self._missed[address] += 1
                if self._missed[address] >= _MISSED:
                    logger.warning("the other server with PVs of the same names, %s, is gone", address)
                    del self._missed[address]
            await asyncio.sleep(self._site.limits.rivals_seconds)

    async def _look(self) -> dict[str, str]:
        """Who else answers, with one of the names."""
        names, mine = self._names(), own_addresses()
        request = b"".join(bytes(part) for part in (ca.VersionRequest(0, VERSION), *_searches(names)))
        found: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(_socket()) for _ in range(_SOCKETS)]
            for target in self._environment.search_targets:
                for sock in sockets if target[0] in mine else sockets[:1]:
                    with contextlib.suppress(OSError):
                        sock.sendto(request, target)
            await asyncio.sleep(_ANSWER_SECONDS)
            for host, port, number in (answer for sock in sockets for answer in _answers(sock)):
                here = host in mine  # this machine may have answered from several of its addresses
                if not (here and port == self._site.port):
                    found[f"{_HERE if here else host}:{port}"] = names[number] if number < len(names) else names[0]
        return found

    def _names(self) -> list[str]:
        """The first name, and some others."""
        every = list(self._site.namespace.names)
        start = 1 + self._turn * _NAMES
        self._turn = 0 if start + _NAMES >= len(every) else self._turn + 1
        return [*every[:1], *islice(every, start, start + _NAMES)]


def _searches(names: list[str]) -> list[ca.SearchRequest]:
    return [ca.SearchRequest(name, number, VERSION) for number, name in enumerate(names)]


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setblocking(False)
    sock.bind(("", 0))
    return sock


def _answers(sock: socket.socket) -> Iterator[tuple[str, int, int]]:
    """What has come: address and port of the server, number of the name."""
    broadcaster = ca.Broadcaster(ca.CLIENT)
    for _ in range(_MOST_ANSWERS):
        try:
            data, sender = sock.recvfrom(65536)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there, which is as it should be
            continue
        with contextlib.suppress(ca.RemoteProtocolError):
            for answer in broadcaster.recv(data, sender):
                if isinstance(answer, ca.SearchResponse):
                    told = answer.header.parameter1  # a name server tells of another server than itself
                    host: str = sender[0] if told in _AS_SENDER else str(IPv4Address(told))
                    yield host, answer.port, answer.cid
