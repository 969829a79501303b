"""configID, table and the texts of the replies."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_clients import CONFIG_ID, ask, link_table

from ioc.sim.ecc_arguments import Link, ServerCrashError, links_text, parse_config_id, parse_links
from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State

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


async def test_configure_answers_links_and_files(make_server: MakeServer, configs: Path) -> None:
    """Configure answers the links in use, a newline, and the full text of the three configuration files."""
    server = await make_server("2.7")
    for kind, name in (("describe", "loop"), ("prepare", "noasad"), ("configure", "noasad")):
        (configs / f"{kind}-{name}.xcfg").write_text(f"<{kind}>ä & more</{kind}>\n")
    server.force_state(State.PREPARED)
    reply = await ask(server.address.port, "Configure", table=link_table("CoBo[0]", 46005))
    links, config_set = reply.field("Text").split("</DataLinkSet>\n")
    assert 'port="46005"' in links
    assert config_set == (
        "<ConfigSet><describe>ä & more</describe>\n<prepare>ä & more</prepare>\n"
        "<configure>ä & more</configure>\n</ConfigSet>"
    )


@pytest.mark.parametrize("change", [('type="TCP"', 'type="tcp"'), ('port="46005"', 'port="x"'), ("CoBo[0]", "CoBo[1]")])
async def test_wrong_link_is_no_link(change: tuple[str, str], make_server: MakeServer) -> None:
    """A link of unknown type, without a port or of another source leaves the source without a router."""
    server = await make_server()
    server.force_state(State.PREPARED)
    reply = await ask(server.address.port, "Configure", table=link_table("CoBo[0]", 46005).replace(*change))
    assert reply.code == 3
    assert reply.field("ErrorMessage") == "Could not find a valid data router for data sender 'CoBo[0]'"


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
        assert all(parse_config_id(text).names.values())


_WORDS = st.text(alphabet="abcXYZ019[]_-.", min_size=1, max_size=12)


@given(st.lists(st.builds(Link, _WORDS, _WORDS, _WORDS, st.integers(1, 65535), st.sampled_from(["TCP", "FDT", "ICE"]))))
def test_links_come_back(links: list[Link]) -> None:
    """The links in use, as Configure answers them, read back as they were."""
    assert parse_links(links_text(tuple(links))) == tuple(links)
