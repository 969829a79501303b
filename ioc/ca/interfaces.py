"""Addresses of this machine's network interfaces, as they are at the moment.

An IOC that serves one interface only must listen on that interface's broadcast address too, or it never hears the
searches that clients broadcast; and beacons go to every broadcast address. An interface may have several addresses,
and may get them long after the IOC was started.
"""

from __future__ import annotations

import ipaddress
import socket

import psutil


def broadcast_addresses() -> dict[str, str]:
    """Each IPv4 address of an interface that is up, loopback apart, and where to send what all of its net shall hear.

    That is the other end of a point-to-point connection.
    """
    found: dict[str, str] = {}
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if name in up and one.family == socket.AF_INET and not ipaddress.IPv4Address(one.address).is_loopback:
                broadcast = one.broadcast or one.ptp or _of_net(one.address, one.netmask)
                if broadcast is not None:
                    found[one.address] = broadcast
    return found


def own_addresses() -> frozenset[str]:
    """All IPv4 addresses of this machine."""
    interfaces = psutil.net_if_addrs().values()
    return frozenset(one.address for addresses in interfaces for one in addresses if one.family == socket.AF_INET)


def _of_net(address: str, netmask: str | None) -> str | None:
    """The broadcast address where the interface does not say it: it was configured without."""
    if netmask is None:
        return None
    net = ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)
    return str(net.broadcast_address) if net.prefixlen < 31 else None
