"""Channel filters: what a client appends to the name of a PV or field so that it is sent less, as in EPICS base.

- ``NAME.{"dbnd":{"abs":0.5}}``, ``{"rel":10}`` (percent), ``{"m":"rel","d":10}``: a number's monitor tells of changes
  by more than that from what it told last; a changed alarm or property is always told.
- ``NAME.[1:3]``, ``NAME.{"arr":{"s":1,"i":1,"e":3}}``: some elements of an array, from the end if negative; read only.
- ``NAME.{"ts":{}}``: the time stamp is when the value was sent.

Several may stand together. A name with any other filter, ``sync`` among them, is not found.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ioc.ca.putdata import PutData
from ioc.ca.pv import Listener, Pv, Snapshot

_FILTERED = re.compile(r"([^.]+\.[A-Z0-9]*\$?)([{\[].{1,200})", re.DOTALL)
_RANGE = re.compile(r"\[(-?\d{1,9})?(?:(:)(?:(\d{1,9})?:)?(-?\d{1,9})?)?(?<!\[)\]", re.ASCII)
_INDEX = 10**9


class _Unknown(Exception):
    """This is no filter that is offered."""


@dataclass(frozen=True)
class _Range:
    start: int = 0
    step: int = 1
    end: int = -1

    def of(self, length: int) -> slice:
        """Which of `length` elements are meant."""
        start = self.start + length if self.start < 0 else self.start
        end = self.end + length if self.end < 0 else self.end
        return slice(max(start, 0), max(end + 1, 0), self.step)


@dataclass(frozen=True)
class _Deadband:
    width: float
    relative: bool = False

    def passes(self, number: float, told: float) -> bool:
        width = abs(told) * self.width / 100 if self.relative else self.width
        return math.isnan(number) != math.isnan(told) or abs(number - told) > width


@dataclass(frozen=True)
class _Filters:
    deadband: _Deadband | None = None
    elements: _Range | None = None
    stamps: bool = False


def split(channel: str) -> tuple[str, str]:
    """The name without its filters, and these; they are empty if there are none."""
    found = _FILTERED.fullmatch(channel)
    return (found[1], found[2]) if found else (channel, "")


def filtered(pv: Pv[Any], text: str) -> Pv[Any] | None:
    """`pv` as a channel with these filters shows it; None if they are not offered or leave nothing."""
    try:
        filters = _parse(text)
    except (_Unknown, ValueError, RecursionError):
        return None
    if pv.max_count == 1:
        filters = replace(filters, elements=None)
    elif filters.elements is not None and not range(pv.max_count)[filters.elements.of(pv.max_count)]:
        return None
    return _FilteredPv(pv, filters)


def _parse(text: str) -> _Filters:
    if found := _RANGE.fullmatch(text):
        start, is_range, step, end = found.groups()
        if is_range:
            return _Filters(elements=_range(int(start or 0), int(step or 1), int(end or -1)))
        return _Filters(elements=_range(int(start), 1, int(start)))
    wanted: Any = json.loads(text)
    if not isinstance(wanted, dict) or not wanted:
        raise _Unknown
    filters = _Filters()
    for name, options in wanted.items():
        match name, options:
            case "dbnd", {"abs": width, **other} if not other:
                filters = replace(filters, deadband=_Deadband(_width(width)))
            case "dbnd", {"rel": width, **other} if not other:
                filters = replace(filters, deadband=_Deadband(_width(width), relative=True))
            case "dbnd", {"m": "abs" | "rel" as mode, "d": width, **other} if not other:
                filters = replace(filters, deadband=_Deadband(_width(width), relative=mode == "rel"))
            case "arr", dict() if options.keys() <= {"s", "i", "e"}:
                filters = replace(
                    filters, elements=_range(options.get("s", 0), options.get("i", 1), options.get("e", -1))
                )
            case "ts", {**other} if not other:
                filters = replace(filters, stamps=True)
            case _:
                raise _Unknown
    return filters


def _width(width: Any) -> float:
    if isinstance(width, bool) or not isinstance(width, int | float) or not math.isfinite(width):
        raise _Unknown
    return width


def _range(start: Any, step: Any, end: Any) -> _Range:
    for index in (start, step, end):
        if isinstance(index, bool) or not isinstance(index, int) or abs(index) > _INDEX:
            raise _Unknown
    if step < 1:
        raise _Unknown
    return _Range(start, step, end)


class _FilteredPv(Pv[Any]):
    """Shows `source` through filters; it belongs to one channel and has no value of its own."""

    def __init__(self, source: Pv[Any], filters: _Filters) -> None:
        cut = filters.elements is not None
        super().__init__(source.name, source.description, source.value, None if cut else source.on_put)
        self.native = source.native
        self.serial = source.serial
        self.properties = source.properties
        self._source = source
        self._filters = filters
        self._gates: dict[Listener, _Gate] = {}

    @property
    def source(self) -> Pv[Any]:
        return self._source

    @property
    def record(self) -> Pv[Any]:
        return self._source.record

    @property
    def snapshot(self) -> Snapshot[Any]:
        return self.view(self._source.snapshot)

    def view(self, snapshot: Snapshot[Any]) -> Snapshot[Any]:
        """A snapshot of the source as this channel shows it, with an encoding of its own if that is another."""
        self.properties = self._source.properties
        if self._filters.elements is None and not self._filters.stamps:
            return snapshot
        timestamp = time.time() if self._filters.stamps else snapshot.timestamp
        return Snapshot(snapshot.value, snapshot.severity, snapshot.status, timestamp)

    def subscribe(self, listener: Listener) -> None:
        self._gates[listener] = gate = _Gate(self, self._filters.deadband, listener)
        self._source.subscribe(gate)

    def unsubscribe(self, listener: Listener) -> None:
        if (gate := self._gates.pop(listener, None)) is not None:
            self._source.unsubscribe(gate)

    @property
    def record_type(self) -> str:
        return self._source.record_type

    @property
    def max_count(self) -> int:
        of = self._source.max_count
        return of if self._filters.elements is None else len(range(of)[self._filters.elements.of(of)])

    def check(self, value: Any) -> Any:
        return self._source.check(value)

    def accept(self, data: PutData) -> Any:
        return self._source.accept(data)

    def texts(self, value: Any) -> Sequence[str]:
        elements = self._filters.elements
        if elements is None:
            return self._source.texts(value)
        numbers = self.numbers(value)
        if isinstance(numbers, bytes):
            return (numbers.partition(b"\0")[0].decode("utf-8", "replace"),)
        texts = self._source.texts(value)
        return texts[elements.of(len(texts))][: self.max_count]

    def numbers(self, value: Any) -> Sequence[float] | None:
        numbers = self._source.numbers(value)
        if numbers is None or self._filters.elements is None:
            return numbers
        return numbers[self._filters.elements.of(len(numbers))]


class _Gate:
    """Stands between the source and one subscription, and lets through what is beyond the deadband."""

    def __init__(self, pv: _FilteredPv, deadband: _Deadband | None, listener: Listener) -> None:
        self._pv = pv
        self._deadband = deadband
        self._listener = listener
        self._seen = self._told = pv.source.snapshot

    @property
    def mask(self) -> int:
        return self._listener.mask

    def offer(self, snapshot: Snapshot[Any]) -> None:
        before, self._seen = self._seen, snapshot
        only_value = (snapshot.severity, snapshot.status) == (before.severity, before.status)
        if only_value and snapshot.value != before.value and not self._passes(snapshot):
            return
        self._told = snapshot
        self._listener.offer(self._pv.view(snapshot))

    def _passes(self, snapshot: Snapshot[Any]) -> bool:
        source = self._pv.source
        if self._deadband is None or source.max_count > 1:
            return True
        number, told = source.numbers(snapshot.value), source.numbers(self._told.value)
        return not number or not told or self._deadband.passes(number[0], told[0])
