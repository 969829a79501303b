"""Channel Access over a network: an IOC whose interface comes late, clients and observables by broadcast."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.epics import BINARIES
from tests.lab.lab import IOC_ADDRESS, NET, Lab, wait_for

LISTEN_FOR_BEACONS = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("", 5065))
while True:
    data, sender = sock.recvfrom(100)
    if data[1] == 13:
        told = socket.inet_ntoa(data[12:16])
        print(sender[0] if told == "0.0.0.0" else told, flush=True)
"""
PRESSURE = [{"name": "pressure", "pv": "GAS:Pressure", "units": "Torr"}]


def beacons(lab: Lab) -> Path:
    """The addresses of the servers whose beacons come to the desk, in a file."""
    heard = lab.directory / "beacons"
    with heard.open("wb") as output:
        lab.desk.start(sys.executable, "-c", LISTEN_FOR_BEACONS, stdout=output, stderr=output)
    return heard


def slow_control(lab: Lab) -> None:
    """EPICS base's softIoc on the desk, with the pressure."""
    database = lab.directory / "gas.db"
    database.write_text('record(ao, "GAS:Pressure") { field(VAL, "431") field(EGU, "Torr") field(PINI, "YES") }')
    lab.desk.start(BINARIES / "softIoc", "-S", "-d", database)


def by_broadcast(lab: Lab, net: str) -> str:
    broadcast = {"EPICS_CA_ADDR_LIST": f"{net}.255", "EPICS_CA_AUTO_ADDR_LIST": "NO"}
    return lab.get_from_desk("IOC:PVs", **broadcast)


def test_an_ioc_that_starts_before_its_network(tmp_path: Path) -> None:
    """It has no address yet, and another later: it is found by broadcast each time, and finds its observable.

    It knows its own addresses each time, too: without rules only clients on its own machine may write.
    """
    soon = {"EPICS_CA_CONN_TMO": "3"}
    with Lab(tmp_path, "North", address="", variables=soon, observables=PRESSURE, access=None) as lab:
        heard = beacons(lab)
        slow_control(lab)
        assert lab.get("Obs:pressure:Value.SEVR") == "INVALID"
        lab.host.give(IOC_ADDRESS)
        lab.until("State", "Idle")
        wait_for(lambda: f"{IOC_ADDRESS}\n" in heard.read_text(), 60, "no beacon")
        assert by_broadcast(lab, NET).isdecimal()
        lab.until("Obs:pressure:Value", "431")
        assert lab.put("Run:Title", "early", host=lab.host)
        assert not lab.put("Run:Title", "from the desk", host=lab.desk)
        lab.host.take_addresses()
        lab.host.give("10.78.0.1")
        lab.desk.give("10.78.0.200")
        wait_for(lambda: "10.78.0.1\n" in heard.read_text(), 60, "no beacon")
        assert by_broadcast(lab, "10.78.0").isdecimal()
        assert lab.desk.run(BINARIES / "caput", "GAS:Pressure", "502").returncode == 0
        lab.until("Obs:pressure:Value", "502", 30)
        assert lab.put("Run:Title", "late", host=lab.host)
        assert lab.text("Run:Title") == "late"
