"""What the expert page says of the logbooks: only in an installation that has some."""

from __future__ import annotations

from ioc.screens.bob import insert_after
from ioc.topology.schema import Topology

_FILE = "logbook.bob"
_PAGE, _AFTER = "expert.bob", "IOC:OtherServers"
_EMBEDDED = f"""
    <widget type="embedded" version="2.0.0">
      <name>logbook</name>
      <file>{_FILE}</file>
      <x>6</x>
      <y>749</y>
      <width>546</width>
      <height>110</height>
      <resize>2</resize>
      <transparent>true</transparent>
    </widget>"""


def with_logbook(topology: Topology, pages: dict[str, str]) -> dict[str, str]:
    """Return the pages, with the state of the logbooks if the topology has any."""
    if topology.logbook:
        return {**pages, _PAGE: insert_after(_AFTER, pages[_PAGE], _EMBEDDED)}
    return {name: page for name, page in pages.items() if name != _FILE}
