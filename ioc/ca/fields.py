"""Record fields of a PV (``.DESC``, ``.EGU``, ``.SEVR``, ``.ZRST`` …): read-only PVs, created on first use.

A field reads its PV on demand, and subscribes to it only while a client monitors the field: archivers read a dozen
fields of every PV once, which must not slow down its updates for ever.

Only fields with a true answer exist; a channel to any other is not found, as with a record without that field.
``NAME$`` and ``NAME.FIELD$`` read a string of any length as CHAR, as EPICS does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from caproto import AlarmSeverity, AlarmStatus

from ioc.ca.pv import EVENTS, NEW_ALARM, NEW_PROPERTY, Listener, Pv, Snapshot
from ioc.ca.types import EnumPv, FloatArrayPv, FloatPv, IntPv, NumericPv, StringArrayPv, StringPv, TextPv

LONG_STRING = 256
_LONG_TEXT = 40
_RARE = NEW_ALARM | NEW_PROPERTY
_OF_THE_VALUE = frozenset({"TIME", "NORD"})
"""Fields that change with the value; all others change only with the alarm or properties."""

Getter = Callable[[Any], Any]
"""Gets the field's value from its PV."""


class _Field(Pv[Any]):
    """Shows the result of `get` for the PV `of`."""

    _of: Pv[Any]
    _get: Getter
    _seen: Snapshot[Any] | None = None
    mask = EVENTS
    """Kinds of change of the PV that may change the field."""

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
        """Handle a change of the PV."""
        if snapshot is not self._seen:
            self._seen = snapshot
            value = self._get(self._of)
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
    """A number that is NaN if there is no limit; NaN is not an alarm here."""

    def alarm_of(self, value: float, severity: int, status: str) -> tuple[int, str]:
        return severity, status


class _Menu(_Field, EnumPv):
    """An EPICS menu, which may have more than 16 choices."""

    max_states = 64


Make = Callable[[str, Pv[Any]], _Field]
"""Makes the field with this name for a PV."""


def _string(name: str, _: Pv[Any]) -> _Field:
    return _Text(name, "", LONG_STRING) if name.endswith("$") else _String(name, "")


def _integer(name: str, _: Pv[Any]) -> _Field:
    return _Integer(name, "")


def _float(name: str, pv: Pv[Any]) -> _Field:
    return _Float(name, "", precision=pv.properties.precision)


def _menu(*choices: str) -> Make:
    return lambda name, _: _Menu(name, "", choices)


def _state(number: int) -> Getter:
    """The name of a state; empty if there are fewer states."""
    return lambda pv: pv.strings[number] if number < len(pv.strings) else ""


def _limit(name: str, none: float) -> Getter:
    def get(pv: Pv[Any]) -> float:
        limit: float | None = getattr(pv.properties, name)
        return none if limit is None else limit

    return get


def _severity(name: str, severity: int) -> Getter:
    return lambda pv: 0 if getattr(pv.properties, name) is None else severity


def _time(pv: Pv[Any]) -> str:
    return datetime.fromtimestamp(pv.timestamp, UTC).astimezone().isoformat(timespec="milliseconds")


def _elements_read(pv: Pv[Any]) -> int:
    return pv.max_count if isinstance(pv, TextPv) else len(pv.value)


