"""The alarm tree for the Phoebus alarm server, with a sentence of guidance for each PV."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Value, document, element
from ioc.topology.schema import Observable, Topology

_RUN = (
    ("State", "Detector", "The main screen shows which ECC server is in another state."),
    ("Message", "Last command", "The message says what failed and why."),
    ("Run:State", "Run", "The start failed: Run status says why. Start again, or Reset."),
    ("Run:Message", "Run status", "The message says what to do."),
)
_AUTOMATIC = ("Auto:Message", "Automatic runs", "The message says why they ended. Fix it, then turn them on again.")
_SERVER = (
    ("Online", "ECC server answers", "Is getEccSoapServer running on its host, and is the network up?"),
    ("State", "State of the ECC server", "Open the server's page: status and log say why."),
    ("Message", "Last transition", "Read the message; Reset takes this server one step back."),
)
_ROUTER = (
    ("Online", "dataRouter runs", "Start dataRouter on its host."),
    ("Clean", "Files left behind", "Press Organize on the router's page to file them."),
    ("DiskFreeGB", "Disk", "Free disk space before the next run."),
    ("DiskUsedPercent", "Disk", "Free disk space before the next run."),
    ("Message", "Router", "The message says what failed."),
)
_PARTNER = (
    ("State", "Data acquisition beside GET", "Look at its ReadoutGUI: is it running, and is its run ours?"),
    ("Message", "Its last error", "The message says what failed."),
)
_LOGBOOK = (
    ("State", "Logbooks", "The message says why entries wait or were refused; they are kept on disk."),
    (
        "Message",
        "Why entries wait",
        "Waiting: is the logbook up? Refused: the log names the entry; administrators.md says what to do.",
    ),
)
_IOC = (
    ("CPUPercent", "CPU load of the IOC", "Look for clients that read too many PVs too often."),
    ("DatabaseMessage", "Run database", "Runs are not recorded: is the disk of the IOC full?"),
    ("DatabaseDropped", "Rows lost", "Rows of the run database were lost: see the log."),
)


def alarm_tree(topology: Topology) -> str:
    """Return the configuration that ``alarm-server -import`` reads."""
    prefix = topology.prefix
    servers = [_component(each.name, f"{prefix}ECC:{each.name}:", _SERVER) for each in topology.ecc_servers]
    routers = [_component(each.name, f"{prefix}Router:{each.name}:", _ROUTER) for each in topology.data_routers]
    root = ET.Element("config", name="AT-TPC")
    root.append(_component("Run", prefix, (*_RUN, _AUTOMATIC)))
    root.append(_group("ECC servers", servers))
    root.append(_group("Data routers", routers))
    if topology.observables:
        root.append(_group("Observables", [_observable(each, prefix) for each in topology.observables]))
    if topology.interlocks:
        root.append(_group("Interlocks", [_interlock(each.name, prefix) for each in topology.interlocks]))
    if topology.partners:
        partners = [_component(each.name, f"{prefix}Partner:{each.name}:", _PARTNER) for each in topology.partners]
        root.append(_group("Partners", partners))
    if topology.logbook:
        root.append(_component("Logbooks", f"{prefix}Logbook:", _LOGBOOK))
    root.append(_component("IOC", f"{prefix}IOC:", _IOC))
    return document(root)


def _group(name: str, members: list[ET.Element]) -> ET.Element:
    group = ET.Element("component", name=name)
    group.extend(members)
    return group


def _component(name: str, base: str, leaves: tuple[tuple[str, str, str], ...]) -> ET.Element:
    return _group(name, [_leaf(f"{base}{pv}", title, advice) for pv, title, advice in leaves])


def _observable(observable: Observable, prefix: str) -> ET.Element:
    advice = "Check the alarm of its source PV." if observable.pv else "Enter the value on the run sheet."
    return _leaf(f"{prefix}Obs:{observable.name}:Value", observable.label or observable.name, advice)


def _interlock(name: str, prefix: str) -> ET.Element:
    return _leaf(f"{prefix}Interlock:{name}:State", name, "The message on the page of the interlocks says why.")


def _leaf(pv: str, title: str, advice: str) -> ET.Element:
    """Return a PV: latched until somebody acknowledges it, not spoken."""
    about: dict[str, Value] = {
        "description": title,
        "enabled": True,
        "latching": True,
        "annunciating": False,
        "guidance": {"title": title, "details": advice},
    }
    return element("pv", about, name=pv)
