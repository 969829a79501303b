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
from functools import partial
from urllib.parse import urlsplit

import h11

from ioc.errors import PeerError

_MOST = 2**20
"""Longest answer that is read, in bytes."""
_PIECE = 16 * 1024


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


async def request(method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, resolver: Executor) -> Reply:
    """Send a request and return the answer, whatever its status. Errors never contain headers or the body.

    Host names are resolved in `resolver`, because that cannot be interrupted.

    Raises:
        PeerError: there was no complete answer; whether the request was carried out is not known.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = None
    if parts.scheme == "https":  # reads the certificates of the machine from the disk
        secure = await asyncio.get_running_loop().run_in_executor(resolver, ssl.create_default_context)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    all_headers = [*headers, ("Host", parts.netloc), ("Connection", "close"), ("Content-Length", str(len(body)))]
    begin = h11.Request(method=method, target=target, headers=all_headers)
    reader, writer = await _connect(host, parts.port or (443 if secure else 80), secure, resolver)
    try:
        for event in (begin, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()
        return await _read(http, reader)
    except OSError as error:
        raise PeerError(f"broke the connection ({_reason(error)})") from None
    except h11.RemoteProtocolError:
        raise PeerError("answered with something that is not HTTP") from None
    finally:
        writer.transport.abort()


async def _connect(
    host: str, port: int, secure: ssl.SSLContext | None, resolver: Executor
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop, failure = asyncio.get_running_loop(), "it has no address"
    try:
        resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        addresses = await loop.run_in_executor(resolver, resolve)
    except (OSError, UnicodeError) as error:
        raise PeerError(f"cannot be reached: its name cannot be resolved ({_reason(error)})") from None
    for family, kind, protocol, _, address in addresses:
        with contextlib.ExitStack() as on_failure:
            try:
                connection = on_failure.enter_context(socket.socket(family, kind, protocol))
                connection.setblocking(False)
                await loop.sock_connect(connection, address)
                name = host if secure else None
                streams = await asyncio.open_connection(sock=connection, ssl=secure, server_hostname=name)
            except OSError as error:
                failure = _reason(error)
            else:
                on_failure.pop_all()
                return streams
    raise PeerError(f"cannot be reached ({failure})")


async def _read(http: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    status, body = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            piece = await reader.read(_PIECE)
            if not piece and not status:
                raise PeerError("closed the connection without an answer")
            http.receive_data(piece)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MOST:
                raise PeerError(f"answered with more than {_MOST} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Reply(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise PeerError("closed the connection without an answer")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
