"""The alarm tree for the Phoebus alarm server, with a sentence of guidance for each PV."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import document
from ioc.topology.schema import Topology

_RUN = (
    ("State", "Detector", "See which ECC server differs on the main screen."),
    ("Message", "Last command", "The message says what failed and what it must be."),
    ("Run:State", "Run", "A start failed: the run's message says why. Start again, or Reset."),
    ("Run:Message", "Message of the run", "The message says what to do."),
)
_SERVER = (
    ("Online", "ECC server answers", "Is getEccSoapServer running on its host, and the network up?"),
    ("State", "State of the ECC server", "Open the server's screen; its message and its log say why."),
    ("Message", "Last transition", "Read the message; Reset takes this server one step back."),
)
_ROUTER = (
    ("Online", "dataRouter runs", "Start dataRouter on its host."),
    ("Clean", "Staging directory", "Press Organize on the router's screen to file what was left behind."),
    ("DiskFreeGB", "Disk", "Free some disk before the next run."),
    ("DiskUsedPercent", "Disk", "Free some disk before the next run."),
    ("Message", "Router", "The message says what failed."),
)
_IOC = (
    ("CPUPercent", "Load of the IOC", "Look for clients that ask too much."),
    ("DatabaseMessage", "Run database", "Runs are not recorded: is the disk of the IOC full?"),
    ("DatabaseDropped", "Rows lost", "Rows of the run database were lost: see the log."),
)


def alarm_tree(topology: Topology) -> str:
    """Return the configuration that ``alarm-server -import`` reads."""
    prefix = topology.prefix
    root = ET.Element("config", name="AT-TPC")
    _component(root, "Run", prefix, _RUN)
    servers = ET.SubElement(root, "component", name="ECC servers")
    for server in topology.ecc_servers:
        _component(servers, server.name, f"{prefix}ECC:{server.name}:", _SERVER)
    routers = ET.SubElement(root, "component", name="Data routers")
    for router in topology.data_routers:
        _component(routers, router.name, f"{prefix}Router:{router.name}:", _ROUTER)
    if topology.observables:
        observables = ET.SubElement(root, "component", name="Observables")
        for observable in topology.observables:
            title = observable.label or observable.name
            advice = "The source says so." if observable.pv else "Type the value on the run sheet."
            _leaf(observables, f"{prefix}Obs:{observable.name}:Value", title, advice)
    _component(root, "IOC", f"{prefix}IOC:", _IOC)
    return document(root)


def _component(parent: ET.Element, name: str, base: str, leaves: tuple[tuple[str, str, str], ...]) -> None:
    component = ET.SubElement(parent, "component", name=name)
    for pv, title, advice in leaves:
        _leaf(component, f"{base}{pv}", title, advice)


def _leaf(parent: ET.Element, pv: str, title: str, advice: str) -> None:
    """Add a PV: latched until somebody acknowledges it, and not spoken."""
    leaf = ET.SubElement(parent, "pv", name=pv)
    ET.SubElement(leaf, "description").text = title
    ET.SubElement(leaf, "enabled").text = "true"
    ET.SubElement(leaf, "latching").text = "true"
    ET.SubElement(leaf, "annunciating").text = "false"
    guidance = ET.SubElement(leaf, "guidance")
    ET.SubElement(guidance, "title").text = title
    ET.SubElement(guidance, "details").text = advice
