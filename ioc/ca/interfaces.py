"""Broadcast addresses of this machine's network interfaces.

An IOC that serves one interface only must listen on that interface's broadcast address too, or it never hears the
searches that clients broadcast; and beacons go to every broadcast address.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys

_SIOCGIFADDR, _SIOCGIFBRDADDR = 0x8915, 0x8919


def broadcast_addresses() -> dict[str, str]:
    """Address of each IPv4 interface that can broadcast and its broadcast address; empty where that cannot be told."""
    if sys.platform != "linux":
        return {}
    found: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without IPv4
                broadcast = _ask(sock, name, _SIOCGIFBRDADDR)
                if broadcast != "0.0.0.0":  # noqa: S104 - the answer of one that cannot broadcast
                    found[_ask(sock, name, _SIOCGIFADDR)] = broadcast
    return found


def _ask(sock: socket.socket, interface: str, request: int) -> str:
    import fcntl  # noqa: PLC0415 - not on every platform

    answer = fcntl.ioctl(sock.fileno(), request, struct.pack("256s", interface.encode()[:15]))
    return socket.inet_ntoa(answer[20:24])
