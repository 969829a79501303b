"""From a topology to its machines."""

from __future__ import annotations

import socket

import pytest

from ioc.errors import PeerError
from ioc.hosts import build_hosts, host_with
from ioc.sim.ports import free_port
from ioc.topology.schema import Topology


def topology(ssh, servers: list[dict], routers: list[dict]) -> Topology:
    return Topology.model_validate(
        {
            "experiment": "e1",
            "ssh": ssh,
            "ecc_servers": [{"role": "cobo", "name": f"CoBo{i}", **server} for i, server in enumerate(servers)],
            "data_routers": [{"name": f"data{i}", **router} for i, router in enumerate(routers)],
            "data_sources": [{"id": "CoBo[0]", "ecc_server": "CoBo0", "data_routers": ["data0"]}],
        }
    )


A, B = "10.0.0.1", "10.0.0.2"
ONE, TWO = {"host": A}, {"host": B}
LOCAL = {**ONE, "ssh": "local"}


@pytest.mark.parametrize(
    ("ssh", "servers", "routers", "expected"),
    [
        ({"username": "attpc"}, [ONE], [ONE, TWO, TWO], {(A, "CoBo0", "data0"), (B, "data1", "data2")}),
        ({}, [ONE], [{**ONE, "ssh": {"port": 2222}}, ONE], {(A, "CoBo0", "data1"), (A, "data0")}),
        ({}, [ONE], [{**ONE, "ssh": {"username": "daq"}}], {(A, "CoBo0"), (A, "data0")}),
        ({}, [LOCAL], [ONE, LOCAL], {(A, "CoBo0", "data1"), (A, "data0")}),
        ("local", [ONE], [TWO], {("localhost", "CoBo0", "data0")}),
        ("local", [ONE], [ONE], {(A, "CoBo0", "data0")}),
    ],
)  # fmt: skip
async def test_one_host_for_each_machine(ssh, servers: list[dict], routers: list[dict], expected: set):
    """Components are grouped by address, SSH port and user; `local` is one machine."""
    hosts = build_hosts(topology(ssh, servers, routers))
    assert {(host.name, *host.servers, *host.routers) for host in hosts} == expected
    for host in hosts:
        await host.close()


async def test_local_and_remote(tmp_path):
    """`ssh: local` needs no SSH, the rest does."""
    (tmp_path / "log").write_text("hello")
    ssh = {"known_hosts": str(tmp_path / "none"), "config": None, "port": free_port()}
    local, remote = build_hosts(topology(ssh, [LOCAL], [{"host": "127.0.0.1"}]))
    assert await local.log_tail(str(tmp_path / "log")) == "hello"
    with pytest.raises(PeerError, match="cannot be reached by SSH"):
        await remote.log_tail(str(tmp_path / "log"))
    for host in (local, remote):
        await host.close()


async def test_files_are_found_after_the_local_machine_has_changed_its_name() -> None:
    """With one address it has this as its name, with two it is localhost: what was recorded before is still here."""
    hosts = build_hosts(topology("local", [ONE], [ONE, TWO]))
    assert [host.name for host in hosts] == ["localhost"]
    for address in (A, B, "localhost", socket.gethostname()):
        assert host_with(hosts, address, "data0") is hosts[0]
    assert host_with(hosts, "10.0.0.9", "data0") is None
    await hosts[0].close()
