"""What is derived from a topology: SSH settings, data links."""

from __future__ import annotations

from ioc.model import DataLink, LinkType
from ioc.topology.derived import links_of, sources_of, ssh_for
from ioc.topology.load import parse
from ioc.topology.schema import Ssh, Topology

TEXT = """\
experiment: e1
ecc_servers:
  - {name: CoBo0, role: cobo, host: 10.0.0.1}
  - {name: CoBo1, role: cobo, host: 10.0.0.2, ssh: {username: other, known_hosts: ~/.ssh/known_hosts}}
  - {name: CoBo2, role: cobo, host: 10.0.0.3, ssh: local}
  - {name: CoBo3, role: cobo, host: 10.0.0.4, ssh: {}}
data_routers:
  - {name: data0, host: 10.0.0.1}
  - {name: export0, host: 10.0.0.1, port: 46007, type: ZBUF}
data_sources:
  - {id: "CoBo[0]", ecc_server: CoBo0, data_routers: [data0, export0]}
  - {id: "CoBo[1]", ecc_server: CoBo1, data_routers: [data0]}
  - {id: "CoBo[2]", ecc_server: CoBo2, data_routers: [data0]}
  - {id: "CoBo[3]", ecc_server: CoBo3, data_routers: [data0]}
  - {id: "CoBo[4]", ecc_server: CoBo0, data_routers: [export0]}
ssh: {username: attpc, port: 2222, known_hosts: /etc/known, unknown_hosts: add}
"""


def topology(ssh: str = "") -> Topology:
    """The installation above, with another general section if asked for."""
    return parse(TEXT if not ssh else TEXT[: TEXT.index("ssh: {username: attpc")] + ssh, "t.yaml")


def test_own_ssh_settings_go_over_the_general_ones_key_by_key() -> None:
    """A key that a component sets wins, even with the default's value; all others stay general."""
    installation = topology()
    general = Ssh(username="attpc", port=2222, known_hosts="/etc/known", unknown_hosts="add")
    merged = Ssh(username="other", port=2222, known_hosts="~/.ssh/known_hosts", unknown_hosts="add")
    expected = [general, merged, "local", general]
    assert [ssh_for(installation, server) for server in installation.ecc_servers] == expected


def test_a_component_may_have_ssh_where_the_rest_is_local() -> None:
    """Below a general `local`, own settings stand alone."""
    installation = topology("ssh: local")
    expected = ["local", Ssh(username="other"), "local", Ssh()]
    assert [ssh_for(installation, server) for server in installation.ecc_servers] == expected


def test_links_are_all_pairs_of_source_and_router() -> None:
    """A server's links are one for each router of each of its sources, with the router's address."""
    installation = topology()
    assert [source.id for source in sources_of(installation, "CoBo0")] == ["CoBo[0]", "CoBo[4]"]
    assert links_of(installation, "CoBo0") == (
        DataLink("CoBo[0]", "data0", "10.0.0.1", 46005, LinkType.TCP),
        DataLink("CoBo[0]", "export0", "10.0.0.1", 46007, LinkType.ZBUF),
        DataLink("CoBo[4]", "export0", "10.0.0.1", 46007, LinkType.ZBUF),
    )
    assert links_of(installation, "none") == ()
