"""Lists of PVs beside the screens: for the archiver, Phoebus' PV table and save-and-restore."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from ioc.model import PVA_SCHEME
from ioc.screens.bob import document, element
from ioc.topology.schema import DataRouter, EccServer, Interlock, Observable, Partner, Topology

_UPDATES_EVERY = "0.1"
"""Sampling period in seconds: the least that an appliance accepts without a change of its configuration."""
_ARCHIVABLE = re.compile(
    r"""[\w\-+:\[\]<>;/,\#{}^]++                          # record
        (\.[A-Za-z_]\w*+)?                               # field
        (\.?(\{[A-Za-z0-9:(){}."',-]+\}|\[\d+:\d+\]))?  # filter""",
    re.ASCII | re.VERBOSE,
)
"""A name that the appliance can archive: record, field, filter. It reads no more of a list after any other name."""
_ROUTER = ("Online", "Clean", "FileCount", "StagedMB", "RateMBps", "DiskFreeGB", "DiskUsedPercent")

_LOGBOOK = ("Logbook:State", "Logbook:Message", "Logbook:Waiting")


def archiver_list(topology: Topology) -> str:
    """Return the list for the EPICS Archiver Appliance's bulk import (``archivePV``).

    It includes the sources of the observables: their samples have the same time stamps as those in the run database.
    With MONITOR the appliance archives updates as they come, but between two writes, 10 s apart, it keeps only as many
    as `samplingperiod` makes it expect, and drops the oldest.
    """
    names = [
        *_system(topology, "State", "Run:Number", "Run:State", "Run:Class", "Run:Title", "Auto:State", "Log:Errors"),
        *_system(topology, "IOC:UptimeSeconds", "IOC:CPUPercent", "IOC:MemoryMB", "IOC:Clients", "IOC:DatabaseQueue"),
        *_each(topology, "ECC", topology.ecc_servers, "State", "Transition", "Online"),
        *_each(topology, "Router", topology.data_routers, *_ROUTER),
        *_each(topology, "Obs", topology.observables, "Value"),
        *_each(topology, "Interlock", topology.interlocks, "State"),
        *_each(topology, "Partner", topology.partners, "State"),
        *_system(topology, *(["Logbook:State"] if topology.logbook else [])),
    ]
    sources = [each.pv for each in topology.observables if each.pv is not None and _is_archivable(each.pv)]
    entries = [
        {"pv": name, "samplingperiod": _UPDATES_EVERY, "samplingmethod": "MONITOR"}
        for name in dict.fromkeys([*names, *sources])
    ]
    return json.dumps(entries, indent=1) + "\n"


def _is_archivable(pv: str) -> bool:
    """Whether the appliance can archive it: not a field of a PVAccess structure, nor a name with unusual characters."""
    is_part = pv.startswith(PVA_SCHEME) and "/" in pv.removeprefix(PVA_SCHEME)
    return not is_part and _ARCHIVABLE.fullmatch(pv) is not None


def pv_table(topology: Topology) -> str:
    """Return the PV table (``.pvs``) for a first look; no PV is selected, so none is written by mistake."""
    names = [
        *_system(topology, "State", "Busy", "Message", "Run:Number", "Run:State", "Run:CanStart", "Run:BlockedBy"),
        *_system(topology, "Run:Message", "Auto:Message", "Interlock:Summary", "Log:Last"),
        *_each(topology, "ECC", topology.ecc_servers, "State", "Transition", "Message"),
        *_each(topology, "Router", topology.data_routers, "Online", "Staging", "RateMBps", "DiskFreeGB", "Message"),
        *_each(topology, "Partner", topology.partners, "State", "Message"),
        *_system(topology, *(_LOGBOOK if topology.logbook else ())),
        *_each(topology, "Obs", topology.observables, "Value"),
    ]
    rows = [element("pv", {"selected": False, "name": name}) for name in names]
    return document(element("pvtable", {"timeout": "60.0", "pvlist": rows}, version="3.0"))


def save_restore_list(topology: Topology) -> str:
    """Return a configuration for save-and-restore: the PVs that describe a set-up and may be written back."""
    manual = [each for each in topology.observables if each.pv is None]
    names = [
        *_system(topology, "Run:Class"),
        *_each(topology, "ECC", topology.ecc_servers, "Config"),
        *_each(topology, "Obs", manual, "Value"),
        *_each(topology, "Interlock", [each for each in topology.interlocks if each.low is not None], "Low"),
        *_each(topology, "Interlock", [each for each in topology.interlocks if each.high is not None], "High"),
        *_system(topology, "Auto:RunMinutes", "Auto:RunGB", "Auto:Runs", "Auto:PauseSeconds"),
    ]
    return "\n".join(["PV,READBACK,READ_ONLY", *(f"{name},,false" for name in names), ""])


def _system(topology: Topology, *pvs: str) -> list[str]:
    return [f"{topology.prefix}{pv}" for pv in pvs]


def _each(
    topology: Topology,
    kind: str,
    components: Sequence[EccServer | DataRouter | Observable | Interlock | Partner],
    *pvs: str,
) -> Iterable[str]:
    """Return these PVs of every component, component by component."""
    return [f"{topology.prefix}{kind}:{each.name}:{pv}" for each in components for pv in pvs]
