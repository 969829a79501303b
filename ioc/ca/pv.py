"""The base of all PVs: a name, a value with alarm and time stamp, and subscribers.

PVs know nothing about sockets. A change makes a new `Snapshot`, which is offered to every subscriber whose event mask
asks for it; `ioc.ca.encoding` encodes a snapshot at most once per data type and count.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from caproto import AlarmSeverity, AlarmStatus, ChannelType, SubscriptionType

if TYPE_CHECKING:
    from ioc.ca.encoding import PutData

T = TypeVar("T")
_NAME_LENGTH = 100


class Client(NamedTuple):
    """The client of a request: the name is reported by the client itself, the host is the address of its connection."""

    user: str = ""
    host: str = ""

    @classmethod
    def reported(cls, user: str, host: str) -> Client:
        """Return a client by the name that it reports, cut and without control characters."""
        return cls("".join(character for character in user[:_NAME_LENGTH] if character.isprintable()), host)


class PutFailed(Exception):
    """A put could not be carried out, or not completely; the text is a sentence for the client.

    `logged`: it is already in the log, so the server does not log it again.
    """

    def __init__(self, text: str, *, logged: bool = False) -> None:
        super().__init__(text)
        self.logged = logged


class Refused(PutFailed):
    """A put is refused: nothing was done and nothing changed."""


PutHandler = Callable[[Client, T], Awaitable[None]]
"""Carries out a put and posts the new value itself; raises `PutFailed` if it cannot."""


STATUSES = frozenset(AlarmStatus.__members__)
"""Names of all EPICS alarm statuses."""
NEW_VALUE = int(SubscriptionType.DBE_VALUE | SubscriptionType.DBE_LOG)
"""Kinds of change, as in the event mask of a subscription; plain numbers are combined much faster than flags."""
NEW_ALARM = int(SubscriptionType.DBE_ALARM)
NEW_PROPERTY = int(SubscriptionType.DBE_PROPERTY)
EVENTS = NEW_VALUE | NEW_ALARM | NEW_PROPERTY


@dataclass(frozen=True)
class Properties:
    """Metadata of a PV: how to show its number, and its limits. None = no such limit."""

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
    """A PV at one moment. `encoded` caches its wire forms by (data type, count) for all clients."""

    value: T
    severity: int
    status: str
    timestamp: float
    encoded: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=lambda: {})  # noqa: PIE807 - typed, and quick


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

    All methods are called on the event loop's thread and do not block.
    """

    native: ChannelType
    """Its data type on the wire."""
    record_types: tuple[str, str] = "waveform", "waveform"
    """Access rights of a read-only and of a writable PV."""
    serial: bool = True
    """Puts are carried out one after the other; otherwise each at once."""

    def __init__(self, name: str, description: str, value: T, on_put: PutHandler[T] | None = None) -> None:
        self.name = name
        self.description = description
        self.on_put = on_put
        self.properties = Properties()
        self.unacknowledged = AlarmSeverity.NO_ALARM
        """Worst severity since the last acknowledgement (field ACKS)."""
        self.keeps_transient_alarms = True
        """Whether an alarm that has gone must still be acknowledged (field ACKT)."""
        self._listeners: set[Listener] = set()
        self._snapshot = Snapshot(value, AlarmSeverity.NO_ALARM, "NO_ALARM", time.time())

    @property
    def source(self) -> Pv[T]:
        """The PV that has the value; different from this one only for a channel with filters (`ioc.ca.filters`)."""
        return self

    @property
    def record(self) -> Pv[Any]:
        """The PV that has the alarm; different from this one only for a field or a channel with filters."""
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
        """Time stamp of the value; POSIX seconds."""
        return self.snapshot.timestamp

    @property
    def snapshot(self) -> Snapshot[T]:
        return self._snapshot

    def post(
        self, value: T, *, severity: int = AlarmSeverity.NO_ALARM, status: str = "", timestamp: float | None = None
    ) -> None:
        """Set value and alarm, and notify all subscribers.

        Posting the same value and alarm again causes no event and keeps the time stamp. An empty `status` is derived
        from the severity and, for numbers, from the alarm limits. `timestamp` is in POSIX seconds, None = now.

        Raises:
            ValueError: the value does not fit the type of the PV, or there is no such alarm status.
        """
        if status and status not in STATUSES:
            raise ValueError(f"{self.name}: alarm status {status!r} does not exist in EPICS")
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
        """Acknowledge an alarm that was no worse than `severity`; subscribers to alarms are notified."""
        if severity >= self.unacknowledged:
            self.unacknowledged = AlarmSeverity.NO_ALARM
        self._publish(replace(self._snapshot, encoded={}), NEW_ALARM)

    def keep_transient_alarms(self, keep: bool) -> None:
        """Set whether alarms that have gone must be acknowledged."""
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
        """Number of subscriptions and monitored fields."""
        return len(self._listeners)

    @property
    def record_type(self) -> str:
        """Name of the EPICS record type that corresponds to this PV (field RTYP)."""
        return self.record_types[self.on_put is not None]

    @property
    def max_count(self) -> int:
        """Maximum number of elements on the wire."""
        return 1

    @abstractmethod
    def check(self, value: T) -> T:
        """The value in its stored form, or ValueError."""

    @abstractmethod
    def accept(self, data: PutData) -> T:
        """The value of a client's put, or `Refused` with the requirement."""

    def written(self, data: PutData) -> str:
        """What a put has, for the log of puts; one CHAR is a character to a text, but the number of it to others."""
        text = self.native in {ChannelType.CHAR, ChannelType.STRING}
        return str(data) if text or len(data.items) != 1 else data.element()

    def remark(self, data: PutData) -> str:
        """A remark on an accepted put, usually empty."""
        return ""

    @abstractmethod
    def texts(self, value: T) -> Sequence[str]:
        """The value's elements as text."""

    def numbers(self, value: T) -> Sequence[float] | None:
        """The value's elements as numbers, None if it has none."""
        return None

    def label(self, value: T) -> str:
        """The value as one text, for the log of puts."""
        return ", ".join(self.texts(value))

    def alarm_of(self, value: T, severity: int, status: str) -> tuple[int, str]:
        """The alarm including that of the value itself."""
        return severity, status

    def same(self, value: T, old: T) -> bool:
        return value == old

    def cannot_be(self, what: str, must: str) -> Refused:
        """Return the error for a refused put."""
        return Refused(f"{self.name} cannot be set to {what}: it must be {must}")
