"""The PV interface: snapshots of the core become PVs, puts become commands."""

from ioc.pvs.access import Access
from ioc.pvs.tree import PvTree, Services

__all__ = ["Access", "PvTree", "Services"]
