"""One HTTP POST on its own connection, sent once.

What HTTP clients usually add (keep-alive, redirects, proxies, retries) must not happen with an ECC server: it closes
each connection after one answer, and a transition must never be sent twice. Nothing here has a time-out: the caller
cancels the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import h11

MAX_BODY = 16 * 2**20
"""Longest body that is read, in bytes; a real Configure reply has 0.4 MB."""
_MAX_HEAD = 64 * 1024
_PIECE = 4 * 1024
"""Bytes that are read in one turn of the event loop: as chunks of one byte each they take 40 ms."""


class ExchangeFailedError(Exception):
    """The server gave no usable answer; the text continues a sentence that begins with the server."""


@dataclass(frozen=True)
class HttpReply:
    """A complete answer; to zeep it is always a single part of XML."""

    status_code: int
    reason: str
    content_type: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/xml"})
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
    reader, writer = await _connect(host, port, operation, resolver)
    try:
        writer.writelines([data for event in events if (data := http.send(event))])
        await writer.drain()
        return await _read_reply(http, reader, operation)
    except OSError as error:
        raise ExchangeFailedError(f"broke the connection ({_reason(error)}) instead of answering {operation}") from None
    finally:
        writer.transport.abort()


async def _connect(
    host: str, port: int, operation: str, resolver: Executor
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    try:
        resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        addresses = await loop.run_in_executor(resolver, resolve)
    except (OSError, UnicodeError) as error:
        raise ExchangeFailedError(
            f"cannot be asked for {operation}: its host name cannot be resolved ({_reason(error)})"
        ) from None
    failure = "it has no address"
    for family, kind, protocol, _, address in addresses:
        with contextlib.ExitStack() as on_failure:
            try:
                connection = on_failure.enter_context(socket.socket(family, kind, protocol))
                connection.setblocking(False)
                await loop.sock_connect(connection, address)
                streams = await asyncio.open_connection(sock=connection)
            except ConnectionRefusedError:
                failure = "the connection was refused: start getEccSoapServer there"
            except OSError as error:
                failure = _reason(error)
            else:
                on_failure.pop_all()
                return streams
    raise ExchangeFailedError(f"cannot be reached for {operation} ({failure})")


async def _read_reply(http: h11.Connection, reader: asyncio.StreamReader, operation: str) -> HttpReply:
    head: h11.Response | None = None
    body = bytearray()
    received, ended = 0, False
    try:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                await asyncio.sleep(0)  # reading does not wait for what is there already
                data = await reader.read(_PIECE)
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
