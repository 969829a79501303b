"""The list for Phoebus' save-and-restore: what describes a set-up and may be written back."""

from __future__ import annotations

from ioc.screens.pv_names import of_servers, of_system, values
from ioc.topology.schema import Topology


def save_restore_list(topology: Topology) -> str:
    """Return a configuration for import: class, configurations, values that the shift types."""
    manual = [each for each in topology.observables if each.pv is None]
    names = [
        *of_system(topology, "Run:Class"),
        *of_servers(topology, "Config"),
        *values(topology, manual),
    ]
    return "\n".join(["PV,READBACK,READ_ONLY", *(f"{name},,false" for name in names), ""])
