"""Record fields of a PV (``.DESC``, ``.EGU``, ``.SEVR``, ``.ZRST`` …), each a read-only PV made when first asked for.

A field looks at its PV when it is read, and listens to it only while somebody monitors the field: archivers read a
dozen fields of every PV once, which must not slow down its updates for ever.

Only fields that can be answered truthfully exist; a channel to any other is not found, as with a record that has no
such field. ``NAME$`` and ``NAME.FIELD$`` read a string of any length as CHAR, as EPICS does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from caproto import AlarmSeverity, AlarmStatus

from ioc.ca.enumerated import EnumPv
from ioc.ca.numeric import FloatPv, IntPv
from ioc.ca.pv import EVENTS, Event, Listener, Pv, Snapshot
from ioc.ca.text import StringArrayPv, StringPv, TextPv

LONG_STRING = 256
_LONG_TEXT = 40

Getter = Callable[[Pv[Any]], Any]
"""Reads the field's value from its PV; None = PVs of this kind have no such field."""


class _Field(Pv[Any]):
    """Shows what `get` tells of the PV `of`."""

    _of: Pv[Any]
    _get: Getter
    _seen: Snapshot[Any] | None = None
    mask = EVENTS
    """Changes of the PV after which the field may be another."""

    def follow(self, of: Pv[Any], get: Getter, mask: int) -> None:
        self._of, self._get, self.mask = of, get, mask

    @property
    def record(self) -> Pv[Any]:
        return self._of

    @property
    def snapshot(self) -> Snapshot[Any]:
        self.offer(self._of.snapshot)
        return super().snapshot

    def offer(self, snapshot: Snapshot[Any]) -> None:
        """Hear of a change of the PV."""
        if snapshot is self._seen:
            return
        self._seen = snapshot
        if (value := self._get(self._of)) is not None:
            self.post(value, severity=snapshot.severity, status=snapshot.status, timestamp=snapshot.timestamp)

    def subscribe(self, listener: Listener) -> None:
        self.offer(self._of.snapshot)
        self._of.subscribe(self)
        super().subscribe(listener)

    def unsubscribe(self, listener: Listener) -> None:
        super().unsubscribe(listener)
        if not self._listeners:
            self._of.unsubscribe(self)


class _String(_Field, StringPv):
    pass


class _Text(_Field, TextPv):
    pass


class _Integer(_Field, IntPv):
    pass


class _Float(_Field, FloatPv):
    """A number that is NaN where there is no limit, which is no alarm."""

    def alarm_of(self, value: float, severity: int, status: str) -> tuple[int, str]:
        return severity, status


class _Menu(_Field, EnumPv):
    """One of EPICS' menus, which may be longer than 16 choices."""

    max_states = 64


_SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_STATUSES = tuple(AlarmStatus.__members__)
_SCANS = (
    "Passive",
    "Event",
    "I/O Intr",
    "10 second",
    "5 second",
    "2 second",
    "1 second",
    ".5 second",
    ".2 second",
    ".1 second",
)
_TYPES = ("STRING", "CHAR")
_STATE_NAMES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")


def _state(number: int) -> Getter:
    def get(pv: Pv[Any]) -> str | None:
        strings = pv.properties.strings
        if not strings or len(strings) <= 2:
            return None
        return strings[number] if number < len(strings) else ""

    return get


def _two_state(number: int) -> Getter:
    def get(pv: Pv[Any]) -> str | None:
        strings = pv.properties.strings
        if not strings or len(strings) > 2:
            return None
        return strings[number] if number < len(strings) else ""

    return get


def _limit(name: str, otherwise: float) -> Getter:
    def get(pv: Pv[Any]) -> float | None:
        if not isinstance(pv, IntPv | FloatPv):
            return None
        limit: float | None = getattr(pv.properties, name)
        return otherwise if limit is None else limit

    return get


def _limit_severity(name: str, severity: int) -> Getter:
    def get(pv: Pv[Any]) -> int | None:
        if not isinstance(pv, IntPv | FloatPv):
            return None
        return AlarmSeverity.NO_ALARM if getattr(pv.properties, name) is None else severity

    return get


def _zero(pv: Pv[Any]) -> float | None:
    return 0.0 if isinstance(pv, IntPv | FloatPv) else None


def _time(pv: Pv[Any]) -> str:
    return datetime.fromtimestamp(pv.timestamp, UTC).astimezone().isoformat(timespec="milliseconds")


