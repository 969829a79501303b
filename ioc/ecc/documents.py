"""The XML documents inside the texts of the ECC server's operations; no network access."""
# pyright: reportAttributeAccessIssue=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from lxml import etree

from ioc.errors import PeerError, Refused
from ioc.model import ConfigChoice, DataLink, check_config_name

_NAME_CAUSE = "; a configuration file with & or < in its name can cause this and must be renamed"


@dataclass(frozen=True)
class OfferedConfigs:
    """A server's answer to GetConfigIDs."""

    choices: tuple[ConfigChoice, ...]
    """In the server's order."""
    unusable: tuple[str, ...]
    """For each configuration left out, why its name may not be sent."""


def config_id(config: ConfigChoice) -> str:
    """The argument ``configID``.

    Raises:
        Refused: if a name is not one that is safe to send (a malformed configID can kill the server).
    """
    root = ET.Element("ConfigId")
    for kind, name in (("describe", config.describe), ("prepare", config.prepare), ("configure", config.configure)):
        ET.SubElement(root, "SubConfigId", type=kind).text = check_config_name(name)
    return ET.tostring(root, encoding="unicode")


def link_table(links: Sequence[DataLink]) -> str:
    """The argument ``table``: one DataLink for each pair of source and router; empty if there are none."""
    if not links:
        return ""
    root = ET.Element("DataLinkSet")
    for link in links:
        pair = ET.SubElement(root, "DataLink")
        ET.SubElement(pair, "DataSender", id=link.source)
        ET.SubElement(
            pair,
            "DataRouter",
            name=link.router,
            ipAddress=link.address,
            port=str(link.port),
            type=link.link_type.value,
        )
    return ET.tostring(root, encoding="unicode")


def configs_in(text: str) -> OfferedConfigs:
    """Read the reply to GetConfigIDs. The server does not escape names: a file ``a&b`` spoils the whole list.

    Raises:
        PeerError: the list cannot be read; the text says why.
    """
    choices: list[ConfigChoice] = []
    unusable: list[str] = []
    for entry in _root(text, "ConfigIdSet", "list of configurations", _NAME_CAUSE).findall("ConfigId"):
        names = {part.get("type"): part.text or "" for part in entry.findall("SubConfigId")}
        try:
            described, prepared, configured = (
                check_config_name(names[kind]) for kind in ("describe", "prepare", "configure")
            )
        except KeyError as missing:
            unusable.append(f"a configuration of the list has no {missing.args[0]}")
        except Refused as refusal:
            unusable.append(str(refusal))
        else:
            choices.append(ConfigChoice(described, prepared, configured))
    return OfferedConfigs(tuple(choices), tuple(unusable))


def sources_in(text: str) -> tuple[str, ...]:
    """Read the reply to Describe: ids of the data sources that the hardware description knows.

    Raises:
        PeerError: it cannot be read; the text says why.
    """
    senders = _root(text, "DataSenderSet", "list of data sources").findall("DataSender")
    return tuple(sender.get("id") or "" for sender in senders)


def config_digest(text: str) -> str:
    """SHA-256 in hex of the ConfigSet in the reply to Configure, from its first to its last tag; empty if it has none.

    It is computed from the text as received, so it identifies exactly what the electronics were given.
    """
    begin = text.find("<ConfigSet")
    return hashlib.sha256(text[begin:].strip().encode()).hexdigest() if begin >= 0 else ""


def _root(text: str, tag: str, what: str, cause: str = "") -> Any:
    # Nothing outside the text is ever read, and entities are not expanded.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise PeerError(f"the {what} is not valid XML ({error.msg}){cause}") from None
    if root.getroottree().docinfo.doctype:
        raise PeerError(f"the {what} has a DTD, which is refused")
    if root.tag != tag:
        raise PeerError(f"the {what} is a {root.tag}, but must be a {tag}")
    return root
