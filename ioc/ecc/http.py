"""One HTTP POST on its own connection, sent once.

What HTTP clients usually add (keep-alive, redirects, proxies, retries) must not happen with an ECC server: it closes
each connection after one answer, and a transition must never be sent twice. Nothing here has a time-out: the caller
cancels the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any

import h11

MAX_BODY = 16 * 2**20
"""Longest body that is read, in bytes; a real Configure reply has 0.4 MB."""
_MAX_HEAD = 64 * 1024
_PIECE = 4 * 1024
"""Bytes that are read in one turn of the event loop: as chunks of one byte each they take 40 ms."""
_QUESTION = h11.Request(method="POST", target="/", headers=[("Host", ""), ("Content-Length", "0")])
"""Any request: without one, h11 expects no answer."""

_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class ExchangeFailedError(Exception):
    """The server gave no usable answer; the text continues a sentence that begins with the server."""


@dataclass(frozen=True)
class HttpReply:
    """A complete answer; to zeep it is always a single part of XML."""

    status_code: int
    reason: str
    content_type: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/xml"}, compare=False)
    encoding: None = None


async def post(
    host: str, port: int, operation: str, body: bytes, resolver: Executor, *, connected: Callable[[], None]
) -> HttpReply:
    """Send `body` once and return the answer, whatever its status; `operation` names the request in errors.

    Host names are resolved in `resolver`, because that cannot be interrupted. `connected` is called when the server,
    or the system of its host in its place, has accepted the connection.

    Raises:
        ExchangeFailedError: there was no complete HTTP answer.
    """
    loop = asyncio.get_running_loop()
    with await _connect(host, port, operation, resolver) as connection:
        connected()
        try:
            await loop.sock_sendall(connection, _head(host, port, len(body)) + body)
            return await _read_reply(partial(loop.sock_recv, connection, _PIECE), operation)
        except OSError as error:
            reason = _reason(error)
            raise ExchangeFailedError(f"broke the connection ({reason}) instead of answering {operation}") from None


@lru_cache(maxsize=1024)
def _head(host: str, port: int, length: int) -> bytes:
    """What comes before a body of so many bytes."""
    headers = [
        ("Host", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),
        ("Content-Type", "text/xml; charset=utf-8"),
        ("SOAPAction", '""'),
        ("Content-Length", str(length)),
        ("Connection", "close"),
    ]
    return h11.Connection(h11.CLIENT).send(h11.Request(method="POST", target="/", headers=headers)) or b""


async def _connect(host: str, port: int, operation: str, resolver: Executor) -> socket.socket:
    failure = "it has no address"
    for family, kind, protocol, _, address in await _resolve(host, port, operation, resolver):
        with contextlib.ExitStack() as on_failure:
            try:
                connection = on_failure.enter_context(socket.socket(family, kind, protocol))
                connection.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connection, address)
            except ConnectionRefusedError:
                failure = "the connection was refused: start getEccSoapServer there"
            except OSError as error:
                failure = _reason(error)
            else:
                on_failure.pop_all()
                return connection
    raise ExchangeFailedError(f"cannot be reached for {operation} ({failure})")


async def _resolve(host: str, port: int, operation: str, resolver: Executor) -> Sequence[_Address]:
    try:
        if found := _of_number(host, port):
            return found
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(resolver, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise ExchangeFailedError(
            f"cannot be asked for {operation}: its host name cannot be resolved ({_reason(error)})"
        ) from None


@lru_cache(maxsize=1024)
def _of_number(host: str, port: int) -> Sequence[_Address]:
    """The address of a host that is given by it; empty if it must be resolved, or found anew for its interface."""
    try:
        ip_address(host)
    except ValueError:
        return ()
    if "%" in host:
        return ()
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _read_reply(read: Callable[[], Awaitable[bytes]], operation: str) -> HttpReply:
    data = await read()
    if not data:
        raise ExchangeFailedError(f"closed the connection without an answer to {operation}")
    if not data.startswith(b"HTTP/"[: len(data)]):
        raise _not_http(operation)
    received = len(data)
    try:
        if reply := _in_one_piece(data):
            return reply
        incoming = _Incoming()
        while not (reply := incoming.take(data)):
            if incoming.size > MAX_BODY:
                raise ExchangeFailedError(f"sent more than {MAX_BODY // 2**20} MiB in answer to {operation}")
            await asyncio.sleep(0)  # reading does not wait for what is there already
            data = await read()
            received += len(data)
    except h11.RemoteProtocolError:
        if not data:
            raise ExchangeFailedError(
                f"sent a truncated answer to {operation}: the connection ended after {received} bytes"
            ) from None
        raise _not_http(operation) from None
    return reply


class _Incoming:
    """An answer that arrives in pieces."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._http.send(_QUESTION)
        self._http.send(h11.EndOfMessage())
        self._head: h11.Response | None = None
        self._body = bytearray()

    @property
    def size(self) -> int:
        """Bytes of the body until now."""
        return len(self._body)

    def take(self, data: bytes) -> HttpReply | None:
        """Add a piece, empty at the end of the connection; returns the answer if it is complete."""
        self._http.receive_data(data)
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage) and (head := self._head) is not None:
                kind = dict(head.headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
                reason = head.reason.decode("latin-1")
                return HttpReply(head.status_code, reason, kind.decode("latin-1"), bytes(self._body))
        return None


@lru_cache(maxsize=256)
def _in_one_piece(data: bytes) -> HttpReply | None:
    """Read an answer that most servers give again and again, byte for byte the same; None if it is longer."""
    return _Incoming().take(data)


def _not_http(operation: str) -> ExchangeFailedError:
    return ExchangeFailedError(
        f"answered {operation} with something that is not HTTP: is this the port of getEccSoapServer?"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
