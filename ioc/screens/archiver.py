"""The PVs for the EPICS Archiver Appliance."""

from __future__ import annotations

import json

from ioc.screens.pv_names import of_routers, of_servers, of_system, values
from ioc.topology.schema import Topology

_SYSTEM = ("State", "Run:Number", "Run:State", "Run:Class", "Run:Title", "Log:Errors")
_HEALTH = ("IOC:UptimeSeconds", "IOC:CPUPercent", "IOC:MemoryMB", "IOC:Clients", "IOC:DatabaseQueue")


def archiver_list(topology: Topology) -> str:
    """Return what the appliance's bulk import (``archivePV``) takes.

    The sources of the observables are in it too: their samples are what the run database has, with the same time
    stamps. `samplingperiod` tells the appliance how many updates to expect; with MONITOR it archives every one.
    """
    names = [
        *of_system(topology, *_SYSTEM, *_HEALTH),
        *of_servers(topology, "State", "Transition", "Online"),
        *of_routers(topology, "Online", "Clean", "FileCount", "StagedMB", "RateMBps", "DiskFreeGB", "DiskUsedPercent"),
        *values(topology, topology.observables),
    ]
    sources = dict.fromkeys(each.pv for each in topology.observables if each.pv is not None)
    periods = {**dict.fromkeys(names, "1.0"), **dict.fromkeys(sources, "0.1")}
    entries = [{"pv": name, "samplingperiod": period, "samplingmethod": "MONITOR"} for name, period in periods.items()]
    return json.dumps(entries, indent=1) + "\n"
