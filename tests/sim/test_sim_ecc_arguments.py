"""configID, table and the texts of the replies."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_clients import CONFIG_ID, Sink, ask, link_table, steps

from ioc.sim import ServerPlan
from ioc.sim.configs import ConfigDirectory, ServerCrashError, config_id_text, parse_config_id
from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.ecc_wire import Link, links_text, parse_links
from ioc.sim.electronics import Electronics

MakeServer = Callable[..., Awaitable[EccServer]]


@pytest.mark.parametrize(
    "config_id",
    [
        CONFIG_ID.replace('type="prepare"', 'type="cook"'),
        CONFIG_ID.replace(' type="prepare"', ""),
        CONFIG_ID.replace(">loop<", "><"),
        CONFIG_ID.replace("<SubConfigId", "<!-- note --><SubConfigId", 1),
        CONFIG_ID.replace("loop", "<a><b><c>loop</c></b></a>"),
        CONFIG_ID.replace("</ConfigId>", ""),
        "rubbish",
    ],
    ids=["unknown-type", "no-type", "empty-name", "comment", "nesting", "not-closed", "no-xml"],
)
async def test_malformed_config_id_kills_the_server(config_id: str, make_server: MakeServer) -> None:
    """A malformed configID ends the process: EOF without a byte, then connection refused, Idle after a restart."""
    server = await make_server()
    server.force_state(State.READY)
    assert (await ask(server.address.port, "Start", config_id)).raw == b""
    with pytest.raises(ConnectionRefusedError):
        await ask(server.address.port, "GetState")
    await server.start()
    assert (await ask(server.address.port, "GetState")).state == State.IDLE


@pytest.mark.parametrize(
    ("operation", "state", "kind", "code"),
    [("Describe", State.IDLE, "loop", 1), ("Prepare", State.DESCRIBED, "noasad", 2)],
)
async def test_config_must_exist(operation: str, state: State, kind: str, code: int, make_server: MakeServer) -> None:
    """An unknown name or an incomplete identifier fails the transition with its number and leaves the state."""
    server = await make_server()
    server.force_state(state)
    reply = await ask(server.address.port, operation, CONFIG_ID.replace(kind, "nowhere"))
    assert (reply.code, reply.field("ErrorMessage")) == (code, "Exception: Configuration 'nowhere' does not exist.")
    reply = await ask(server.address.port, operation, "")
    assert reply.code == code
    assert reply.field("ErrorMessage") == "Configuration identifier '<ConfigId></ConfigId>' is not valid."
    assert server.machine.state == state


async def test_configure_answers_links_and_files(
    make_server: MakeServer, configs: Path, sink: tuple[Sink, int]
) -> None:
    """Configure answers the links in use, a newline, and the full text of every configuration file that was read."""
    server = await make_server("2.7")
    for stem in ("prepare-noasad", "configure-noasad", "hardwareDescription_board"):
        (configs / f"{stem}.xcfg").write_text(f"<{stem}>ä & more</{stem}>\n")
    (configs / "describe-loop.xcfg").write_text("<HardwareConfigId>board</HardwareConfigId>\n")
    table = link_table("CoBo[0]", sink[1])
    await steps(server, table, "Describe", "Prepare")
    reply = await ask(server.address.port, "Configure", table=table)
    ignored = await ask(server.address.port, "Configure", CONFIG_ID.replace("noasad", "other"))
    assert ignored.raw == reply.raw
    links, config_set = reply.field("Text").split("</DataLinkSet>\n")
    assert f'port="{sink[1]}"' in links
    assert config_set == (
        "<ConfigSet><HardwareConfigId>board</HardwareConfigId>\n"
        "<hardwareDescription_board>ä & more</hardwareDescription_board>\n"
        "<configure-noasad>ä & more</configure-noasad>\n</ConfigSet>"
    )


@pytest.mark.parametrize("change", [('port="46005"', 'port="x"'), ("CoBo[0]", "CoBo[1]")])
async def test_wrong_link_is_no_link(change: tuple[str, str], make_server: MakeServer) -> None:
    """A link without a port or of another source leaves the source without a router."""
    server = await make_server()
    server.force_state(State.PREPARED)
    reply = await ask(server.address.port, "Configure", table=link_table("CoBo[0]", 46005).replace(*change))
    assert reply.code == 3
    assert reply.field("ErrorMessage") == "Could not find a valid data router for data sender 'CoBo[0]'"


async def test_link_of_unknown_type(make_server: MakeServer) -> None:
    """A type that is none, lower case too, fails Configure."""
    server = await make_server()
    await steps(server, "", "Describe", "Prepare")
    reply = await ask(server.address.port, "Configure", table=link_table("CoBo[0]", 46005, "tcp"))
    assert reply.code == 3
    assert reply.field("ErrorMessage").endswith(
        "Failed to connect to data router of type 'tcp': Unknown data sender type 'tcp'"
    )


async def test_first_valid_link_of_a_source_counts(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Of several links of a source all but the first vanish without a word; one without a port is none."""
    good, other = link_table("CoBo[0]", sink[1]), link_table("CoBo[0]", 1)
    nameless = good.replace(str(sink[1]), "x")
    server = await make_server()
    await steps(server, "", "Describe", "Prepare")
    table = (nameless + good + other).replace("</DataLinkSet><DataLinkSet>", "")
    reply = await ask(server.address.port, "Configure", table=table)
    links, _, _ = reply.field("Text").partition("<ConfigSet>")
    assert (reply.code, links.count("<DataLink>"), links.count(f'port="{sink[1]}"')) == (0, 1, 1)


