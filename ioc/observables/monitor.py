"""What monitors of both protocols have in common: source, throttle, delivery, and the type that a value gets."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from caproto import AlarmStatus

from ioc.model import Reading, Scalar, Severity, ValueType
from ioc.observables.throttle import Throttle

_log = logging.getLogger(__name__)

STATUSES = {status.value: status.name for status in AlarmStatus}
"""EPICS alarm statuses by number."""
EPICS_EPOCH = 631_152_000
"""Time stamp of a record that was never processed; it is replaced by the time of arrival."""
_INTEGERS = 2.0**63
"""Numbers of this size or more do not fit into 64 bits: they stay floats, as does NaN."""


@dataclass(frozen=True)
class Properties:
    """Properties of a source."""

    units: str
    precision: int
    """Digits after the decimal point; 0 if the source has none."""
    labels: tuple[str, ...]
    """The strings of an enum, in order."""


PropertiesListener = Callable[[str, Properties], None]
"""Takes an observable's name and the properties of its source; called in the feed's thread."""


class Source(NamedTuple):
    """The source of an observable."""

    name: str
    """Name of the observable."""
    pv: str
    """As in the topology: ``pva://`` before the name means PVAccess."""
    type: ValueType
    deadband: float
    """Units in the topology."""
    max_rate: float | None


class Monitor(ABC):
    """Monitors the PV of one observable until it is closed, across disconnections."""

    def __init__(self, source: Source, deliver: Callable[[Reading], None], tell_properties: PropertiesListener) -> None:
        """`deliver` takes each reading that passes the throttle."""
        self.source = source
        self.connected = False
        """Whether it is subscribed to the PV."""
        self.properties: Properties | None = None
        """The last known ones."""
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._tell_properties = tell_properties
        self._throttle = Throttle(source.deadband, source.max_rate)
        self._timer: asyncio.TimerHandle | None = None
        self._complaint = ""

    def follows(self, source: Source | None) -> bool:
        """Whether it monitors this source; dead band and rate may differ."""
        present = self.source
        return source is not None and (source.pv, source.type) == (present.pv, present.type)

    def change(self, source: Source) -> None:
        """Continue with another dead band and rate; a reading held back is delivered now."""
        if (source.deadband, source.max_rate) != (self.source.deadband, self.source.max_rate):
            self._cancel_timer()
            self._release()
            self._throttle.limit(source.deadband, source.max_rate)
        self.source = source

    @abstractmethod
    def check(self) -> None:
        """Restart a monitor that ended unexpectedly; called every two seconds."""

    async def close(self) -> None:
        """End the subscription; nothing is delivered any more."""
        self._cancel_timer()
        await self._unsubscribe()

    @abstractmethod
    async def _unsubscribe(self) -> None: ...

    def report_disconnected(self) -> None:
        """Report once that the source has disconnected; a value still held back is delivered first."""
        if not self.connected:
            return
        self.connected = False
        self._cancel_timer()
        self._release()
        self._pass_on(disconnected(self.source.name, time.time()))

    def complain(self, why: str) -> None:
        """Log why the PV cannot be followed, once until it has a reading again."""
        if why != self._complaint:
            self._complaint = why
            _log.warning("observable %s: %s cannot be followed: %s", self.source.name, self.source.pv, why)

    def take_properties(self, properties: Properties) -> None:
        """Pass the properties of the source on if they have changed."""
        if properties != self.properties:
            self.properties = properties
            self._tell_properties(self.source.name, properties)

    def take(self, reading: Reading) -> None:
        """Deliver a reading of the connected source now or, if there is a rate limit, when its time has come."""
        self.connected = True
        self._complaint = ""
        self._pass_on(reading)

    def _pass_on(self, reading: Reading) -> None:
        passed = self._throttle.offer(reading, self._loop.time())
        if passed is not None:
            self._cancel_timer()
            self._deliver(passed)
        elif self._timer is None and (due := self._throttle.due_at()) is not None:
            self._timer = self._loop.call_at(due, self._release)

    def _release(self) -> None:
        self._timer = None
        reading = self._throttle.release(self._loop.time())
        if reading is not None:
            self._deliver(reading)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def disconnected(name: str, since: float) -> Reading:
    """The reading for a source that has disconnected."""
    return Reading(name, None, Severity.INVALID, "disconnected", since)


def convert(raw: Any, label: str, value_type: ValueType) -> Scalar:
    """Return a number, text or enum string of the source in the type that the topology declares."""
    if value_type is ValueType.String:
        return label or str(raw)
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    if value_type is ValueType.Float or not abs(number) < _INTEGERS:
        return number
    return round(number)
