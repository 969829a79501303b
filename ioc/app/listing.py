"""The list of PVs of a topology, without running an IOC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ioc.app.compose import Parts
from ioc.ca import CommandPv, EnumPv, FloatArrayPv, FloatPv, IntPv, Pv, StringArrayPv, StringPv, TextPv
from ioc.model import Client, Scalar
from ioc.topology.schema import Topology

_TYPES: tuple[tuple[type[Pv[Any]], str], ...] = (
    (CommandPv, "command"),
    (EnumPv, "enum"),
    (IntPv, "int"),
    (FloatPv, "float"),
    (StringPv, "string"),
    (TextPv, "text"),
    (StringArrayPv, "string array"),
    (FloatArrayPv, "float array"),
)


@dataclass(frozen=True)
class PvDescription:
    """One PV as a user sees it."""

    name: str
    type: str
    """``command``, ``enum``, ``int``, ``float``, ``string``, ``text``, ``string array`` or ``float array``;
    by PVAccess only: ``table`` or ``structure``."""
    writable: bool
    units: str
    description: str
    states: tuple[str, ...]
    """States of an enum, in order."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def describe_pvs(topology: Topology) -> tuple[PvDescription, ...]:
    """Return every PV that the IOC of this topology serves, in the order of the interface's documentation."""
    parts = Parts(topology, simulated=False, reload=_never, add_observable=_never_added)
    described = [
        PvDescription(
            name=pv.name,
            type=next(name for kind, name in _TYPES if isinstance(pv, kind)),
            writable=pv.on_put is not None,
            units=pv.properties.units,
            description=pv.description,
            states=pv.properties.strings,
        )
        for pv in parts.tree.pvs
    ]
    described += [
        PvDescription(view.name, "structure" if view.is_record else "table", False, "", view.description, ())
        for view in parts.pva.tables
    ]
    return tuple(described)


async def _never(client: Client) -> None:
    """Never called, because nothing is served."""


async def _never_added(fields: Mapping[str, Scalar], client: Client) -> str:
    """Never called either."""
    return ""
