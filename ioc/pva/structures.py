"""A PV as a normative type: NTScalar, NTScalarArray (lists of texts or numbers) or NTEnum.

Fields and numbers follow pvxs' own IOC (QSRV 2), so that a client sees no difference from other IOCs; only a text is
one string instead of an array of bytes.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from typing import Any

from p4p import Type, Value
from p4p.nt import NTEnum, NTScalar

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
