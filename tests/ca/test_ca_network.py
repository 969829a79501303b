"""On a real network: clients that vanish, interfaces that come late, several addresses, a second server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ca.network import Host, Program, two_hosts
from tests.epics import BINARIES

QUICK = {"interfaces_seconds": 0.2, "rivals_seconds": 0.5}
LISTEN_FOR_BEACONS = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("", 5065))
print("listening", flush=True)
while True:
    data, sender = sock.recvfrom(100)
    if data[1] == 13:
        told = socket.inet_ntoa(data[12:16])
        print("beacon from", sender[0] if told == "0.0.0.0" else told, flush=True)
"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as both:
        yield both


def beacons(host: Host) -> Program:
    program = host.start(sys.executable, "-c", LISTEN_FOR_BEACONS)
    program.until("listening")
    return program


@pytest.mark.parametrize("updates", [True, False])
def test_a_client_that_vanishes(hosts: tuple[Host, Host], updates: bool) -> None:
    """A client whose cable is pulled says nothing: its circuit is gone after the time for that all the same."""
    here, there = hosts
    here.address("10.9.0.1/24")
    there.address("10.9.0.2/24")
    server = here.serve("T:X", limits={"vanish_seconds": 2, **QUICK})
    monitor = there.start(BINARIES / "camonitor", "T:X" if updates else "T:X.DESC")
    server.until("clients 1")
    monitor.until("T:X")
    pulled = time.monotonic()
    there.ip("link", "set", there.device, "down")
    server.until("clients 0", 20)
    assert time.monotonic() - pulled < 10


@pytest.mark.parametrize("listed", [False, True])
def test_an_interface_that_comes_late(hosts: tuple[Host, Host], listed: bool) -> None:
    """The IOC is started before its interface has an address, which then becomes another: it is found each time."""
    here, there = hosts
    there.address("10.9.0.2/24")
    there.address("10.8.0.2/24")
    listener = beacons(there)
    extra = {"EPICS_CAS_INTF_ADDR_LIST": "10.9.0.1"} if listed else {}
    server = here.serve("T:X", limits=QUICK, **extra)
    if listed:
        server.until("no interface has the address 10.9.0.1 yet")
    assert "not found" in there.caget("-w", "0.3", "T:X")
    here.address("10.9.0.1/24")
    listener.until("beacon from 10.9.0.1")
    assert there.caget("-w", "30", "T:X").isdecimal()
    if not listed:
        here.ip("address", "flush", "dev", here.device)
        here.address("10.8.0.1/24")
        listener.until("beacon from 10.8.0.1")
        assert there.caget("-w", "30", "T:X").isdecimal()


@pytest.mark.parametrize("what", ["ours", "softIoc"])
def test_a_second_address_of_an_interface(hosts: tuple[Host, Host], what: str, tmp_path: Path) -> None:
    """A server on the second address of an interface is found by broadcast in its net, and its beacons say so."""
    here, there = hosts
    here.address("10.9.0.1/24")
    here.address("10.9.1.1/24")
    here.address("10.9.1.7/24")
    there.address("10.9.1.2/24")
    listener = beacons(there)
    if what == "ours":
        here.serve("T:X", limits=QUICK, EPICS_CAS_INTF_ADDR_LIST="10.9.1.7")
    else:
        database = tmp_path / "soft.db"
        database.write_text('record(longin, "T:X") {}')
        here.soft_ioc(database, EPICS_CAS_INTF_ADDR_LIST="10.9.1.7")
    listener.until("beacon from 10.9.1.7" if what == "ours" else "beacon from 10.9.1.")
    assert there.caget("-w", "30", "T:X").isdecimal()


@pytest.mark.parametrize("what", ["ours", "softIoc"])
def test_beacons_of_every_net(hosts: tuple[Host, Host], what: str, tmp_path: Path) -> None:
    """With all interfaces served, beacons go to the nets of all addresses of an interface, also of the second one."""
    here, there = hosts
    here.address("10.9.0.1/24")
    here.address("10.9.1.1/24")
    there.address("10.9.1.2/24")
    listener = beacons(there)
    if what == "ours":
        here.serve("T:X", limits=QUICK)
    else:
        database = tmp_path / "soft.db"
        database.write_text('record(longin, "T:X") {}')
        here.soft_ioc(database)
    listener.until("beacon from 10.9.1.1")
    assert there.caget("-w", "30", "T:X").isdecimal()


@pytest.mark.parametrize("what", ["ours", "softIoc"])
def test_a_multicast_group_alone(hosts: tuple[Host, Host], what: str, tmp_path: Path) -> None:
    """With nothing but a group to listen on, searches in the group and to any address are answered."""
    here, there = hosts
    for host, address in ((here, "10.9.0.1/24"), (there, "10.9.0.2/24")):
        host.address(address)
        host.ip("route", "add", "224.0.0.0/4", "dev", host.device)
    if what == "ours":
        here.serve("T:X", limits=QUICK, EPICS_CAS_INTF_ADDR_LIST="239.255.7.7")
    else:
        database = tmp_path / "soft.db"
        database.write_text('record(longin, "T:X") {}')
        here.soft_ioc(database, EPICS_CAS_INTF_ADDR_LIST="239.255.7.7")
    for address in ("239.255.7.7", "10.9.0.1"):
        shown = there.caget("-w", "30", "T:X", EPICS_CA_ADDR_LIST=address, EPICS_CA_AUTO_ADDR_LIST="NO")
        assert shown.isdecimal(), (address, shown)


@pytest.mark.parametrize("what", ["ours", "softIoc"])
def test_a_second_server_with_the_same_names(hosts: tuple[Host, Host], what: str, tmp_path: Path) -> None:
    """Both say so, with the address of the other, whichever came first; and when it is over."""
    here, there = hosts
    here.address("10.9.0.1/24")
    there.address("10.9.0.2/24")
    first = here.serve("T:Other", "T:X", limits=QUICK)
    if what == "ours":
        second = there.serve("T:X", limits=QUICK)
        second.until("another server, 10.9.0.1:5064, has PVs of the same names (T:X)")
    else:
        database = tmp_path / "soft.db"
        database.write_text('record(longin, "T:X") {}')
        second = there.soft_ioc(database)
    first.until("another server, 10.9.0.2:5064, has PVs of the same names (T:X)")
    assert len([line for line in first.lines if "has PVs of the same names" in line]) == 1
    second.end()
    first.until("10.9.0.2:5064, is gone")


def test_a_second_server_on_the_same_host(hosts: tuple[Host, Host]) -> None:
    """The other one has another TCP port; nobody takes itself for another, whatever its addresses."""
    here, _ = hosts
    here.address("10.9.0.1/24")
    here.address("10.9.1.1/24")
    first = here.serve("T:X", limits=QUICK)
    second = here.serve("T:X", limits=QUICK)
    port = second.until("port is").split()[-1]
    first.until(f"another server, 127.0.0.1:{port}, has PVs of the same names (T:X)")
    second.until("another server, 127.0.0.1:5064, has PVs of the same names (T:X)")
    for program in (first, second):
        assert len([line for line in program.lines if "has PVs of the same names" in line]) == 1
