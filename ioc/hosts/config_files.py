"""The configuration files that belong to a choice.

Releases of the ECC server differ: that of 2021 reads ``configure-P`` at Prepare, those around 2017 ``prepare-P``. A
name is cut at its last dot before the extension is added: for ``2.5_bar`` ``describe-2.xcfg`` is read, but
``describe-2.5_bar.xcfg`` is listed. The files of all releases are included.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportAttributeAccessIssue=false
# lxml has no types.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree

from ioc.model import ConfigChoice

EXTENSIONS = (".xcfg", ".xml")
"""The second is read if the first does not exist."""


@dataclass(frozen=True)
class ConfigFile:
    """One file of a choice."""

    readings: tuple[tuple[str, ...], ...]
    """For each way to read its name, the possible names; the first existing one is the file."""
    required: bool = False
    """Every release requires it."""
    missed: bool = True
    """It is reported if it is missing."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.readings[0][0]


def config_file(prefix: str, name: str, *, required: bool = False) -> ConfigFile:
    """Return the file behind one name of a choice."""
    stems = [prefix + name]
    if "." in name:
        stems.append((prefix + name).rpartition(".")[0])
    return ConfigFile(tuple(tuple(stem + extension for extension in EXTENSIONS) for stem in stems), required)


def of_choice(config: ConfigChoice) -> tuple[ConfigFile, ...]:
    """Return the files of a choice except the hardware descriptions, which the first file names."""
    files = (
        config_file("describe-", config.describe, required=True),
        config_file("prepare-", config.prepare),
        config_file("configure-", config.prepare),
        config_file("configure-", config.configure, required=True),
    )
    # If prepare and configure have the same name, they share one file, which is required.
    return tuple({file.name: file for file in files}.values())


def hardware_descriptions(contents: Iterable[bytes]) -> tuple[ConfigFile, ...]:
    """Return the hardware descriptions named in describe files.

    One named only by a template without nodes is never read, so it is not reported as missing.
    """
    roots = [root for content in contents if (root := _parsed(content)) is not None]
    read = {name for root in roots for name in _of_nodes(root)}
    named = dict.fromkeys(name for root in roots for name in _names(root))
    return tuple(replace(config_file("hardwareDescription_", name), missed=name in read) for name in named)


def _of_nodes(root: Any) -> Iterator[str]:
    """Return the name given by each node that is not a template, or the one it inherits from a template (``*``)."""
    nodes = {node.get("id", ""): node for node in root.iter("Node")}
    for kind, node in nodes.items():
        templates = [each for each in node.iter("Instance") if each.get("id") == "*"]
        general = [nodes["*"]] if "*" in nodes else []
        for instance in node.iter("Instance"):
            if kind != "*" and instance.get("id") != "*":
                yield from [name for each in (instance, *templates, *general) for name in _names(each)][:1]


def _names(element: Any) -> Iterator[str]:
    """Return the names of hardware descriptions in an element, if they can be part of a file name."""
    for each in element.iter("HardwareConfigId"):
        name = (each.text or "").strip()
        if re.fullmatch(r"[^/\x00]{1,200}", name):
            yield name


def _parsed(content: bytes) -> Any:
    """Parse leniently: the server accepts more than valid XML."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True, remove_comments=True
    )
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return None
