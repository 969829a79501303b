"""The sockets of the server."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from ioc.errors import PeerError

_ATTEMPTS = 20
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def listening_sockets(interfaces: Sequence[str], port: int) -> tuple[list[socket.socket], int]:
    """One TCP socket per interface, all with one port: `port` if it is free, else any other, as EPICS base does.

    Raises:
        PeerError: no port can be had.
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
                raise PeerError(
                    f"TCP port {wanted} of {', '.join(interfaces)} cannot be opened: {error.strerror}"
                ) from None
            wanted = 0
        else:
            return opened, wanted
    raise PeerError(f"TCP port {port} of {', '.join(interfaces)} is in use and no other is free on all of them")


def _listening_socket(interface: str, port: int) -> socket.socket:
    """With protocol IPPROTO_TCP: for a socket of protocol 0 asyncio leaves Nagle's algorithm on, 40 ms for each put."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:  # accepted connections inherit these: a client that lost its power is noticed
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        sock.setblocking(False)
        sock.bind((interface, port))
        sock.listen(512)
    except OSError:
        sock.close()
        raise
    return sock


def search_socket(interface: str, port: int) -> socket.socket:
    """The UDP socket for searches; several IOCs of one machine share the port.

    Raises:
        PeerError: a program that is no IOC has the port for itself.
    """
    sock = _udp_socket()
    try:
        sock.bind((interface, port))
    except OSError as error:
        sock.close()
        what = (
            "is in use by a program that does not share it" if error.errno == errno.EADDRINUSE else str(error.strerror)
        )
        raise PeerError(f"UDP port {port} of {interface} cannot be opened for searches: it {what}") from None
    return sock


def beacon_socket() -> socket.socket:
    """The UDP socket that beacons are sent from."""
    return _udp_socket()


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setblocking(False)
    return sock
