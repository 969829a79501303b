"""Parts of pages that only some installations have: display files of their own, embedded where they belong."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

from ioc.screens.bob import Box, embedded, insert_after
from ioc.topology.derived import units_of
from ioc.topology.schema import Topology


@dataclass(frozen=True)
class _Part:
    """A part of a page, and which installations have it."""

    file: str
    page: str
    after: str
    """Name of the widget that it follows, in the same group."""
    box: Box
    wanted: Callable[[Topology], bool]


_RUNS = Box(6, 36, 1876, 578)
_PARTS = (
    _Part(
        "ecc_restart.bob",
        "ecc.bob",
        "Resume",
        Box(354, 204, 164, 46),
        lambda topology: any(units_of(topology, each) for each in topology.ecc_servers),
    ),
    _Part(
        "router_restart.bob",
        "router.bob",
        "Organize",
        Box(220, 116, 200, 54),
        lambda topology: any(units_of(topology, each) for each in topology.data_routers),
    ),
    _Part("run_table.bob", "history.bob", "Run:DurationText", _RUNS, lambda topology: topology.pva),
    _Part("run_list.bob", "history.bob", "Run:DurationText", _RUNS, lambda topology: not topology.pva),
    _Part(
        "logbook.bob", "expert.bob", "IOC:OtherServers", Box(6, 749, 546, 110), lambda topology: bool(topology.logbook)
    ),
)


def with_parts(topology: Topology, pages: dict[str, str]) -> dict[str, str]:
    """Return the pages with the parts that the installation has, and without the files of the others."""
    pages = dict(pages)
    for part in _PARTS:
        if not part.wanted(topology):
            del pages[part.file]
            continue
        widget = embedded(part.file.removesuffix(".bob"), part.file, part.box, {})
        ET.indent(widget, level=2)
        text = f"\n    {ET.tostring(widget, encoding='unicode')}"
        pages[part.page] = insert_after(part.after, pages[part.page], text)
    return pages
