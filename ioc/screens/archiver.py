"""The PVs for the EPICS Archiver Appliance."""

from __future__ import annotations

import json

from ioc.screens.pv_names import of_routers, of_servers, of_system, values
from ioc.topology.schema import Topology

_SYSTEM = ("State", "Run:Number", "Run:State", "Run:Class", "Run:Title", "Log:Errors")
_HEALTH = ("IOC:UptimeSeconds", "IOC:CPUPercent", "IOC:MemoryMB", "IOC:Clients", "IOC:DatabaseQueue")


def archiver_list(topology: Topology) -> str:
    """Return what the appliance's bulk import (``archivePV``) takes."""
    names = [
        *of_system(topology, *_SYSTEM, *_HEALTH),
        *of_servers(topology, "State", "Transition", "Online"),
        *of_routers(topology, "Online", "Clean", "FileCount", "StagedMB", "RateMBps", "DiskFreeGB", "DiskUsedPercent"),
        *values(topology, topology.observables),
    ]
    entries = [{"pv": name, "samplingperiod": "1.0", "samplingmethod": "MONITOR"} for name in names]
    return json.dumps(entries, indent=1) + "\n"
