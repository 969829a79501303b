"""What starts a program: the keys `units`, `command` and `work_dir`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ioc.errors import ConfigurationError
from ioc.topology.derived import unit_name, units_of
from ioc.topology.load import examine, parse

TEXT = """
experiment: e1
{general}
ecc_servers:
  - {{name: C0, role: cobo, host: 127.0.0.1{server}}}
data_routers:
  - {{name: r0, host: 127.0.0.1{router}}}
data_sources:
  - {{id: "CoBo[0]", ecc_server: C0, data_routers: [r0]}}
"""


def text(general: str = "", server: str = "", router: str = "") -> str:
    return TEXT.format(general=general, server=server, router=router)


def test_own_units_come_before_general_ones() -> None:
    """As with `ssh`; the names of units are fixed."""
    found = parse(text("units: systemd", server=", units: launchd"), "t")
    assert units_of(found, found.ecc_servers[0]) == "launchd"
    assert units_of(found, found.data_routers[0]) == "systemd"
    assert [unit_name(each) for each in (*found.ecc_servers, *found.data_routers)] == [
        "attpc-ecc-C0",
        "attpc-router-r0",
    ]
    without = parse(text(), "t")
    assert units_of(without, without.ecc_servers[0]) is None


@pytest.mark.parametrize(
    "command",
    ["[]", "['']", "['-x']", "['a b']", "[a, 1]", "getEccSoapServer", "['~']", "['./x']", '[a, "b\\nc"]', "[null]"],
)
def test_what_is_no_command_is_refused(command: str) -> None:
    """A list whose first word is a program that systemd and a shell find."""
    with pytest.raises(ConfigurationError, match="command"):
        parse(text(server=f", command: {command}"), "t")


@pytest.mark.parametrize("command", ["[x]", "[/a b/c]", "[~/x, '', -p]", "[x, 'a \"b\" $c %d']"])
def test_what_is_a_command(command: str) -> None:
    """Any words after the program but empty ones."""
    if "''" in command:
        with pytest.raises(ConfigurationError):
            parse(text(server=f", command: {command}"), "t")
    else:
        assert parse(text(server=f", command: {command}"), "t").ecc_servers[0].command


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        ({"general": "units: systemd"}, "data_routers[0].work_dir is empty, but should be set"),
        ({"router": ", command: [x]"}, "data_routers[0].units is empty, but should be systemd or launchd"),
        ({"general": "units: launchd", "router": ", work_dir: /data"}, ""),
        ({"router": ", work_dir: /data, command: [x], units: systemd"}, ""),
    ],
)
def test_what_is_hardly_meant_is_a_warning(tmp_path: Path, keys: dict[str, Any], warning: str) -> None:
    """A unit that does not know where to start its router; a command that nothing starts."""
    (tmp_path / "topology.yaml").write_text(text(**keys) + "ssh: local\n")
    found = [str(each) for each in examine(tmp_path / "topology.yaml").warnings]
    assert any(warning in each for each in found) if warning else found == []
