"""One HTTP request on its own connection, sent once: no redirects, no proxies, no retries.

There is no time-out here: the caller cancels the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from ioc.errors import PeerError

_PIECE = 16 * 1024


class NoAnswerError(PeerError):
    """The other end answered nothing, or something that is not HTTP."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


async def request(
    method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, resolver: Executor, *, most: int
) -> Reply:
    """Send a request and return the answer, whatever its status. Errors never contain headers, the URL or the body.

    Of the answer's body little more than `most` bytes are read. Host names are resolved in `resolver`, because that
    cannot be interrupted; a user in `url` is not sent.

    Raises:
        PeerError: the other end cannot be reached, or gave no complete answer (`NoAnswerError`).
        OSError: the connection broke; whether the request was carried out is not known.
    """
    parts = urlsplit(url)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    host = parts.netloc.rpartition("@")[2]
    all_headers = [*headers, ("Host", host), ("Connection", "close"), ("Content-Length", str(len(body)))]
    begin = h11.Request(method=method, target=target, headers=all_headers)
    secure = parts.scheme == "https"
    reader, writer = await _connect(parts.hostname or "", parts.port or (443 if secure else 80), secure, resolver)
    try:
        writer.writelines([http.send(event) or b"" for event in (begin, h11.Data(data=body), h11.EndOfMessage())])
        await writer.drain()
        return await _read(http, reader, most)
    except h11.RemoteProtocolError:
        # Its text is about the machinery of h11.
        raise NoAnswerError("answered with something that is not HTTP") from None
    finally:
        writer.transport.abort()


async def _connect(
    host: str, port: int, secure: bool, resolver: Executor
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop, failure = asyncio.get_running_loop(), "it has no address"

    def prepare() -> tuple[Sequence[Any], ssl.SSLContext | None]:
        # reads the certificates of the machine from the disk
        context = ssl.create_default_context() if secure else None
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), context

    try:
        addresses, context = await loop.run_in_executor(resolver, prepare)
    except (OSError, UnicodeError) as error:
        raise PeerError(f"cannot be reached: its name cannot be resolved ({reason(error)})") from None
    for family, kind, protocol, _, address in addresses:
        with contextlib.ExitStack() as on_failure:
            try:
                connection = on_failure.enter_context(socket.socket(family, kind, protocol))
                connection.setblocking(False)
                await loop.sock_connect(connection, address)
                name = host if secure else None
                streams = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=name)
            except OSError as error:
                failure = reason(error)
            else:
                on_failure.pop_all()
                return streams
    raise PeerError(f"cannot be reached: {failure}")


async def _read(http: h11.Connection, reader: asyncio.StreamReader, most: int) -> Reply:
    status, body = 0, bytearray()
    while len(body) <= most:
        event = http.next_event()
        if event is h11.NEED_DATA:
            piece = await reader.read(_PIECE)
            if not piece and not status:
                raise NoAnswerError("closed the connection without an answer")
            http.receive_data(piece)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise NoAnswerError("closed the connection without an answer")
    return Reply(status, bytes(body))


def reason(error: Exception) -> str:
    """The system's text for an error."""
    return getattr(error, "strerror", None) or type(error).__name__