_SEVERITIES = _menu("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_STATUSES = tuple(AlarmStatus.__members__)
_PERIODS = ("10 second", "5 second", "2 second", "1 second", ".5 second", ".2 second", ".1 second")
_SCANS = ("Passive", "Event", "I/O Intr", *_PERIODS)
_TYPES = ("STRING", "CHAR", "UCHAR", "SHORT", "USHORT", "LONG", "ULONG", "INT64", "UINT64", "FLOAT", "DOUBLE", "ENUM")
_WAVEFORMS = TextPv, StringArrayPv, FloatArrayPv
_WITH_UNITS = NumericPv, FloatArrayPv
_STATES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")
_NAMES_OF_TWO, _NAMES_OF_MANY = ("ZNAM", "ONAM"), tuple(f"{name}ST" for name in _STATES)
"""Fields with the names of the states, of records with two states or more."""
_MINOR, _MAJOR = AlarmSeverity.MINOR_ALARM, AlarmSeverity.MAJOR_ALARM

_FIELDS: dict[str, tuple[type | tuple[type, ...], Make, Getter]] = {
    "NAME": (Pv, _string, lambda pv: pv.name),
    "DESC": (Pv, _string, lambda pv: pv.description),
    "RTYP": (Pv, _string, lambda pv: pv.record_type),
    "TIME": (Pv, _string, _time),
    "EGU": (_WITH_UNITS, _string, lambda pv: pv.properties.units),
    **{name: (EnumPv, _string, _state(number)) for number, name in enumerate(_NAMES_OF_TWO)},
    **{name: (EnumPv, _string, _state(number)) for number, name in enumerate(_NAMES_OF_MANY)},
    "PREC": ((FloatPv, FloatArrayPv), _integer, lambda pv: pv.properties.precision),
    "UDF": (Pv, _integer, lambda pv: int(pv.status == "UDF")),
    "NELM": (_WAVEFORMS, _integer, lambda pv: pv.max_count),
    "NORD": (_WAVEFORMS, _integer, _elements_read),
    "HIHI": (NumericPv, _float, _limit("hihi", math.nan)),
    "HIGH": (NumericPv, _float, _limit("high", math.nan)),
    "LOW": (NumericPv, _float, _limit("low", math.nan)),
    "LOLO": (NumericPv, _float, _limit("lolo", math.nan)),
    "HOPR": (_WITH_UNITS, _float, _limit("maximum", 0.0)),
    "LOPR": (_WITH_UNITS, _float, _limit("minimum", 0.0)),
    "DRVH": (NumericPv, _float, _limit("maximum", 0.0)),
    "DRVL": (NumericPv, _float, _limit("minimum", 0.0)),
    "ADEL": (NumericPv, _float, lambda _: 0.0),
    "MDEL": (NumericPv, _float, lambda _: 0.0),
    "HYST": (NumericPv, _float, lambda _: 0.0),
    "SEVR": (Pv, _SEVERITIES, lambda pv: pv.severity),
    "STAT": (Pv, _menu(*_STATUSES), lambda pv: _STATUSES.index(pv.status)),
    "ACKS": (Pv, _SEVERITIES, lambda pv: pv.unacknowledged),
    "ACKT": (Pv, _menu("NO", "YES"), lambda pv: int(pv.keeps_transient_alarms)),
    "SCAN": (Pv, _menu(*_SCANS), lambda pv: _SCANS.index("Passive" if pv.on_put else "I/O Intr")),
    "FTVL": (_WAVEFORMS, _menu(*_TYPES), lambda pv: _TYPES.index(pv.native.name)),
    "HHSV": (NumericPv, _SEVERITIES, _severity("hihi", _MAJOR)),
    "HSV": (NumericPv, _SEVERITIES, _severity("high", _MINOR)),
    "LSV": (NumericPv, _SEVERITIES, _severity("low", _MINOR)),
    "LLSV": (NumericPv, _SEVERITIES, _severity("lolo", _MAJOR)),
}
"""For each field: the PVs that have it, its type, its value."""


def field_of(pv: Pv[Any], name: str) -> Pv[Any] | None:
    """Make the PV that shows field `name` of `pv` and follows its changes; None if there is no such field.

    `name` may end in ``$``; the empty name is the same as ``VAL``.
    """
    plain, long = name.removesuffix("$"), name.endswith("$")
    if plain in {"", "VAL"}:
        return _value_as_long_string(pv) if long else pv
    kinds, make, get = _FIELDS.get(plain, ((), _string, _time))
    if not isinstance(pv, kinds) or (long and make is not _string):
        return None
    if isinstance(pv, EnumPv) and plain in (_NAMES_OF_MANY if len(pv.strings) <= 2 else _NAMES_OF_TWO):
        return None
    made = make(f"{pv.name}.{name}", pv)
    made.follow(pv, get, EVENTS if plain in _OF_THE_VALUE else _RARE)
    return made


def _value_as_long_string(pv: Pv[Any]) -> Pv[Any] | None:
    if isinstance(pv, TextPv):
        return pv
    if not isinstance(pv, StringPv):
        return None
    made = _Text(f"{pv.name}.VAL$", "", _LONG_TEXT, on_put=pv.on_put)
    made.follow(pv, lambda of: of.value, EVENTS)
    return made
