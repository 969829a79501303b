"""The two arguments of an ECC operation, ``configID`` and ``table``, and the texts that answer them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

KINDS = ("describe", "prepare", "configure")
_LINK_TYPES = frozenset({"TCP", "FDT", "ICE", "ZBUF"})


class ServerCrashError(Exception):
    """The real server's process would have died of this input."""


@dataclass(frozen=True)
class ConfigId:
    """The configuration names that a request has, by kind; a kind may be missing."""

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
    """Read the text of ``table``; what is not a valid link is left out, as the real server does."""
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
        port, link_type = router.get("port", ""), router.get("type", "")
        if port.isdecimal() and link_type in _LINK_TYPES:
            links.append(
                Link(sender.get("id", ""), router.get("name", ""), router.get("ipAddress", ""), int(port), link_type)
            )
    return tuple(links)


def sources_text(sources: tuple[str, ...]) -> str:
    """The answer to Describe."""
    return _set_of("DataSenderSet", [f'<DataSender id="{source}" />' for source in sources])


def links_text(links: tuple[Link, ...]) -> str:
    """The first part of the answer to Configure."""
    return _set_of(
        "DataLinkSet",
        [
            f'<DataLink><DataSender id="{link.source}" />'
            f'<DataRouter  name="{link.router}" ipAddress="{link.address}" port="{link.port}" type="{link.type}" />'
            "</DataLink>"
            for link in links
        ],
    )


def _set_of(name: str, items: list[str]) -> str:
    return "\n".join([f"<{name}>", *(f"\t{item}" for item in items), f"</{name}>"])


class ConfigDirectory:
    """A folder of ``KIND-NAME.xcfg`` files, looked at anew at each question. Names are not escaped anywhere."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self, kind: str) -> list[str]:
        prefix = f"{kind}-"
        return sorted(file.name[len(prefix) : -len(".xcfg")] for file in self._path.glob(f"{prefix}?*.xcfg"))

    def has(self, kind: str, name: str) -> bool:
        return name in self.names(kind)

    def list_text(self) -> str:
        """The answer to GetConfigIDs: describe x configure, with prepare always equal to configure."""
        return _set_of(
            "ConfigIdSet",
            [
                str(ConfigId({"describe": describe, "prepare": configure, "configure": configure}))
                for describe in self.names("describe")
                for configure in self.names("configure")
            ],
        )

    def contents_text(self, config: ConfigId) -> str:
        """The second part of the answer to Configure: every configuration file in full."""
        files = [self._path / f"{kind}-{name}.xcfg" for kind, name in config.names.items()]
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
        return f"<ConfigSet>{''.join(texts)}</ConfigSet>"
