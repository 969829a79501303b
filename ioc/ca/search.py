"""Answers to "who has this PV?" on UDP."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import cast

import caproto as ca

from ioc.ca.session import VERSION
from ioc.ca.site import Site

_LONGEST_REQUEST = 4096
"""No client sends more than 1472 bytes; the rest need not be looked at."""
_ANSWERS_PER_DATAGRAM = 58


class Search(asyncio.DatagramProtocol):
    """Answers from the socket that was asked, or from `answer_from`: one datagram to each, as far as it fits.

    The answer repeats the sequence number of the request, without which libca holds its searches for lost and sends the
    next ones very slowly.
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
            requests = self._broadcaster.recv(data, addr)
        except ca.RemoteProtocolError as error:
            self._site.complaints.log("garbage on udp", f"a datagram from {addr[0]} is not Channel Access: {error}")
            return
        sequence: int | None = None
        answers: list[ca.SearchResponse] = []
        for request in requests:
            if isinstance(request, ca.VersionRequest) and request.header.data_type & 1:
                sequence = request.header.parameter1
            elif isinstance(request, ca.SearchRequest) and self._site.namespace.find(request.name) is not None:
                answers.append(ca.SearchResponse(self._site.port, None, request.cid, VERSION))
        version = ca.VersionResponse(VERSION)
        version.header.data_type = 0 if sequence is None else 1
        version.header.parameter1 = sequence or 0
        for first in range(0, len(answers), _ANSWERS_PER_DATAGRAM):
            batch = answers[first : first + _ANSWERS_PER_DATAGRAM]
            self._transport.sendto(self._broadcaster.send(version, *batch), addr)
