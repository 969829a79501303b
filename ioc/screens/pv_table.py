"""The PV table (``.pvs``): what an expert looks at first."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import document
from ioc.screens.pv_names import of_routers, of_servers, of_system, values
from ioc.topology.schema import Topology

_SYSTEM = ("State", "Busy", "Message", "Run:Number", "Run:State", "Run:CanStart", "Run:BlockedBy", "Run:Message")


def pv_table(topology: Topology) -> str:
    """Return the table; no PV is selected, so that nothing is written by mistake."""
    names = [
        *of_system(topology, *_SYSTEM, "Log:Last"),
        *of_servers(topology, "State", "Transition", "Message"),
        *of_routers(topology, "Online", "Clean", "RateMBps", "DiskFreeGB", "Message"),
        *values(topology, topology.observables),
    ]
    root = ET.Element("pvtable", version="3.0")
    ET.SubElement(root, "timeout").text = "60.0"
    table = ET.SubElement(root, "pvlist")
    for name in names:
        pv = ET.SubElement(table, "pv")
        ET.SubElement(pv, "selected").text = "false"
        ET.SubElement(pv, "name").text = name
    return document(root)