async def test_file_that_vanished_is_told_though_ready(
    make_server: MakeServer, configs: Path, sink: tuple[Sink, int]
) -> None:
    """A file that an earlier step has read is missed in the answer to Configure: code 3, and Ready all the same."""
    server, table = await make_server(), link_table("CoBo[0]", sink[1])
    port = await steps(server, table, "Describe", "Prepare")
    (configs / "describe-loop.xcfg").unlink()
    reply = await ask(port, "Configure", table=table)
    assert (reply.code, reply.field("ErrorMessage")) == (3, "Configuration 'loop' does not exist.")
    assert (await ask(port, "GetState")).state == State.READY


@pytest.mark.parametrize(
    ("present", "release", "operation", "missing"),
    [
        ("describe-D.xcfg", 2021, "Describe", ""),
        ("describe-D.xml", 2021, "Describe", ""),
        ("describe-D.txt", 2021, "Describe", "D"),
        ("describe-named.xcfg", 2021, "Describe", "board"),
        ("describe-named.xcfg hardwareDescription_board.xcfg", 2021, "Describe", ""),
        ("describe-named.xcfg hardwareDescription_board.xml", 2021, "Describe", ""),
        ("prepare-P.xcfg", 2021, "Prepare", "P"),
        ("configure-P.xcfg", 2021, "Prepare", ""),
        ("configure-P.xml", 2021, "Prepare", ""),
        ("prepare-P.xcfg", 2017, "Prepare", ""),
        ("configure-P.xcfg", 2017, "Prepare", "P"),
        ("configure-P.xcfg", 2021, "Configure", "C"),
        ("configure-C.xcfg", 2017, "Configure", ""),
        ("configure-2.5_bar.xcfg", 2021, "Configure", "2.5_bar"),
        ("configure-2.xcfg", 2021, "Configure 2.5_bar", ""),
    ],
)
async def test_files_that_a_step_reads(
    present: str, release: Literal[2017, 2021], operation: str, missing: str, *, tmp_path: Path, sink: tuple[Sink, int]
) -> None:
    """Which file each step needs, by release; a name is cut at its dot."""
    directory = tmp_path / "files"
    directory.mkdir()
    for file in present.split():
        text = "<Setup><HardwareConfigId>board</HardwareConfigId></Setup>" if "named" in file else "<Setup/>"
        (directory / file).write_text(text)
    operation, _, other = operation.partition(" ")
    names = {"describe": "named" if "named" in present else "D", "prepare": "P"}
    names["configure"] = other or missing or "C"
    plan = ServerPlan("CoBo0", ("CoBo[0]",), release=release)
    configs, electronics = ConfigDirectory(directory, release), Electronics(plan.sources, 1000)
    server = EccServer(plan, configs, electronics, tmp_path / "log", 1000.0)
    await server.start()
    try:
        server.force_state({"Describe": State.IDLE, "Prepare": State.DESCRIBED, "Configure": State.PREPARED}[operation])
        reply = await ask(server.address.port, operation, config_id_text(names), link_table("CoBo[0]", sink[1]))
    finally:
        await server.close()
    expected = f"Exception: Configuration '{missing}' does not exist." if missing else ""
    assert reply.field("ErrorMessage") == expected


