"""What the files beside the screens say, read with Python: what Phoebus must understand of them."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from collections.abc import Callable

Rows = list[tuple[str, ...]]


def alarm_tree(text: str) -> Rows:
    """Return path, PV, description, whether it latches, and guidance of each PV."""
    root = ET.fromstring(text)
    return list(_alarms(root, f"/{root.get('name')}"))


def _alarms(node: ET.Element, path: str) -> Rows:
    found: Rows = []
    for pv in node.findall("pv"):
        name = pv.get("name", "").replace("/", "\\/")
        guidance = " ".join(each.text or "" for each in pv.findall("guidance/details"))
        found.append((f"{path}/{name}", name, pv.findtext("description", ""), pv.findtext("latching", ""), guidance))
    for component in node.findall("component"):
        found += _alarms(component, f"{path}/{component.get('name')}")
    return found


def pv_table(text: str) -> Rows:
    """Return the PVs."""
    return [(name.text or "",) for name in ET.fromstring(text).findall("pvlist/pv/name")]


def plot(text: str) -> Rows:
    """Return PV, name and axis of each line."""
    root = ET.fromstring(text)
    axes = [axis.findtext("name", "") for axis in root.findall("axes/axis")]
    return [
        (line.findtext("name", ""), line.findtext("display_name", ""), axes[int(line.findtext("axis", "-1"))])
        for line in root.findall("pvlist/pv")
    ]


def save_restore(text: str) -> Rows:
    """Return PV, read-back and whether it is only saved."""
    return [(row["PV"], row["READBACK"], row["READ_ONLY"]) for row in csv.DictReader(text.splitlines())]


FILES: dict[str, Callable[[str], Rows]] = {
    "alarm-tree.xml": alarm_tree,
    "overview.pvs": pv_table,
    "observables.plt": plot,
    "save-restore.csv": save_restore,
}
