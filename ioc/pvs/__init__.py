"""The PV interface: snapshots of the core become PVs, puts become commands."""

from ioc.pvs.access import Access
from ioc.pvs.boundary import put_record, start
from ioc.pvs.new_observable import AddObservable
from ioc.pvs.tables import TableView, tables
from ioc.pvs.tree import PvTree, Services

__all__ = ["Access", "AddObservable", "PvTree", "Services", "TableView", "put_record", "start", "tables"]
