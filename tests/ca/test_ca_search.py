"""Searches by UDP, ports, interfaces, beacons."""

from __future__ import annotations

import asyncio
import socket
import struct

import caproto as ca
import pytest
from raw_client import RawClient, datagram_exchange

from ioc.ca import CannotServe, IntPv
from ioc.ca.environment import Environment, broadcast_addresses
from tests.ca.serving import Serve
from tests.epics import Epics


def search(*names: str, sequence: int | None) -> bytes:
    version = ca.VersionRequest(0, 13)
    version.header.data_type = 0 if sequence is None else 1
    version.header.parameter1 = sequence or 0
    return bytes(version) + b"".join(bytes(ca.SearchRequest(name, 100 + i, 13)) for i, name in enumerate(names))


@pytest.mark.parametrize(("sequence", "valid"), [(0xCAFE, 1), (0, 1), (None, 0)])
async def test_the_answer_repeats_the_sequence_number(
    epics: Epics, serve: Serve, sequence: int | None, valid: int
) -> None:
    """One datagram answers all names of a datagram that exist, with the number its version header had."""
    server = await serve(*(IntPv(f"T:{number}", "") for number in range(40)))
    asked = [f"T:{number}" for number in range(38)] + ["T:None", "T:0.DESC"]
    (answer,) = await asyncio.to_thread(datagram_exchange, epics.server_port, search(*asked, sequence=sequence))
    version, *found = ca.Broadcaster(ca.CLIENT).recv(answer, ("127.0.0.1", 1))
    assert (version.header.data_type, version.header.data_count, version.header.parameter1) == (
        valid,
        13,
        sequence or 0,
    )
    assert [one.cid for one in found] == [100 + number for number in range(40) if number != 38]
    assert {one.port for one in found} == {server.port}
    assert {one.header.parameter1 for one in found} == {0xFFFFFFFF}
    assert len(answer) <= 1472


async def test_nobody_is_told_that_there_is_nothing(epics: Epics, serve: Serve) -> None:
    """Names that do not exist are not answered."""
    await serve(IntPv("T:X", ""))
    datagrams = search("T:None", sequence=1), search("T:X", sequence=2)
    answers = await asyncio.to_thread(lambda: datagram_exchange(epics.server_port, b"".join(datagrams)))
    assert len(answers) == 1
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(datagram_exchange, epics.server_port, datagrams[0], timeout=0.2)


async def test_search_by_tcp(serve: Serve) -> None:
    """A client that uses the server as a name server gets its answer on the circuit."""
    server = await serve(IntPv("T:X", ""))
    async with RawClient(server.port) as client:
        await client.send(ca.SearchRequest("T:X", 5, 13), ca.SearchRequest("T:None", 6, 13, reply=ca.DO_REPLY))
        assert (await client.next(ca.SearchResponse)).port == server.port
        assert (await client.next(ca.NotFoundResponse)).cid == 6


async def test_caget_by_a_name_server(epics: Epics, serve: Serve) -> None:
    """EPICS_CA_NAME_SERVERS: libca searches over TCP, for many names and for those that come later."""
    server = await serve(*(IntPv(f"T:{number}", "", value=number) for number in range(200)))
    epics.env["EPICS_CA_ADDR_LIST"] = ""
    assert (await epics.acaget("-w", "0.3", "T:1")).returncode != 0, "not found by UDP"
    epics.env["EPICS_CA_NAME_SERVERS"] = f"127.0.0.1:{server.port}"
    assert await epics.value("T:7") == "7"
    result = await epics.acaget("-t", "-w", "30", *(f"T:{number}" for number in range(200)))
    assert result.stdout.split() == [str(number) for number in range(200)]
    assert (await epics.acaget("-w", "0.3", "T:None")).returncode != 0
    async with epics.camonitor("T:5", "T:Late") as monitor:
        await monitor.until(lambda lines: any("T:5" in line for line in lines))
        server.add(IntPv("T:Late", "", value=9))
        await monitor.until(lambda lines: lines[-1].startswith("T:Late") and lines[-1].split()[-1] == "9", 30)


async def test_another_tcp_port_if_the_usual_is_taken(epics: Epics, serve: Serve) -> None:
    """With its TCP port in use the server takes another one, and clients find it through the search."""
    with socket.create_server(("127.0.0.1", epics.server_port)):
        server = await serve(IntPv("T:X", "", value=3))
        assert server.port not in {0, epics.server_port}
        assert await epics.value("T:X") == "3"


async def test_two_servers_share_the_udp_port(serve: Serve) -> None:
    """Several IOCs run on one machine: both can be reached by TCP."""
    first, second = await serve(IntPv("T:A", "")), await serve(IntPv("T:B", ""))
    assert first.port != second.port
    async with RawClient(first.port) as one, RawClient(second.port) as two:
        await one.channel("T:A")
        await two.channel("T:B")


