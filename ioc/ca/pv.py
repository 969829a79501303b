"""What every PV has: a name, a value with alarm and time stamp, and subscribers.

PVs know nothing of sockets. A change makes a new `Snapshot`, which is offered to every subscriber whose event mask asks
for it; `ioc.ca.encoding` encodes a snapshot at most once per data type and count.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from caproto import AlarmSeverity, AlarmStatus, ChannelType, SubscriptionType

if TYPE_CHECKING:
    from ioc.ca.encoding import PutData

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """Who asked: the name is reported by the client itself, the host is the address of its connection."""

    user: str = ""
    host: str = ""


class PutFailed(Exception):
    """A put could not be carried out, or not completely; the text is a sentence for the client.

    `logged`: whoever raises it has logged it, so that the server need not.
    """

    def __init__(self, text: str, *, logged: bool = False) -> None:
        super().__init__(text)
        self.logged = logged


class Refused(PutFailed):
    """A put is refused: nothing was done and nothing changed."""


PutHandler = Callable[[Client, T], Awaitable[None]]
"""Carries out a put and posts the new value itself; raises `PutFailed` if that is impossible."""


STATUSES = frozenset(AlarmStatus.__members__)
"""Names of all alarm statuses that EPICS knows."""
NEW_VALUE = int(SubscriptionType.DBE_VALUE | SubscriptionType.DBE_LOG)
"""Kinds of change, as in the event mask of a subscription; plain numbers are combined much faster than flags."""
NEW_ALARM = int(SubscriptionType.DBE_ALARM)
NEW_PROPERTY = int(SubscriptionType.DBE_PROPERTY)
EVENTS = NEW_VALUE | NEW_ALARM | NEW_PROPERTY


@dataclass(frozen=True)
class Properties:
    """Metadata of a PV: how to show its number and what its limits are. None = no such limit."""

    units: str = ""
    precision: int = 0
    low: float | None = None
    high: float | None = None
    lolo: float | None = None
    hihi: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    strings: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Snapshot(Generic[T]):
    """A PV at one moment. `encoded` keeps its wire form by (data type, count), so that all clients share it."""

    value: T
    severity: int
    status: str
    timestamp: float
    encoded: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict[tuple[int, int], tuple[bytes, int]])


class Listener(Protocol):
    """One subscription."""

    @property
    def mask(self) -> int: ...

    def offer(self, snapshot: Snapshot[Any]) -> None: ...


_DEFAULT_STATUS: dict[int, str] = {
    AlarmSeverity.NO_ALARM: "NO_ALARM",
    AlarmSeverity.MINOR_ALARM: "STATE",
    AlarmSeverity.MAJOR_ALARM: "STATE",
    AlarmSeverity.INVALID_ALARM: "COMM",
}


class Pv(ABC, Generic[T]):
    """A process variable; read only if `on_put` is None.

    Everything is called on the event loop's thread and nothing blocks.
    """

    native: ChannelType
    """Its data type on the wire."""
    record_types: tuple[str, str] = "waveform", "waveform"
    """Of a read-only and of a writable PV."""
    serial: bool = True
    """Puts are carried out one after the other; else each at once."""

    def __init__(self, name: str, description: str, value: T, on_put: PutHandler[T] | None = None) -> None:
        self.name = name
        self.description = description
        self.on_put = on_put
        self.properties = Properties()
        self.unacknowledged = AlarmSeverity.NO_ALARM
        """Worst severity since somebody acknowledged it (field ACKS)."""
        self.keeps_transient_alarms = True
        """Whether an alarm that has gone must still be acknowledged (field ACKT)."""
        self._listeners: set[Listener] = set()
        self._snapshot = Snapshot(value, AlarmSeverity.NO_ALARM, "NO_ALARM", time.time())

    @property
    def source(self) -> Pv[T]:
        """The PV that has the value: another only for a channel with filters (`ioc.ca.filters`)."""
        return self

    @property
    def record(self) -> Pv[Any]:
        """The PV that has the alarm: another only for a field or for a channel with filters."""
        return self

    @property
    def value(self) -> T:
        return self.snapshot.value

    @property
    def severity(self) -> int:
        return self.snapshot.severity

    @property
    def status(self) -> str:
        """Alarm status by its EPICS name, ``NO_ALARM``, ``HIHI``, ``STATE``…"""
        return self.snapshot.status

    @property
    def timestamp(self) -> float:
        """When the value became true; POSIX seconds."""
        return self.snapshot.timestamp

    @property
    def snapshot(self) -> Snapshot[T]:
        return self._snapshot

    def post(
        self, value: T, *, severity: int = AlarmSeverity.NO_ALARM, status: str = "", timestamp: float | None = None
    ) -> None:
        """Set value and alarm, and tell everybody who monitors them.

        Posting the same value and alarm again is no event and keeps the time stamp. An empty `status` is derived from
        the severity and, for numbers, from the alarm limits. `timestamp` is in POSIX seconds, None = now.

        Raises:
            ValueError: the value does not fit the type of the PV, or there is no such alarm status.
        """
        if status and status not in STATUSES:
            raise ValueError(f"{self.name}: alarm status {status!r} is not one that EPICS knows")
        value = self.check(value)
        severity, status = self.alarm_of(value, severity, status or _DEFAULT_STATUS[severity])
        old = self._snapshot
        events = 0
        if not self.same(value, old.value):
            events |= NEW_VALUE
        if severity != old.severity or status != old.status:
            events |= NEW_ALARM
            if severity >= self.unacknowledged or not self.keeps_transient_alarms:
                self.unacknowledged = severity
        if events:
            self._publish(Snapshot(value, severity, status, time.time() if timestamp is None else timestamp), events)

    def acknowledge(self, severity: int) -> None:
        """Acknowledge an alarm that was no worse than `severity`; monitors of alarms are told."""
        if severity >= self.unacknowledged:
            self.unacknowledged = AlarmSeverity.NO_ALARM
        self._publish(replace(self._snapshot, encoded={}), NEW_ALARM)

    def keep_transient_alarms(self, keep: bool) -> None:
        """Whether alarms that have gone must be acknowledged."""
        self.keeps_transient_alarms = keep
        if not keep:
            self.unacknowledged = min(self.unacknowledged, self.severity)
        self._publish(replace(self._snapshot, encoded={}), NEW_ALARM)

    def _publish(self, snapshot: Snapshot[T], events: int) -> None:
        self._snapshot = snapshot
        for listener in self._listeners:
            if listener.mask & events:
                listener.offer(snapshot)

    def subscribe(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """How many subscriptions and monitored fields are told of changes."""
        return len(self._listeners)

    @property
    def record_type(self) -> str:
        """Name of the EPICS record type that behaves like this PV (field RTYP)."""
        return self.record_types[self.on_put is not None]

    @property
    def max_count(self) -> int:
        """Most elements it can have on the wire."""
        return 1

    @abstractmethod
    def check(self, value: T) -> T:
        """The value as it is stored, or ValueError."""

    @abstractmethod
    def accept(self, data: PutData) -> T:
        """The value that a client put, or `Refused` saying what it must be."""

    def remark(self, data: PutData) -> str:
        """A comment on a put that was accepted, mostly empty."""
        return ""

    @abstractmethod
    def texts(self, value: T) -> Sequence[str]:
        """The value's elements as text."""

    def numbers(self, value: T) -> Sequence[float] | None:
        """The value's elements as numbers, None if it has none."""
        return None

    def label(self, value: T) -> str:
        """The value in one text, for the log of puts."""
        return ", ".join(self.texts(value))

    def alarm_of(self, value: T, severity: int, status: str) -> tuple[int, str]:
        """The alarm after what the value itself adds to it."""
        return severity, status

    def same(self, value: T, old: T) -> bool:
        return value == old

    def cannot_be(self, what: str, must: str) -> Refused:
        """The refusal of a put."""
        return Refused(f"{self.name} cannot be set to {what}: it must be {must}")
