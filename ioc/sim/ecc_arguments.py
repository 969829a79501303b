"""The two arguments of an ECC operation, ``configID`` and ``table``, and the texts that answer them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

KINDS = ("describe", "prepare", "configure")


class ServerCrashError(Exception):
    """The real server's process would have died of this input."""


@dataclass(frozen=True)
class ConfigId:
    """The configuration names of a request, by kind; a kind may be missing."""

    names: dict[str, str]

    @property
    def complete(self) -> bool:
        return all(kind in self.names for kind in KINDS)

    def __str__(self) -> str:
        parts = "".join(
            f'<SubConfigId type="{kind}">{self.names[kind]}</SubConfigId>' for kind in KINDS if kind in self.names
        )
        return f"<ConfigId>{parts}</ConfigId>"


def parse_config_id(text: str) -> ConfigId:
    """Read the text of ``configID``; an empty one has no names.

    Raises:
        ServerCrashError: the text is malformed.
    """
    if not text.strip():
        return ConfigId({})
    if "<!" in text:
        raise ServerCrashError("comment or declaration in a configID")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no declarations, checked above
    except ElementTree.ParseError as error:
        raise ServerCrashError(f"configID is not XML: {error}") from None
    if root.tag != "ConfigId":
        raise ServerCrashError(f"configID begins with <{root.tag}>")
    names: dict[str, str] = {}
    for part in root:
        kind, name = part.get("type"), part.text
        if part.tag != "SubConfigId" or kind not in KINDS or len(part) or not name:
            raise ServerCrashError(f"SubConfigId of type {kind!r} with name {name!r}")
        names[kind] = name
    return ConfigId(names)


@dataclass(frozen=True)
class Link:
    """One data source sends to one data router."""

    source: str
    router: str
    address: str
    port: int
    type: str


def parse_links(text: str) -> tuple[Link, ...]:
    """Read the text of ``table``; as the real server does, ignore what is not a valid link."""
    if "<!" in text:
        return ()
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no declarations, checked above
    except ElementTree.ParseError:
        return ()
    links: list[Link] = []
    for element in root.iter("DataLink"):
        sender, router = element.find("DataSender"), element.find("DataRouter")
        if sender is None or router is None:
            continue
        name, address, port, kind = (router.get(key, "") for key in ("name", "ipAddress", "port", "type"))
        if port.isdecimal():
            links.append(Link(sender.get("id", ""), name, address, int(port), kind))
    return tuple(links)


def sources_text(sources: Iterable[str]) -> str:
    """The answer to Describe."""
    return set_of("DataSenderSet", (f'<DataSender id="{source}" />' for source in sources))


def links_text(links: Iterable[Link]) -> str:
    """The first part of the answer to Configure."""
    return set_of(
        "DataLinkSet",
        (
            f'<DataLink><DataSender id="{link.source}" />'
            f'<DataRouter  name="{link.router}" ipAddress="{link.address}" port="{link.port}" type="{link.type}" />'
            "</DataLink>"
            for link in links
        ),
    )


def set_of(name: str, items: Iterable[str]) -> str:
    """An element with one item a line, as the real server writes its lists."""
    return "\n".join([f"<{name}>", *(f"\t{item}" for item in items), f"</{name}>"])
