"""A PV as a normative type: NTScalar, NTScalarArray (lists of texts or numbers) or NTEnum; a table as NTTable.

Fields and numbers follow pvxs' own IOC (QSRV 2), so that a client sees no difference from other IOCs; only a text is
one string instead of an array of bytes.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

from p4p import Type, Value
from p4p.nt import NTEnum, NTScalar, NTTable, alarm, timeStamp

from ioc.ca import EnumPv, FloatArrayPv, FloatPv, IntPv, Pv, StringArrayPv, TextPv
from ioc.ca.pv import Properties, Snapshot

_ENUM = NTEnum.buildType(display=True)
_TYPES: dict[type[Pv[Any]], Type] = {
    FloatPv: NTScalar.buildType("d", display=True, control=True, valueAlarm=True, form=True),
    IntPv: NTScalar.buildType("i", display=True, control=True, valueAlarm=True, form=True),
    StringArrayPv: NTScalar.buildType("as", display=True),
    FloatArrayPv: NTScalar.buildType("ad", display=True),
}
_TEXT = NTScalar.buildType("s", display=True)
_DEVICE_STATUSES = frozenset(
    {"READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT", "HWLIMIT"}
)


def type_of(pv: Pv[Any]) -> Type:
    """Return the structure of a PV."""
    if isinstance(pv, EnumPv):
        return _ENUM
    return next((structure for kind, structure in _TYPES.items() if isinstance(pv, kind)), _TEXT)


def value_of(pv: Pv[Any], snapshot: Snapshot[Any], *, properties: bool) -> Value:
    """Return a snapshot as a structure in which the fields that it tells are marked as changed.

    `properties`: also units, limits and choices.
    """
    seconds, fraction = divmod(snapshot.timestamp, 1.0)
    fields: dict[str, Any] = {
        "value": {"index": snapshot.value} if isinstance(pv, EnumPv) else snapshot.value,
        "alarm": {
            "severity": int(snapshot.severity),
            "status": _status(snapshot.status),
            "message": _message(pv, snapshot),
        },
        "timeStamp": {"secondsPastEpoch": int(seconds), "nanoseconds": int(fraction * 1e9)},
    }
    if isinstance(pv, (StringArrayPv, FloatArrayPv)):
        fields["value"] = list(snapshot.value)
    if properties:
        _add_properties(pv, fields)
    return Value(type_of(pv), fields)


def _add_properties(pv: Pv[Any], fields: dict[str, Any]) -> None:
    fields["display"] = {"description": pv.description}
    if isinstance(pv, EnumPv):
        fields["value"]["choices"] = list(pv.strings)
    elif isinstance(pv, (FloatPv, IntPv)):
        limits = pv.properties
        low, high = limits.minimum or 0, limits.maximum or 0
        fields["display"] |= {"units": limits.units, "precision": limits.precision, "limitLow": low, "limitHigh": high}
        fields["control"] = {"limitLow": low, "limitHigh": high}
        fields["valueAlarm"] = _alarm_limits(limits, whole=isinstance(pv, IntPv))
    elif isinstance(pv, FloatArrayPv):
        fields["display"] |= {"units": pv.properties.units}


def _alarm_limits(limits: Properties, *, whole: bool) -> dict[str, float]:
    none = 0 if whole else math.nan
    return {
        name: none if limit is None else limit
        for name, limit in {
            "lowAlarmLimit": limits.lolo,
            "lowWarningLimit": limits.low,
            "highWarningLimit": limits.high,
            "highAlarmLimit": limits.hihi,
        }.items()
    }


def _status(name: str) -> int:
    """0 none, 1 device, 2 undefined, 3 record, as pvxs' own IOC gives them."""
    if name == "NO_ALARM":
        return 0
    if name in _DEVICE_STATUSES:
        return 1
    return 2 if name == "UDF" else 3


def _message(pv: Pv[Any], snapshot: Snapshot[Any]) -> str:
    """The reason of the alarm: that of a text is the text, that of others the name of the status."""
    if not snapshot.severity:
        return ""
    if isinstance(pv, TextPv) and snapshot.value:
        return snapshot.value
    return snapshot.status


class Content(Protocol):
    """A table at one moment, as `ioc.pva.page` shows it."""

    @property
    def columns(self) -> Sequence[tuple[str, str, str, Sequence[Any]]]:
        """Name, label, kind (a key of `_KINDS`) and values of each column."""
        ...

    @property
    def severity(self) -> int: ...

    @property
    def message(self) -> str: ...


_KINDS = {"text": "s", "float": "d", "integer": "l"}
_DEVICE = 1


def fields_of(content: Content) -> tuple[tuple[str, str], ...]:
    """Return name and type of each column. PVAccess allows A-Z a-z 0-9 _ in a name, and no digit at its beginning."""
    fields: dict[str, str] = {}
    for name, _, kind, _ in content.columns:
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)
        base = f"_{base}" if not base or base[0].isdigit() else base
        free = (f"{base}_{number}" if number else base for number in itertools.count())
        fields[next(each for each in free if each not in fields)] = _KINDS[kind]
    return tuple(fields.items())


def page_type(fields: Sequence[tuple[str, str]], *, record: bool) -> Type:
    """Return the structure of an NTTable with these columns; of a `record`, a structure with these fields."""
    if record:
        return Type([*fields, ("descriptor", "s"), ("alarm", alarm), ("timeStamp", timeStamp)])
    return NTTable.buildType(columns=[(name, f"a{kind}") for name, kind in fields])


def page_value(structure: Type, content: Content, description: str, *, record: bool, at: float) -> Value:
    """Return a table, or the only row of a `record`, as a value of its structure."""
    names = [name for name, _ in fields_of(content)]
    columns = [[_plain(each) for each in values] for _, _, _, values in content.columns]
    seconds, fraction = divmod(at, 1.0)
    about: dict[str, Any] = {
        "alarm": {
            "severity": content.severity,
            "status": _DEVICE if content.severity else 0,
            "message": _plain(content.message),
        },
        "timeStamp": {"secondsPastEpoch": int(seconds), "nanoseconds": int(fraction * 1e9)},
        "descriptor": description,
    }
    if record:
        return Value(structure, {name: column[0] for name, column in zip(names, columns, strict=True)} | about)
    labels = [_plain(label) for _, label, _, _ in content.columns]
    return Value(structure, {"labels": labels, "value": dict(zip(names, columns, strict=True))} | about)


def _plain(value: Any) -> Any:
    """Return a value that can be sent: a text without half characters, which UTF-8 does not have."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
