"""The sockets of the server."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence

_ATTEMPTS = 20
_IP_FREEBIND = 15
_PROBES = 3
_TCP_KEEPALIVE, _TCP_RXT_CONNDROPTIME = 0x10, 0x80
"""macOS: seconds before the first keepalive probe; seconds for which unacknowledged data are retransmitted."""


class CannotServe(Exception):
    """The server cannot start: a port is in use or an environment variable is invalid."""


def listening_sockets(interfaces: Sequence[str], port: int) -> tuple[list[socket.socket], int]:
    """One TCP socket per interface, all with one port: `port` if it is free, else any other, as EPICS base does.

    Raises:
        CannotServe: no port is available.
    """
    wanted = port
    for _ in range(_ATTEMPTS):
        opened: list[socket.socket] = []
        try:
            for interface in interfaces:
                opened.append(_listening_socket(interface, wanted))
                wanted = opened[0].getsockname()[1]
        except OSError as error:
            for one in opened:
                one.close()
            if error.errno != errno.EADDRINUSE:
                raise CannotServe(
                    f"TCP port {wanted} of {', '.join(interfaces)} cannot be opened: {error.strerror}"
                ) from None
            wanted = 0
        else:
            return opened, wanted
    raise CannotServe(f"TCP port {port} of {', '.join(interfaces)} is in use and no other is free on all of them")


def _listening_socket(interface: str, port: int) -> socket.socket:
    """With protocol IPPROTO_TCP: for a socket of protocol 0 asyncio leaves Nagle's algorithm on, 40 ms for each put."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        _bind_before_its_time(sock)
        sock.bind((interface, port))
        sock.listen(512)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_before_its_time(sock: socket.socket) -> None:
    """Allow binding to an address that no interface has yet: the IOC may start before its network is up."""
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)


def set_peer_timeout(sock: socket.socket, seconds: float) -> None:
    """Let the operating system end a connection whose peer has been unreachable for this time.

    A host that loses power or network does not close its connections: updates to it are not acknowledged, and without
    updates, keepalive probes are not answered. Without this setting, Linux keeps trying for 16 minutes.
    """
    whole = max(1, round(seconds))
    interval = max(1, whole // (2 * _PROBES))
    idle = max(1, whole - _PROBES * interval)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": idle, "TCP_KEEPINTVL": interval, "TCP_KEEPCNT": _PROBES}
    options["TCP_USER_TIMEOUT"] = round(1000 * seconds)
    numbers = {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}
    if sys.platform == "darwin":
        numbers |= {_TCP_KEEPALIVE: idle, _TCP_RXT_CONNDROPTIME: whole}
    for number, value in numbers.items():
        with contextlib.suppress(OSError):  # an option that this system does not know
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


def search_socket(interface: str, port: int) -> socket.socket:
    """The UDP socket for searches; several IOCs of one machine share the port.

    Raises:
        CannotServe: a program that does not share the port has it.
    """
    sock = broadcasting_socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _bind_before_its_time(sock)
    try:
        sock.bind((interface, port))
    except OSError as error:
        sock.close()
        what = (
            "is in use by a program that does not share it" if error.errno == errno.EADDRINUSE else str(error.strerror)
        )
        raise CannotServe(f"UDP port {port} of {interface} cannot be opened for searches: it {what}") from None
    return sock


def broadcasting_socket() -> socket.socket:
    """A UDP socket for beacons and for searches of our own."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setblocking(False)
    return sock