async def test_an_udp_port_that_is_not_shared(epics: Epics, serve: Serve) -> None:
    """If another program holds the search port for itself, start says so in plain words and leaves nothing open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", epics.server_port))
        with pytest.raises(CannotServe, match=rf"UDP port {epics.server_port} of 127\.0\.0\.1 .* in use"):
            await serve(IntPv("T:X", ""))


async def test_beacons(epics: Epics, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beacons carry the TCP port, count up, come fast at first, and fast again after a PV was added."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("EPICS_CAS_BEACON_PERIOD", "0.5")
        server = await serve(IntPv("T:X", ""))
        loop = asyncio.get_running_loop()
        beacons = [struct.unpack(">HHHHII", await loop.sock_recv(listener, 100)) for _ in range(3)]
        assert [beacon[4] for beacon in beacons] == [0, 1, 2]
        assert {(beacon[0], beacon[2], beacon[3]) for beacon in beacons} == {(13, 13, server.port)}
        await asyncio.sleep(0)
        begun = loop.time()
        server.add(IntPv("T:Y", ""))
        for _ in range(3):
            await asyncio.wait_for(loop.sock_recv(listener, 100), 60)
        assert loop.time() - begun < 0.4


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (5064, ("0.0.0.0",))),
        ({"EPICS_CA_SERVER_PORT": "6000"}, (6000, ("0.0.0.0",))),
        ({"EPICS_CA_SERVER_PORT": "6000", "EPICS_CAS_SERVER_PORT": "7000"}, (7000, ("0.0.0.0",))),
        ({"EPICS_CAS_INTF_ADDR_LIST": " 127.0.0.1  127.0.0.2:99 127.0.0.1"}, (5064, ("127.0.0.1", "127.0.0.2"))),
    ],
)
def test_environment(variables: dict[str, str], expected: tuple[int, tuple[str, ...]]) -> None:
    """Port and interfaces come from the EPICS variables with their usual precedence."""
    environment = Environment.read(variables)
    assert (environment.port, environment.interfaces) == expected


def test_beacon_addresses() -> None:
    """Beacons go to the listed addresses, with the repeater's port unless said otherwise."""
    variables = {
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "10.0.0.255 10.1.0.255:77",
        "EPICS_CA_REPEATER_PORT": "6065",
    }
    assert Environment.read(variables).beacons == (("10.0.0.255", 6065, "0.0.0.0"), ("10.1.0.255", 77, "0.0.0.0"))
    variables["EPICS_CAS_INTF_ADDR_LIST"] = "127.0.0.3"
    assert {beacon.server for beacon in Environment.read(variables).beacons} == {"127.0.0.3"}
    assert Environment.read({"EPICS_CAS_BEACON_ADDR_LIST": "10.0.0.255"}).beacons[1:], "and the automatic ones"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EPICS_CA_SERVER_PORT", "abc"),
        ("EPICS_CAS_SERVER_PORT", "70000"),
        *(("EPICS_CAS_BEACON_PERIOD", period) for period in ("often", "0", "-1", "nan", "inf", "1e9")),
        ("EPICS_CA_BEACON_PERIOD", "often"),
        ("EPICS_CAS_BEACON_ADDR_LIST", "10.0.0.1:x"),
        ("EPICS_CAS_BEACON_ADDR_LIST", "10.0.0.1:70000"),
        ("EPICS_CAS_IGNORE_ADDR_LIST", "no.such.host.invalid"),
        ("EPICS_CAS_IGNORE_ADDR_LIST", "127.0.0.1:"),
        ("EPICS_CAS_IGNORE_ADDR_LIST", ":5064"),
        ("EPICS_CAS_IGNORE_ADDR_LIST", "127.0.0.1 10.0.0.300"),
        ("EPICS_CAS_INTF_ADDR_LIST", "239.255.0.1:port"),
    ],
)
def test_environment_that_makes_no_sense(variable: str, value: str) -> None:
    """A variable with nonsense is named in the error together with what it says."""
    with pytest.raises(CannotServe, match=f"{variable} is '{value}'"):
        Environment.read({variable: value})


def test_broadcast_addresses_of_an_interface() -> None:
    """A server on one interface hears that interface's broadcasts too; loopback has none."""
    for address, broadcast in broadcast_addresses().items():
        assert Environment.read({"EPICS_CAS_INTF_ADDR_LIST": address}).broadcasts() == {address: broadcast}
    assert Environment.read({"EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1"}).broadcasts() == {}


@pytest.mark.parametrize("ignored", ["127.0.0.1", "localhost", "10.9.8.7 127.0.0.1:4711"])
async def test_ignored_clients(epics: Epics, serve: Serve, monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    """Searches from a host in EPICS_CAS_IGNORE_ADDR_LIST are not answered, however it is named, as by softIoc."""
    monkeypatch.setenv("EPICS_CAS_IGNORE_ADDR_LIST", ignored)
    await serve(IntPv("T:X", ""))
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(datagram_exchange, epics.server_port, search("T:X", sequence=1), timeout=0.2)


def test_multicast_groups_alone() -> None:
    """Groups are no interfaces: with nothing else in the list all interfaces are served."""
    environment = Environment.read({"EPICS_CAS_INTF_ADDR_LIST": "239.255.0.1 239.255.0.2:99"})
    assert (environment.interfaces, environment.groups) == (("0.0.0.0",), ("239.255.0.1", "239.255.0.2"))
    environment = Environment.read({"EPICS_CAS_INTF_ADDR_LIST": "239.255.0.1 127.0.0.1"})
    assert (environment.interfaces, environment.groups) == (("127.0.0.1",), ("239.255.0.1",))
