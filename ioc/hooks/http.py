"""A hook that is an HTTP POST: sent once, on its own connection; nothing here has a time-out, the caller cancels it."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from concurrent.futures import Executor
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import h11

from ioc.errors import PeerError
from ioc.hooks.command import MOST_BYTES
from ioc.hosts.transport import reason

_PIECE = 4096


def place(url: str) -> str:
    """Return the server of a URL for messages. User, password, path and query may be secrets."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


async def post(url: str, body: bytes, resolver: Executor) -> tuple[int, bytes]:
    """Send `body` as JSON; return the status and the beginning of the answer.

    Host names are resolved in `resolver`, because that cannot be interrupted.

    Raises:
        PeerError: there was no answer.
    """
    parts = urlsplit(url)
    try:
        reader, writer = await _connect(parts, resolver)
        try:
            return await _exchange(parts, body, reader, writer)
        finally:
            writer.transport.abort()
    except h11.RemoteProtocolError:
        # Its text is about the machinery of h11.
        raise PeerError(f"{place(url)} sent no complete HTTP answer") from None
    except (OSError, UnicodeError) as error:
        raise PeerError(f"{place(url)} cannot be reached: {reason(error)}") from None


async def _connect(parts: SplitResult, resolver: Executor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)

    def prepare() -> tuple[list[Any], ssl.SSLContext | None]:
        addresses = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        return addresses, ssl.create_default_context() if secure else None

    addresses, context = await asyncio.get_running_loop().run_in_executor(resolver, prepare)
    failure: OSError | None = None
    for *_, address in addresses:
        try:
            return await asyncio.open_connection(
                address[0],
                port,
                ssl=context,
                server_hostname=parts.hostname if secure else None,
            )
        except OSError as error:
            failure = error
    raise failure or OSError("its name has no address")


async def _exchange(
    parts: SplitResult, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[int, bytes]:
    http = h11.Connection(h11.CLIENT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [
        ("Host", parts.netloc.rpartition("@")[2]),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.append(("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}"))
    request = h11.Request(method="POST", target=target, headers=headers)
    writer.writelines([http.send(event) or b"" for event in (request, h11.Data(data=body), h11.EndOfMessage())])
    await writer.drain()
    status, answer = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_PIECE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            answer += event.data
            if len(answer) > MOST_BYTES:
                return status, bytes(answer[:MOST_BYTES])
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(answer)
