"""Finding the remote control of a ReadoutGUI, and connecting to it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from ioc.partners.link import LONGEST, BrokenLinkError
from ioc.partners.tcl import split

_SERVICE = re.compile(r"ReadoutGUIRemoteControl(_\d+)?")
"""What the remote control is called at the DAQ port manager, which numbers those of one user after the first."""
_MOST_PORTS = 5000
_LOST_SECONDS = 20
"""After so long without a sign of life from its host a connection counts as lost."""


@dataclass(frozen=True)
class Place:
    host: str
    port: int | None
    """None: the port manager knows it."""
    port_manager: int
    user: str | None
    """Whose ReadoutGUI it is, if the port manager knows several."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port is not None else self.host


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(place: Place, resolver: Executor) -> Streams:
    """Connect to the remote control. Host names are resolved in `resolver`, because that cannot be interrupted.

    Raises:
        BrokenLinkError: it is not there.
    """
    port = place.port if place.port is not None else await _find_port(place, resolver)
    return await _open(place.host, port, "start the ReadoutGUI there, with its remote control", resolver)


async def _find_port(place: Place, resolver: Executor) -> int:
    """Ask the port manager of the host.

    Raises:
        BrokenLinkError: it is not there, or knows no such ReadoutGUI, or several.
    """
    manager = f"its DAQ port manager on port {place.port_manager}"
    reader, writer = await _open(place.host, place.port_manager, "start the DAQ port manager there", resolver)
    try:
        writer.write(b"LIST\n")
        status, count = (await _words(reader, manager, 2))[:2]
        if status != "OK" or not count.isascii() or not count.isdigit() or int(count) > _MOST_PORTS:
            raise BrokenLinkError(f"cannot be found: {manager} answered LIST with {status} {count}")
        rows = [await _words(reader, manager, 3) for _ in range(int(count))]
    except OSError:
        raise BrokenLinkError(f"cannot be found: {manager} closed the connection") from None
    finally:
        writer.transport.abort()
    found = [
        (port, user) for port, service, user, *_ in rows if _SERVICE.fullmatch(service) and place.user in {user, None}
    ]
    of = f" of {place.user}" if place.user is not None else ""
    if not found:
        raise BrokenLinkError(f"has no ReadoutGUI{of}: {manager} knows none")
    if len(found) > 1:
        users = ", ".join(sorted({user for _, user in found}))
        raise BrokenLinkError(f"has {len(found)} ReadoutGUIs{of} ({users}), but must have one: set user or port")
    port = found[0][0]
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise BrokenLinkError(f"cannot be found: {manager} says that its port is {port[:20]!r}")
    return int(port)


async def _words(reader: asyncio.StreamReader, manager: str, least: int) -> Sequence[str]:
    try:
        line = await reader.readline()
        words = split(line.decode(errors="replace").strip())
    except ValueError:
        words, line = [], b"\n"
    if not line.endswith(b"\n"):
        raise BrokenLinkError(f"cannot be found: {manager} closed the connection")
    if len(words) < least:
        raise BrokenLinkError(f"cannot be found: {manager} sent something that is no answer to LIST")
    return words


async def _open(host: str, port: int, remedy: str, resolver: Executor) -> Streams:
    loop = asyncio.get_running_loop()
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        addresses = await loop.run_in_executor(resolver, resolve)
    except (OSError, UnicodeError) as error:
        raise BrokenLinkError(f"cannot be reached: its host name cannot be resolved ({error})") from None
    failure = "it has no address"
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            _watch(connection)
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            return await asyncio.open_connection(sock=connection, limit=LONGEST)
        except ConnectionRefusedError:
            failure = f"port {port} refused the connection: {remedy}"
        except OSError as error:
            failure = error.strerror or str(error)
        except BaseException:
            connection.close()
            raise
        connection.close()
    raise BrokenLinkError(f"cannot be reached: {failure}")


def _watch(connection: socket.socket) -> None:
    """Let the system end the connection if the other host is dead: a program that merely hangs keeps it."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux only; elsewhere it takes minutes
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_SECONDS * 1000)
