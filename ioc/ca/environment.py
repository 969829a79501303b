"""Ports and interfaces of the server, from the EPICS environment variables and the current network interfaces.

A server on a single interface must also listen on that interface's broadcast address, or it misses the searches that
clients broadcast; and beacons go to every broadcast address. An interface may have several addresses, and may get them
long after the start.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from ioc.ca.sockets import CannotServe

Address = tuple[str, int]
ANY = "0.0.0.0"  # noqa: S104 - an IOC serves all interfaces unless told otherwise
LOOPBACK = "127.0.0.1"
_BROADCAST = "255.255.255.255"
_SHORTEST_PERIOD, _LONGEST_PERIOD = 0.1, 86400


def broadcast_addresses() -> dict[str, str]:
    """The IPv4 addresses of all interfaces that are up, without loopback, each with its broadcast address.

    For a point-to-point connection, the broadcast address is the other end.
    """
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found: dict[str, str] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if name in up and one.family == socket.AF_INET and not ipaddress.IPv4Address(one.address).is_loopback:
                broadcast = one.broadcast or one.ptp
                if broadcast is None and one.netmask is not None:  # the interface was configured without one
                    net = ipaddress.IPv4Network(f"{one.address}/{one.netmask}", strict=False)
                    broadcast = str(net.broadcast_address) if net.prefixlen < 31 else None
                if broadcast is not None:
                    found[one.address] = broadcast
    return found


def own_addresses() -> frozenset[str]:
    """All IPv4 addresses of this machine."""
    interfaces = psutil.net_if_addrs().values()
    return frozenset(one.address for addresses in interfaces for one in addresses if one.family == socket.AF_INET)


class Beacon(NamedTuple):
    """Destination and content of a beacon: the address of the server, ANY = the sender's address."""

    host: str
    port: int
    server: str


@dataclass(frozen=True)
class Environment:
    """The variables EPICS_CAS_… and EPICS_CA_…, with the defaults and fall-backs of EPICS base."""

    port: int
    interfaces: tuple[str, ...]
    groups: tuple[str, ...]
    """Multicast groups in which clients search."""
    named_beacons: tuple[Address, ...]
    automatic_beacons: int | None
    """Port of the beacons to every interface's broadcast address; None = no such beacons."""
    beacon_period: float
    ignored: frozenset[str]
    client_addresses: tuple[Address, ...] = ()
    """Where clients on this machine search besides broadcasts."""
    client_broadcasts: int | None = None
    """Port of their broadcasts; None = they do not broadcast."""

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Environment:
        """Raises CannotServe with the name of an invalid variable."""
        port = _port(variables, ("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"), 5064)
        beacon_port = _port(variables, ("EPICS_CAS_BEACON_PORT", "EPICS_CA_REPEATER_PORT"), 5065)
        listed = [address for address, _ in _addresses(variables, "EPICS_CAS_INTF_ADDR_LIST", port)]
        groups = [address for address in listed if ipaddress.IPv4Address(address).is_multicast]
        return cls(
            port,
            tuple(dict.fromkeys(address for address in listed if address not in groups)) or (ANY,),
            tuple(dict.fromkeys(groups)),
            tuple(_addresses(variables, "EPICS_CAS_BEACON_ADDR_LIST", beacon_port)),
            beacon_port if _yes(variables, "EPICS_CAS_AUTO_BEACON_ADDR_LIST") else None,
            _seconds(variables, ("EPICS_CAS_BEACON_PERIOD", "EPICS_CA_BEACON_PERIOD"), 15.0),
            # As in EPICS base, the host is ignored, whatever its port.
            frozenset(address for address, _ in _addresses(variables, "EPICS_CAS_IGNORE_ADDR_LIST", port)),
            *_clients(variables),
        )

    @property
    def absent(self) -> tuple[str, ...]:
        """Interfaces to serve that this machine does not have at present."""
        mine = own_addresses()
        return tuple(
            address
            for address in self.interfaces
            if address != ANY and not address.startswith("127.") and address not in mine
        )

    @property
    def beacons(self) -> tuple[Beacon, ...]:
        """Destinations of beacons, with the current interfaces."""
        only = self.interfaces[0] if len(self.interfaces) == 1 else ANY
        found = [Beacon(host, port, only) for host, port in self.named_beacons]
        if (port := self.automatic_beacons) is not None:
            nets = {net: ANY if ANY in self.interfaces else address for address, net in self.broadcasts().items()}
            if not nets and ANY in self.interfaces:
                nets = {_BROADCAST: ANY}
            found += [Beacon(net, port, address) for net, address in nets.items()]
        return tuple(dict.fromkeys(found))

    @property
    def search_targets(self) -> tuple[Address, ...]:
        """Addresses where a server with the same PV names would receive a search, with the current interfaces."""
        served = (LOOPBACK, *broadcast_addresses()) if ANY in self.interfaces else self.interfaces
        targets = [(address, self.port) for address in (*served, *self.groups, *self.broadcasts().values())]
        if self.client_broadcasts is not None:
            targets += [(address, self.client_broadcasts) for address in broadcast_addresses().values()]
        return tuple(dict.fromkeys((*targets, *self.client_addresses)))

    def broadcasts(self) -> dict[str, str]:
        """The served addresses that currently exist, each with its broadcast address."""
        known = broadcast_addresses()
        return {one: known[one] for one in known if one in self.interfaces or ANY in self.interfaces}


def _clients(variables: Mapping[str, str]) -> tuple[tuple[Address, ...], int | None]:
    """Where clients search. Errors in their variables are reported by the clients."""
    found: list[Address] = []
    with contextlib.suppress(CannotServe):
        port = _port(variables, ("EPICS_CA_SERVER_PORT",), 5064)
        for word in variables.get("EPICS_CA_ADDR_LIST", "").split():
            with contextlib.suppress(CannotServe):
                found.append(_address(variables, "EPICS_CA_ADDR_LIST", word, port))
        return tuple(found), port if _yes(variables, "EPICS_CA_AUTO_ADDR_LIST") else None
    return (), None


def _yes(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "YES").strip().upper() != "NO"


def _port(variables: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if text := variables.get(name, "").strip():
            if not text.isdecimal() or not 0 < int(text) < 65536:
                raise CannotServe(f"{name} is {text!r}, but must be a port number from 1 to 65535")
            return int(text)
    return default


def _seconds(variables: Mapping[str, str], names: tuple[str, ...], default: float) -> float:
    for name in names:
        if text := variables.get(name, "").strip():
            with contextlib.suppress(ValueError):
                if 0 < float(text) <= _LONGEST_PERIOD:
                    return max(_SHORTEST_PERIOD, float(text))
            raise CannotServe(f"{name} is {text!r}, but must be more than 0 and at most {_LONGEST_PERIOD} seconds")
    return default


def _addresses(variables: Mapping[str, str], name: str, port: int) -> list[Address]:
    return [_address(variables, name, word, port) for word in variables.get(name, "").split()]


def _address(variables: Mapping[str, str], name: str, word: str, port: int) -> Address:
    host, colon, own_port = word.partition(":")
    if host and (not colon or (own_port.isdecimal() and 0 < int(own_port) < 65536)):
        with contextlib.suppress(OSError, UnicodeError):
            return socket.gethostbyname(host), int(own_port or port)
    raise CannotServe(f"{name} is {variables[name]!r}, but {word!r} is not an address or host name")
