"""The documents inside the texts: what is built, what is read, what is refused."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no types

from ioc.ecc.documents import config_digest, config_id, configs_in, link_table, sources_in
from ioc.errors import PeerError, Refused
from ioc.model import ConfigChoice, DataLink, LinkType

NAMES = st.from_regex(r"[A-Za-z0-9_\-.+@]([A-Za-z0-9_\-.+@ ]{0,20}[A-Za-z0-9_\-.+@])?", fullmatch=True)


def test_config_id_is_the_documented_text() -> None:
    """The configID is the text of the protocol, letter by letter."""
    assert config_id(ConfigChoice("D", "P", "C x")) == (
        '<ConfigId><SubConfigId type="describe">D</SubConfigId><SubConfigId type="prepare">P</SubConfigId>'
        '<SubConfigId type="configure">C x</SubConfigId></ConfigId>'
    )


@pytest.mark.parametrize("name", ["", " ", "a/b", "a<b", "a&b", "a\n", "é", "x" * 121, "<!-- -->"])
def test_config_id_is_never_built_from_an_unsafe_name(name: str) -> None:
    """Names that could kill the server are refused at each of the three places."""
    for config in (ConfigChoice(name, "p", "c"), ConfigChoice("d", name, "c"), ConfigChoice("d", "p", name)):
        with pytest.raises(Refused, match="configuration name"):
            config_id(config)


def test_link_table_has_one_link_for_each_pair() -> None:
    """The table is the text of the protocol, with special characters escaped; without links it is empty."""
    links = [
        DataLink("CoBo[0]", "r0", "10.0.0.1", 46005, LinkType.TCP),
        DataLink("Mutant[master]", 'a"&<', "10.0.0.2", 46007, LinkType.FDT),
    ]
    assert link_table(links) == (
        '<DataLinkSet><DataLink><DataSender id="CoBo[0]" />'
        '<DataRouter name="r0" ipAddress="10.0.0.1" port="46005" type="TCP" /></DataLink>'
        '<DataLink><DataSender id="Mutant[master]" />'
        '<DataRouter name="a&quot;&amp;&lt;" ipAddress="10.0.0.2" port="46007" type="FDT" /></DataLink></DataLinkSet>'
    )
    assert link_table([]) == ""


@given(st.lists(st.tuples(NAMES, NAMES, NAMES)))
def test_offered_configurations_are_read_back(names: list[tuple[str, str, str]]) -> None:
    """Whatever list of safe names a server offers is read in its order."""
    choices = tuple(ConfigChoice(*three) for three in names)
    offered = configs_in(f"<ConfigIdSet>\n\t{''.join(config_id(choice) for choice in choices)}\n</ConfigIdSet>")
    assert offered.choices == choices
    assert offered.unusable == ()


def test_unusable_configurations_are_told_apart() -> None:
    """Entries with an unsafe name or without a part are left out, each with its reason."""
    good = config_id(ConfigChoice("d", "p", "c"))
    offered = configs_in(
        f"<ConfigIdSet>{good}{good.replace('>p<', '>p(1)<')}{good.replace('prepare', 'other')}<ConfigId/></ConfigIdSet>"
    )
    assert offered.choices == (ConfigChoice("d", "p", "c"),)
    assert [reason.split(" must")[0] for reason in offered.unusable] == [
        "configuration name 'p(1)'",
        "a configuration of the list has no prepare",
        "a configuration of the list has no describe",
    ]


@settings(max_examples=200)
@given(st.text() | st.text(alphabet='<>/&!ConfigIdSet"= []'))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the readers raise anything but PeerError."""
    for read in (configs_in, sources_in, config_digest):
        try:
            read(text)
        except PeerError as error:
            message = str(error)
            assert message.startswith("the list of ")


def test_sources_are_read() -> None:
    """The reply to Describe gives the ids in its order."""
    text = '<DataSenderSet>\n\t<DataSender id="CoBo[0]" />\n\t<DataSender id="Mutant[master]" />\n</DataSenderSet>'
    assert sources_in(text) == ("CoBo[0]", "Mutant[master]")
    assert sources_in("<DataSenderSet/>") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of data sources is not valid XML"),
        ("<DataSenderSet>", "the list of data sources is not valid XML"),
        ("<DataLinkSet/>", "the list of data sources is a DataLinkSet, but must be a DataSenderSet"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><DataSenderSet/>", "the list of data sources has a DTD"),
    ],
)
def test_bad_list_of_sources_is_refused(text: str, message: str) -> None:
    """A reply that is no list of sources is refused with what it is and must be."""
    with pytest.raises(PeerError, match=message):
        sources_in(text)


def test_external_entities_are_never_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A list that refers to a local file does not get its content."""
    secret = tmp_path_factory.mktemp("secret") / "file"
    secret.write_text("content")
    text = f"<!DOCTYPE a [<!ENTITY x SYSTEM '{secret.as_uri()}'>]><ConfigIdSet>&x;</ConfigIdSet>"
    with pytest.raises(PeerError, match="has a DTD, which is refused") as caught:
        configs_in(text)
    assert "content" not in str(caught.value)


def test_digest_is_that_of_the_config_set() -> None:
    """The digest covers the ConfigSet from tag to tag, not the links before it; without one it is empty."""
    config_set = "<ConfigSet>" + "<Node id='CoBo'>é</Node>\n" * 5000 + "</ConfigSet>"
    expected = hashlib.sha256(config_set.encode()).hexdigest()
    assert config_digest(f"<DataLinkSet>\n</DataLinkSet>\n{config_set}") == expected
    assert config_digest(f"<DataLinkSet><a/></DataLinkSet>\n{config_set}\n") == expected
    assert config_digest(f"{config_set.replace('é', 'e')}") != expected
    assert config_digest("<DataLinkSet/>") == ""


def test_the_interface_imports_nothing() -> None:
    """The WSDL names no other document that would have to be fetched."""
    tree = etree.fromstring(resources.files("ioc.ecc").joinpath("ecc.wsdl").read_bytes())
    assert tree.xpath("//*[local-name()='import' or local-name()='include']") == []
