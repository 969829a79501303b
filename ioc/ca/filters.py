"""Channel filters, as in EPICS base: suffixes of a channel name that reduce what the client receives.

- ``NAME.{"dbnd":{"abs":0.5}}``, ``{"d":0.5}``, ``{"rel":10}`` (percent), ``{"m":"rel","d":10}``: a monitor of a number
  reports changes by more than that from the last reported value; a changed alarm or property is always reported.
- ``NAME.[1:3]``, ``NAME.{"arr":{"s":1,"i":1,"e":3}}``: some elements of an array, counted from the end if negative;
  read only.
- ``NAME.{"ts":{}}``: the time stamp is the time of sending.

Filters can be combined, and written as JSON5: ``NAME.{dbnd:{abs:.5}}``. A name with any other filter, such as ``sync``,
is not found. caproto can also parse filters, but accepts some that EPICS base does not (a deadband of "1" or of
infinity) and fails on ``{"m":"rel"}``.
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

from ioc.ca.encoding import PutData
from ioc.ca.pv import Listener, Pv, Snapshot

_FILTERED = re.compile(r"([^.]+\.[A-Z0-9]*\$?)([{\[].{1,200})", re.DOTALL)
_RANGE = re.compile(r"\[(-?\d{1,9})?(?:(:)(?:(\d{1,9})?:)?(-?\d{1,9})?)?(?<!\[)\]", re.ASCII)
_LARGEST_INDEX = 10**9
_JSON5 = (
    (re.compile(r"'([^'\"\\]*)'"), r'"\1"'),  # quotes
    (re.compile(r"([{,]\s*)([a-z]+)(?=\s*:)"), r'\1"\2"'),  # keys
    (re.compile(r",(?=\s*})"), ""),  # a comma at the end
    (re.compile(r"(?<=[:\s])\+(?=[.\d])"), ""),  # numbers
    (re.compile(r"(?<![\d.])\.(?=\d)"), "0."),
    (re.compile(r"(?<=\d)\.(?![\d.])"), ".0"),
)
"""What EPICS base takes beyond JSON."""


class _Unknown(Exception):
    """The filter is not supported."""


@dataclass(frozen=True)
class _Filters:
    deadband: float | None = None
    relative: bool = False
    """The deadband is in percent of the last reported value."""
    elements: tuple[int, int, int] | None = None
    """First, step and last (included); negative = from the end."""
    stamps: bool = False

    def slice_of(self, length: int) -> slice:
        """Indices of the selected elements out of `length`."""
        if self.elements is None:
            return slice(None)
        first, step, last = self.elements
        first, last = (index + length if index < 0 else index for index in (first, last))
        return slice(max(first, 0), max(last + 1, 0), step)

    def passes(self, number: float, reported: float) -> bool:
        """Whether a number is outside the deadband around the last reported one."""
        width = self.deadband or 0.0
        if self.relative:
            width *= abs(reported) / 100
        return math.isnan(number) != math.isnan(reported) or abs(number - reported) > width


def split(channel: str) -> tuple[str, str]:
    """The name without its filters, and the text of the filters (empty if none)."""
    found = _FILTERED.fullmatch(channel)
    return (found[1], found[2]) if found else (channel, "")


def filtered(pv: Pv[Any], text: str) -> Pv[Any] | None:
    """`pv` as seen through these filters; None if they are not supported or leave nothing."""
    try:
        filters = _parse(text)
    except (_Unknown, ValueError, RecursionError):
        return None
    if pv.max_count == 1:
        filters = replace(filters, elements=None)
    elif not range(pv.max_count)[filters.slice_of(pv.max_count)]:
        return None
    return _FilteredPv(pv, filters)


def _parse(text: str) -> _Filters:
    if found := _RANGE.fullmatch(text):
        start, is_range, step, end = found.groups()
        if not is_range:
            return _Filters(elements=_elements(int(start), 1, int(start)))
        return _Filters(elements=_elements(int(start or 0), int(step or 1), int(end or -1)))
    wanted: Any = json.loads(_plain_json(text))
    if not isinstance(wanted, dict) or not wanted:
        raise _Unknown
    filters = _Filters()
    for name, options in wanted.items():
        match name, options:
            case "dbnd", {"abs": width, **other} if not other:
                filters = replace(filters, deadband=_width(width))
            case "dbnd", {"rel": width, **other} if not other:
                filters = replace(filters, deadband=_width(width), relative=True)
            case "dbnd", {"d": width, **other} if not other:
                filters = replace(filters, deadband=_width(width))
            case "dbnd", {"m": "abs" | "rel" as mode, "d": width, **other} if not other:
                filters = replace(filters, deadband=_width(width), relative=mode == "rel")
            case "arr", dict() if options.keys() <= {"s", "i", "e"}:
                elements = _elements(options.get("s", 0), options.get("i", 1), options.get("e", -1))
                filters = replace(filters, elements=elements)
            case "ts", {**other} if not other:
                filters = replace(filters, stamps=True)
            case _:
                raise _Unknown
    return filters


def _plain_json(text: str) -> str:
    """JSON5 as JSON, as far as it occurs in filters: no text in them has a quote, a comma or a colon."""
    for pattern, plain in _JSON5:
        text = pattern.sub(plain, text)
    return text


def _width(width: Any) -> float:
    if isinstance(width, bool) or not isinstance(width, int | float) or not math.isfinite(width):
        raise _Unknown
    return width


def _elements(first: Any, step: Any, last: Any) -> tuple[int, int, int]:
    for index in (first, step, last):
        if isinstance(index, bool) or not isinstance(index, int) or abs(index) > _LARGEST_INDEX:
            raise _Unknown
    if step < 1:
        raise _Unknown
    return first, step, last


class _FilteredPv(Pv[Any]):
    """Shows `source` through filters; belongs to one channel and has no value of its own."""

    def __init__(self, source: Pv[Any], filters: _Filters) -> None:
        part = filters.elements is not None
        super().__init__(source.name, source.description, source.value, None if part else source.on_put)
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
        """A snapshot of the source as this channel shows it, encoded separately if it differs."""
        self.properties = self._source.properties
        if self._filters.elements is None and not self._filters.stamps:
            return snapshot
        timestamp = time.time() if self._filters.stamps else snapshot.timestamp
        return Snapshot(snapshot.value, snapshot.severity, snapshot.status, timestamp)

    def subscribe(self, listener: Listener) -> None:
        self._gates[listener] = gate = _Gate(self, self._filters, listener)
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
        return len(range(of)[self._filters.slice_of(of)])

    def check(self, value: Any) -> Any:
        return self._source.check(value)

    def accept(self, data: PutData) -> Any:
        return self._source.accept(data)

    def texts(self, value: Any) -> Sequence[str]:
        texts = self._source.texts(value)
        if self._filters.elements is None:
            return texts
        numbers = self.numbers(value)
        if isinstance(numbers, bytes):
            return (numbers.partition(b"\0")[0].decode("utf-8", "replace"),)
        return texts[self._filters.slice_of(len(texts))][: self.max_count]

    def numbers(self, value: Any) -> Sequence[float] | None:
        numbers = self._source.numbers(value)
        return None if numbers is None else numbers[self._filters.slice_of(len(numbers))]


class _Gate:
    """Sits between the source and one subscription, and passes changes beyond the deadband."""

    def __init__(self, pv: _FilteredPv, filters: _Filters, listener: Listener) -> None:
        self._pv = pv
        self._filters = filters
        self._listener = listener
        self._seen = self._reported = pv.source.snapshot

    @property
    def mask(self) -> int:
        return self._listener.mask

    def offer(self, snapshot: Snapshot[Any]) -> None:
        before, self._seen = self._seen, snapshot
        only_value = (snapshot.severity, snapshot.status) == (before.severity, before.status)
        if only_value and snapshot.value != before.value and not self._passes(snapshot):
            return
        self._reported = snapshot
        self._listener.offer(self._pv.view(snapshot))

    def _passes(self, snapshot: Snapshot[Any]) -> bool:
        source = self._pv.source
        if self._filters.deadband is None or source.max_count > 1:
            return True
        number, reported = source.numbers(snapshot.value), source.numbers(self._reported.value)
        return not number or not reported or self._filters.passes(number[0], reported[0])