def _elements(pv: Pv[Any]) -> int | None:
    return pv.max_count if isinstance(pv, TextPv | StringArrayPv) else None


def _elements_read(pv: Pv[Any]) -> int | None:
    return len(pv.value) if isinstance(pv, StringArrayPv) else _elements(pv)


_TEXTS: dict[str, Getter] = {
    "NAME": lambda pv: pv.name,
    "DESC": lambda pv: pv.description,
    "RTYP": lambda pv: pv.record_type,
    "TIME": _time,
    "EGU": lambda pv: pv.properties.units if isinstance(pv, IntPv | FloatPv) else None,
    "ZNAM": _two_state(0),
    "ONAM": _two_state(1),
    **{f"{name}ST": _state(number) for number, name in enumerate(_STATE_NAMES)},
}
_INTEGERS: dict[str, Getter] = {
    "PREC": lambda pv: pv.properties.precision if isinstance(pv, FloatPv) else None,
    "UDF": lambda pv: int(pv.status == "UDF"),
    "NELM": _elements,
    "NORD": _elements_read,
}
_FLOATS: dict[str, Getter] = {
    "HIHI": _limit("hihi", math.nan),
    "HIGH": _limit("high", math.nan),
    "LOW": _limit("low", math.nan),
    "LOLO": _limit("lolo", math.nan),
    "HOPR": _limit("maximum", 0.0),
    "LOPR": _limit("minimum", 0.0),
    "DRVH": _limit("maximum", 0.0),
    "DRVL": _limit("minimum", 0.0),
    "ADEL": _zero,
    "MDEL": _zero,
    "HYST": _zero,
}
_MENUS: dict[str, tuple[tuple[str, ...], Getter]] = {
    "SEVR": (_SEVERITIES, lambda pv: pv.severity),
    "STAT": (_STATUSES, lambda pv: _STATUSES.index(pv.status)),
    "ACKS": (_SEVERITIES, lambda pv: pv.unacknowledged),
    "ACKT": (("NO", "YES"), lambda pv: int(pv.keeps_transient_alarms)),
    "SCAN": (_SCANS, lambda pv: _SCANS.index("Passive" if pv.on_put else "I/O Intr")),
    "FTVL": (_TYPES, lambda pv: _TYPES.index(pv.native.name) if _elements(pv) is not None else None),
    "HHSV": (_SEVERITIES, _limit_severity("hihi", AlarmSeverity.MAJOR_ALARM)),
    "HSV": (_SEVERITIES, _limit_severity("high", AlarmSeverity.MINOR_ALARM)),
    "LSV": (_SEVERITIES, _limit_severity("low", AlarmSeverity.MINOR_ALARM)),
    "LLSV": (_SEVERITIES, _limit_severity("lolo", AlarmSeverity.MAJOR_ALARM)),
}


_OF_THE_VALUE = frozenset({"TIME", "NORD"})
"""Fields that another value may change; all others change with the alarm or with properties only."""
_RARE = int(Event.ALARM | Event.PROPERTY)


def field_of(pv: Pv[Any], name: str) -> Pv[Any] | None:
    """Make the PV that shows field `name` of `pv` and follows its changes; None if there is no such field.

    `name` may end in ``$``; the empty name is the same as ``VAL``.
    """
    if name.removesuffix("$") in ("", "VAL"):
        return _value_as_long_string(pv) if name.endswith("$") else pv
    title = f"{pv.name}.{name}"
    if (get := _TEXTS.get(name.removesuffix("$"))) is not None:
        made: _Field = _Text(title, "", LONG_STRING) if name.endswith("$") else _String(title, "")
    elif (get := _INTEGERS.get(name)) is not None:
        made = _Integer(title, "")
    elif (get := _FLOATS.get(name)) is not None:
        made = _Float(title, "", precision=pv.properties.precision)
    elif name in _MENUS:
        strings, get = _MENUS[name]
        made = _Menu(title, "", strings)
    else:
        return None
    if get(pv) is None:
        return None
    made.follow(pv, get, EVENTS if name.removesuffix("$") in _OF_THE_VALUE else _RARE)
    return made


def _value_as_long_string(pv: Pv[Any]) -> Pv[Any] | None:
    if isinstance(pv, TextPv):
        return pv
    if not isinstance(pv, StringPv):
        return None
    made = _Text(f"{pv.name}.VAL$", "", _LONG_TEXT, on_put=pv.on_put)
    made.follow(pv, lambda of: of.value, EVENTS)
    return made