async def test_a_name_with_a_space_is_listed_but_cannot_be_loaded(make_server: MakeServer, configs: Path) -> None:
    """The server takes the path of the file for an invalid URL: the step fails with the place of the space."""
    path = configs / "describe-my set.xcfg"
    path.write_text("<Setup/>")
    server = await make_server()
    assert "my set" in (await ask(server.address.port, "GetConfigIDs")).field("Text")
    names = {"describe": "my set", "prepare": "a", "configure": "a"}
    reply = await ask(server.address.port, "Describe", config_id_text(names))
    where = len(str(path).partition(" ")[0])
    assert (reply.code, reply.field("ErrorMessage")) == (
        1,
        f'Exception: The URL: "{path}" is invalid. There is an error at character {where}: " set.xcfg".',
    )
    assert (await ask(server.address.port, "GetState")).state == State.IDLE


def test_list_has_what_may_not_load(tmp_path: Path) -> None:
    """Both extensions and names with a dot are listed, once; prepare equals configure whatever files there are."""
    for name in ("describe-a.xcfg", "describe-a.xml", "configure-2.5_bar.xcfg", "configure-b.xml", "prepare-c.xcfg"):
        (tmp_path / name).touch()
    listed = [
        [part.text for part in config] for config in ElementTree.fromstring(ConfigDirectory(tmp_path).list_text())
    ]
    assert listed == [["a", "2.5_bar", "2.5_bar"], ["a", "b", "b"]]


async def test_config_directory_is_read_anew(make_server: MakeServer, configs: Path) -> None:
    """A file that appears is in the next list, unescaped even if that makes the list invalid XML."""
    server = await make_server()
    before = (await ask(server.address.port, "GetConfigIDs")).field("Text")
    assert len(ElementTree.fromstring(before)) == 3
    (configs / "configure-a&b.xcfg").touch()
    after = (await ask(server.address.port, "GetConfigIDs")).field("Text")
    assert after.count('<SubConfigId type="prepare">a&b</SubConfigId>') == 3
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(after)


@given(st.text() | st.text(alphabet="<>/ConfigIdSubtype=\"' "))
def test_any_text_is_config_id_or_death(text: str) -> None:
    """No text makes the parser fail in any other way than the documented one."""
    with contextlib.suppress(ServerCrashError):
        assert all(parse_config_id(text).values())


_WORDS = st.text(alphabet="abcXYZ019[]_-.", min_size=1, max_size=12)


@given(st.lists(st.builds(Link, _WORDS, _WORDS, _WORDS, st.integers(1, 65535), st.sampled_from(["TCP", "FDT", "ICE"]))))
def test_links_come_back(links: list[Link]) -> None:
    """The links in use, as Configure answers them, read back as they were."""
    assert parse_links(links_text(tuple(links))) == tuple(links)
