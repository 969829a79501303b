"""Write access to PVs: the rules of the topology, based on the client's address."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ioc.ca import own_addresses
from ioc.topology.schema import AccessRule

_SECONDS = 2.0
"""How long this machine's addresses are cached: a network may appear after the IOC, or change."""


class Access:
    """Grants or denies puts. The first matching rule decides; without a match, the put is denied.

    The host is the address of the client's connection, never the host name reported by the client. The user name is
    reported by the client itself, so a rule with users is a convenience and gives no protection.
    """

    def __init__(self, rules: Sequence[AccessRule] | None) -> None:
        """Without rules, only clients on this machine may write."""
        self._rules = rules
        self._networks = [[ipaddress.ip_network(host, strict=False) for host in rule.hosts] for rule in rules or ()]
        self._own = frozenset[str]()
        self._read_at = -_SECONDS

    def may_write(self, pv: str, peer_address: str, user: str) -> bool:
        """Return whether a put to `pv` is granted; an invalid address is denied."""
        try:
            address = ipaddress.ip_address(peer_address)
        except ValueError:
            return False
        if self._rules is None:
            return address.is_loopback or peer_address in self._own_addresses()
        for rule, networks in zip(self._rules, self._networks, strict=True):
            if (
                fnmatchcase(pv, rule.pvs)
                and (not networks or any(address in network for network in networks))
                and any(fnmatchcase(user, pattern) for pattern in rule.users)
            ):
                return rule.write
        return False

    def _own_addresses(self) -> frozenset[str]:
        now = time.monotonic()
        if now - self._read_at >= _SECONDS:
            self._own, self._read_at = own_addresses(), now
        return self._own
