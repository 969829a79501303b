"""The two arguments of an ECC operation, ``configID`` and ``table``, and the texts that answer them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

KINDS = ("describe", "prepare", "configure")
_EXTENSIONS = (".xcfg", ".xml")
"""The second is read where there is no first."""
_ONE_KIND_SINCE = 2021
"""Release from which on prepare and configure are files of one kind."""
_HARDWARE = re.compile(r"<HardwareConfigId>\s*([^<]*?)\s*</HardwareConfigId>")


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
        port = router.get("port", "")
        if port.isdecimal():
            address = router.get("ipAddress", "")
            links.append(Link(sender.get("id", ""), router.get("name", ""), address, int(port), router.get("type", "")))
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


class MissingConfigError(Exception):
    """A file that a step reads is not there; the text is the name as the server knows it."""


class ConfigDirectory:
    """A folder of ``KIND-NAME.xcfg`` files, looked at anew at each question. Names are not escaped anywhere."""

    def __init__(self, path: Path, release: int = 2021) -> None:
        self._path = path
        self._prefix: dict[str, str] = dict(zip(KINDS, KINDS, strict=True))
        if release >= _ONE_KIND_SINCE:
            self._prefix["prepare"] = "configure"

    def names(self, kind: str) -> list[str]:
        """What the list has of one kind, whatever the extension."""
        prefix = f"{kind}-"
        return sorted({file.stem[len(prefix) :] for end in _EXTENSIONS for file in self._path.glob(f"{prefix}?*{end}")})

    def files(self, kind: str, name: str) -> list[Path]:
        """The files that a step reads: one, and with describe the hardware descriptions that it names.

        Raises:
            MissingConfigError: naming what is not there.
        """
        file = self._file(f"{self._prefix[kind]}-", name)
        if kind != "describe":
            return [file]
        text = file.read_text(encoding="utf-8", errors="replace")
        return [file, *(self._file("hardwareDescription_", name) for name in _HARDWARE.findall(text))]

    def _file(self, prefix: str, name: str) -> Path:
        stem = name.rpartition(".")[0] or name  # the server takes what follows a dot for the extension
        for extension in _EXTENSIONS:
            path = self._path / f"{prefix}{stem}{extension}"
            if path.is_file():
                return path
        raise MissingConfigError(name)

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

    def contents_text(self, names: Mapping[str, str]) -> str:
        """The second part of the answer to Configure: every configuration file that the steps read, in full.

        Raises:
            MissingConfigError: a file was taken away since, or no step has read any.
        """
        if not names:
            raise MissingConfigError("")
        files: dict[Path, None] = {}
        for kind, name in names.items():
            files |= dict.fromkeys(self.files(kind, name))
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        return f"<ConfigSet>{''.join(texts)}</ConfigSet>"
