"""Who may write what: the rules of the topology."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import psutil
import pytest

from ioc.pvs import Access
from ioc.topology.schema import AccessRule

COUNTING_ROOM = AccessRule(hosts=("192.168.41.0/24", "127.0.0.1"), write=True)
NOT_THE_EXPERIMENT = AccessRule(pvs="T:Experiment", write=False)
SHIFT = AccessRule(pvs="T:Run:*", users=("shift*", "ana"), write=True)
NOBODY = AccessRule(write=False)
IPV6 = AccessRule(hosts=("fd00::/8",), write=True)

TABLE = [
    # rules, pv, address, user, granted
    ((), "T:State", "127.0.0.1", "ana", False),
    ((COUNTING_ROOM,), "T:Describe", "192.168.41.7", "ana", True),
    ((COUNTING_ROOM,), "T:Describe", "192.168.42.7", "ana", False),
    ((COUNTING_ROOM,), "T:Describe", "127.0.0.1", "", True),
    ((NOBODY, COUNTING_ROOM), "T:Describe", "192.168.41.7", "ana", False),
    ((COUNTING_ROOM, NOBODY), "T:Describe", "192.168.41.7", "ana", True),
    ((NOT_THE_EXPERIMENT, COUNTING_ROOM), "T:Experiment", "192.168.41.7", "ana", False),
    ((NOT_THE_EXPERIMENT, COUNTING_ROOM), "T:Run:Start", "192.168.41.7", "ana", True),
    ((NOT_THE_EXPERIMENT, COUNTING_ROOM), "T:experiment", "192.168.41.7", "ana", True),
    ((SHIFT,), "T:Run:Start", "8.8.8.8", "ana", True),
    ((SHIFT,), "T:Run:Start", "8.8.8.8", "shift2", True),
    ((SHIFT,), "T:Run:Start", "8.8.8.8", "Ana", False),
    ((SHIFT,), "T:Describe", "8.8.8.8", "ana", False),
    ((IPV6,), "T:Describe", "fd00::1", "ana", True),
    ((IPV6,), "T:Describe", "192.168.41.7", "ana", False),
    ((AccessRule(write=True),), "T:Describe", "no address", "ana", False),
]


@pytest.mark.parametrize(("rules", "pv", "address", "user", "granted"), TABLE)
def test_the_first_rule_that_matches_decides(
    rules: tuple[AccessRule, ...], pv: str, address: str, user: str, *, granted: bool
) -> None:
    """First match decides, none matching means no, hosts left out means any."""
    assert Access(rules).may_write(pv, address, user) is granted


def _own_ipv4() -> list[str]:
    return [a.address for each in psutil.net_if_addrs().values() for a in each if a.family.name == "AF_INET"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", *_own_ipv4()])
def test_without_rules_this_machine_may_write(address: str) -> None:
    """Without a section only clients on this machine may write, by whichever of its addresses."""
    assert Access(None).may_write("T:Run:Start", address, "ana")


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "2001:db8::1", "localhost", ""])
def test_without_rules_others_may_not(address: str) -> None:
    """Any other address, and what is no address, may not."""
    assert not Access(None).may_write("T:Run:Start", address, "root")


def test_this_machine_gets_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that comes after the start may write soon, one that is gone may not any more."""
    addresses: list[str] = []
    family = socket.AddressFamily.AF_INET
    monkeypatch.setattr(
        psutil, "net_if_addrs", lambda: {"eth0": [SimpleNamespace(family=family, address=each) for each in addresses]}
    )
    seconds = 0.0
    monkeypatch.setattr("ioc.pvs.access.time", SimpleNamespace(monotonic=lambda: seconds))
    access = Access(None)
    assert not access.may_write("T:Run:Start", "192.0.2.1", "ana")
    addresses.append("192.0.2.1")
    seconds += 5
    assert access.may_write("T:Run:Start", "192.0.2.1", "ana")
    addresses.clear()
    seconds += 5
    assert not access.may_write("T:Run:Start", "192.0.2.1", "ana")
    assert access.may_write("T:Run:Start", "127.0.0.1", "ana")
