"""Which PVs the live page shows, in tables; keys are names of PVs without the prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from ioc.model import ValueType
from ioc.topology.schema import Interlock, Observable, Topology


class Kind(Enum):
    """How a PV is asked for, whatever its type is."""

    Text = "text"
    """A long text, from an array of characters."""
    Word = "word"
    """At most 39 characters; the label of an enum."""
    Number = "number"
    History = "history"
    """An array of numbers, shown as a sparkline."""
    Log = "log"
    """A long text of which the first lines are shown."""


@dataclass(frozen=True)
class Channel:
    """A PV and how it is shown."""

    key: str
    kind: Kind
    units: str = ""
    """Shown behind the number."""
    absent: str | None = None
    """Shown where it is normal that there is no value: it is INVALID or NaN then, and no alarm."""
    decimals: int | None = None
    """Digits behind the point; None: six digits in all."""


@dataclass(frozen=True)
class Layout:
    """The contents of the live page for one topology."""

    prefix: str
    servers: tuple[str, ...]
    routers: tuple[str, ...]
    observables: tuple[Observable, ...]
    interlocks: tuple[Interlock, ...]
    partners: tuple[str, ...]
    channels: dict[str, Channel] = field(default_factory=dict[str, Channel])


HEARTBEAT = "IOC:Heartbeat"

_SYSTEM = {
    Kind.Word: (
        *("State", "NextStep", "Run:State", "Run:Class", "Run:StartTime", "Run:StopTime", "Run:DurationText"),
        *("Run:TotalText", "Run:ToFullText", "Run:Quality", "Auto:State", "IOC:Simulated", "IOC:Version"),
    ),
    Kind.Text: (
        *("NextAction", "Message", "Experiment", "Run:Title", "Run:Comment", "Run:BlockedGroups", "Run:Message"),
        *("Interlock:Summary", "Auto:Message", "IOC:Alarms", "IOC:DatabaseMessage"),
    ),
    Kind.Number: ("Run:Number", "Run:NextNumber", HEARTBEAT, "Log:Errors", "Run:RateMBps"),
    Kind.Log: ("Log:Lines",),
}
_SERVER = {Kind.Word: ("State", "Transition", "Online"), Kind.Text: ("Config", "Message")}
_ROUTER = {
    Kind.Word: ("Online", "Clean", "Staging", "Silent"),
    Kind.Number: ("FileCount", "StagedMB", "RateMBps", "DiskFreeGB", "DiskUsedPercent"),
    Kind.Text: ("Message",),
}
_OBSERVABLE = {Kind.Word: ("Connected",), Kind.Number: ("RunMin", "RunMax", "RunMean"), Kind.History: ("History",)}
_INTERLOCK = {Kind.Word: ("State",), Kind.Number: ("Low", "High"), Kind.Text: ("Message",)}
_PARTNER = {Kind.Word: ("State",), Kind.Text: ("Message",)}
_UNITS = {
    "StagedMB": "MB",
    "RateMBps": "MB/s",
    "Run:RateMBps": "MB/s",
    "DiskFreeGB": "GB",
    "DiskUsedPercent": "%",
}
_NOT_SET = "not set"
_ABSENT = {"Low": "no limit", "High": "no limit", "RunMin": "-", "RunMax": "-", "RunMean": "-"}
_NUMERIC = (ValueType.Float, ValueType.Integer)


def layout_of(topology: Topology) -> Layout:
    """The channels shown for this topology."""
    layout = Layout(
        topology.prefix,
        tuple(each.name for each in topology.ecc_servers),
        tuple(each.name for each in topology.data_routers),
        topology.observables,
        topology.interlocks,
        tuple(each.name for each in topology.partners),
    )
    layout.channels.update({channel.key: channel for channel in _channels(layout)})
    return layout


def _channels(layout: Layout) -> Iterator[Channel]:
    yield from _group("", _SYSTEM)
    for name in layout.servers:
        yield from _group(f"ECC:{name}:", _SERVER)
    for name in layout.routers:
        yield from _group(f"Router:{name}:", _ROUTER)
    for each in layout.observables:
        numeric = each.type in _NUMERIC
        kinds = _OBSERVABLE if numeric else {Kind.Word: ("Connected",)}
        yield from _group(f"Obs:{each.name}:", kinds)
        kind = Kind.Number if numeric else Kind.Word
        yield Channel(f"Obs:{each.name}:Value", kind, each.units, absent=_NOT_SET if each.pv is None else None)
    types = {each.name: each.type for each in layout.observables}
    for each in layout.interlocks:
        yield from _group(f"Interlock:{each.name}:", _INTERLOCK)
        texts = any(isinstance(value, str) for value in each.allowed) or (
            each.observable is not None and types[each.observable] not in _NUMERIC
        )
        yield Channel(f"Interlock:{each.name}:Value", Kind.Word if texts else Kind.Number)
    for name in layout.partners:
        yield from _group(f"Partner:{name}:", _PARTNER)


def _group(prefix: str, kinds: dict[Kind, tuple[str, ...]]) -> Iterator[Channel]:
    for kind, names in kinds.items():
        for name in names:
            units = _UNITS.get(name, "")
            yield Channel(f"{prefix}{name}", kind, units, _ABSENT.get(name), decimals=1 if units else None)
