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
from functools import partial
from ipaddress import ip_address
from typing import Any

import h11

MAX_BODY = 16 * 2**20
"""Longest body that is read, in bytes; a real Configure reply has 0.4 MB."""
_MAX_HEAD = 64 * 1024
_PIECE = 4 * 1024
"""Bytes that are read in one turn of the event loop: as chunks of one byte each they take 40 ms."""


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


async def post(host: str, port: int, operation: str, body: bytes, resolver: Executor) -> HttpReply:
    """Send `body` once and return the answer, whatever its status; `operation` names the request in errors.

    Host names are resolved in `resolver`, because that cannot be interrupted.

    Raises:
        ExchangeFailedError: there was no complete HTTP answer.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
    headers = [
        ("Host", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),
        ("Content-Type", "text/xml; charset=utf-8"),
        ("SOAPAction", '""'),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    events = (h11.Request(method="POST", target="/", headers=headers), h11.Data(data=body), h11.EndOfMessage())
    loop = asyncio.get_running_loop()
    with await _connect(host, port, operation, resolver) as connection:
        try:
            await loop.sock_sendall(connection, b"".join(data for event in events if (data := http.send(event))))
            return await _read_reply(http, partial(loop.sock_recv, connection, _PIECE), operation)
        except OSError as error:
            reason = _reason(error)
            raise ExchangeFailedError(f"broke the connection ({reason}) instead of answering {operation}") from None


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
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        if _is_number(host):
            return resolve()
        return await asyncio.get_running_loop().run_in_executor(resolver, resolve)
    except (OSError, UnicodeError) as error:
        raise ExchangeFailedError(
            f"cannot be asked for {operation}: its host name cannot be resolved ({_reason(error)})"
        ) from None


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _read_reply(http: h11.Connection, read: Callable[[], Awaitable[bytes]], operation: str) -> HttpReply:
    head: h11.Response | None = None
    body = bytearray()
    received, ended = 0, False
    try:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                await asyncio.sleep(0)  # reading does not wait for what is there already
                data = await read()
                if received == 0 and not data:
                    raise ExchangeFailedError(f"closed the connection without an answer to {operation}")
                if received == 0 and not data.startswith(b"HTTP/"[: len(data)]):
                    raise _not_http(operation)
                received, ended = received + len(data), not data
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    raise ExchangeFailedError(f"sent more than {MAX_BODY // 2**20} MiB in answer to {operation}")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                kind = dict(head.headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
                return HttpReply(head.status_code, head.reason.decode("latin-1"), kind.decode("latin-1"), bytes(body))
    except h11.RemoteProtocolError:
        if ended:
            raise ExchangeFailedError(
                f"sent a truncated answer to {operation}: the connection ended after {received} bytes"
            ) from None
        raise _not_http(operation) from None


def _not_http(operation: str) -> ExchangeFailedError:
    return ExchangeFailedError(
        f"answered {operation} with something that is not HTTP: is this the port of getEccSoapServer?"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
