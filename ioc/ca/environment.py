"""Ports and interfaces of the server, from the EPICS environment variables."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from ioc.ca.interfaces import broadcast_addresses
from ioc.errors import PeerError

Address = tuple[str, int]
ANY = "0.0.0.0"  # noqa: S104 - an IOC serves all interfaces unless told otherwise
_BROADCAST = "255.255.255.255"


@dataclass(frozen=True)
class Environment:
    """What EPICS_CAS_… and EPICS_CA_… say, with the defaults and fall-backs of EPICS base."""

    port: int
    interfaces: tuple[str, ...]
    search_addresses: tuple[str, ...]
    """What to listen on for searches: the interfaces and, where one is not ANY, its broadcast address."""
    beacons: tuple[Address, ...]
    beacon_period: float
    ignored: frozenset[str]

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Environment:
        """Raises PeerError naming the variable that makes no sense."""
        port = _port(variables, ("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"), 5064)
        beacon_port = _port(variables, ("EPICS_CAS_BEACON_PORT", "EPICS_CA_REPEATER_PORT"), 5065)
        interfaces = [
            _address(variables, "EPICS_CAS_INTF_ADDR_LIST", word, port)[0]
            for word in variables.get("EPICS_CAS_INTF_ADDR_LIST", "").split()
        ] or [ANY]
        beacons = [
            _address(variables, "EPICS_CAS_BEACON_ADDR_LIST", word, beacon_port)
            for word in variables.get("EPICS_CAS_BEACON_ADDR_LIST", "").split()
        ]
        if variables.get("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "YES").strip().upper() != "NO":
            beacons += [(address, beacon_port) for address in _broadcasts(interfaces) or [_BROADCAST]]
        period = variables.get("EPICS_CAS_BEACON_PERIOD") or variables.get("EPICS_CA_BEACON_PERIOD") or "15"
        try:
            beacon_period = max(0.1, float(period))
        except ValueError:
            raise PeerError(f"EPICS_CAS_BEACON_PERIOD is {period!r}, but must be a number of seconds") from None
        ignored = frozenset(variables.get("EPICS_CAS_IGNORE_ADDR_LIST", "").split())
        searched = interfaces + ([] if ANY in interfaces else _broadcasts(interfaces))
        return cls(
            port,
            tuple(dict.fromkeys(interfaces)),
            tuple(dict.fromkeys(searched)),
            tuple(dict.fromkeys(beacons)),
            beacon_period,
            ignored,
        )


def _broadcasts(interfaces: list[str]) -> list[str]:
    known = broadcast_addresses()
    return [known[one] for one in known if one in interfaces or ANY in interfaces]


def _port(variables: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if text := variables.get(name, "").strip():
            if not text.isdecimal() or not 0 < int(text) < 65536:
                raise PeerError(f"{name} is {text!r}, but must be a port number from 1 to 65535")
            return int(text)
    return default


def _address(variables: Mapping[str, str], name: str, word: str, port: int) -> Address:
    host, _, own_port = word.partition(":")
    try:
        return socket.gethostbyname(host), int(own_port or port)
    except (OSError, ValueError):
        raise PeerError(f"{name} is {variables[name]!r}, but {word!r} is no address or host name") from None
