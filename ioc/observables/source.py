# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One observable's source: a PV of another IOC, followed through its disconnections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ioc.model import Reading, ValueType
from ioc.observables.inbox import Inbox
from ioc.observables.layout import layout_of
from ioc.observables.reading import disconnected, to_reading
from ioc.observables.throttle import Throttle
from ioc.topology.schema import Observable

if TYPE_CHECKING:
    from ioc.observables.monitor import Monitor

_log = logging.getLogger(__name__)

_PROPERTIES_SECONDS = 5.0
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Properties:
    """What the source says about its value."""

    units: str
    precision: int
    """Digits after the point; 0 if the source has none."""
    labels: tuple[str, ...]
    """The strings of an enum, in order."""


PropertiesListener = Callable[[str, Properties], None]


class Source:
    """Follows the PV of one observable until it is closed.

    Each connection is subscribed anew: after a reconnection the PV may have another type.
    """

    def __init__(
        self,
        observable: Observable,
        pv: str,
        inbox: Inbox,
        deliver: Callable[[Reading], None],
        tell_properties: PropertiesListener,
    ) -> None:
        self.observable = observable
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._pv = pv
        self._deliver = deliver
        self._tell_properties = tell_properties
        self._throttle = Throttle(observable.deadband, observable.max_rate)
        self._properties: Properties | None = None
        self._have_properties = asyncio.Event()
        self._lost = asyncio.Event()
        self._channel_events: Any = None
        self._monitor: Monitor | None = None
        self._connected = False
        self._timer: asyncio.TimerHandle | None = None
        self._task = self._new_task()

    @property
    def connected(self) -> bool:
        """Whether readings come, or would if the PV changed."""
        return self._connected

    def is_of(self, observable: Observable | None) -> bool:
        """Whether this is what `observable` follows, in the same way but for dead band and rate."""
        return observable is not None and (observable.pv, observable.type) == (self._pv, self.observable.type)

    def change(self, observable: Observable) -> None:
        """Go on with another dead band and rate; a reading that was held back is delivered now."""
        if (observable.deadband, observable.max_rate) != (self.observable.deadband, self.observable.max_rate):
            self._cancel_timer()
            self._release()
            self._throttle.limit(observable.deadband, observable.max_rate)
        self.observable = observable

    def check(self) -> None:
        """Notice a subscription that ended although the channel is connected (read access lost, a broken update)."""
        if self._task.done():
            _log.error("observable %s: following %s failed: %s", self.observable.name, self._pv, self._task.exception())
            self.went_away()
            self._task = self._new_task()
        if self._channel_events is not None and self._channel_events.state == self._channel_events.CLOSED:
            self._lost.set()

    async def close(self) -> None:
        """End the task and all subscriptions; nothing is delivered any more."""
        self._cancel_timer()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _new_task(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._follow(), name=f"observable {self.observable.name}")

    async def _follow(self) -> None:
        import aioca  # noqa: PLC0415 - see ObservableFeed.start
        from epicscorelibs.ca.cadef import CAException, Disconnected  # noqa: PLC0415

        while True:
            await aioca.connect(self._pv, timeout=None)
            self._lost.clear()
            self._have_properties.clear()
            self._channel_events = aioca.camonitor(
                self._pv,
                self._on_properties,
                events=aioca.DBE_PROPERTY,
                format=aioca.FORMAT_CTRL,
                count=1,
                notify_disconnect=True,
            )
            try:
                broken = await self._session(aioca)
            except (aioca.CANothing, CAException, Disconnected, LookupError) as error:
                _log.warning("observable %s: %s cannot be followed: %s", self.observable.name, self._pv, error)
                broken = True
            finally:
                self._unsubscribe()
            self.went_away()
            if broken:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _session(self, aioca: Any) -> bool:
        """Follow the PV until it is lost; True if that is for another reason than that it disconnected."""
        from ioc.observables.monitor import Monitor  # noqa: PLC0415 - loads libca, as above

        info = await aioca.cainfo(self._pv)
        # Enum strings have to be there before the first value; a source that has none to tell is followed all the same.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PROPERTIES_SECONDS):
                await self._have_properties.wait()
        layout = layout_of(info.datatype, text=self.observable.type is ValueType.String)
        self._monitor = Monitor(self._channel_events.channel, layout, self._inbox, self._take)
        await self._lost.wait()
        return self._monitor.broken or bool(self._channel_events.state == self._channel_events.CLOSED)

    def _on_properties(self, update: Any) -> None:
        if not update.ok:
            if self._monitor is None:
                self._lost.set()
            else:
                self._monitor.end()
            return
        properties = Properties(
            units=str(getattr(update, "units", "")),
            precision=max(0, int(getattr(update, "precision", 0))),
            labels=tuple(str(label) for label in getattr(update, "enums", ())),
        )
        self._have_properties.set()
        if properties != self._properties:
            self._properties = properties
            self._tell_properties(self.observable.name, properties)

    def _take(self, update: bytes | None) -> None:
        if update is None:
            self._lost.set()
            self.went_away()
            return
        observable = self.observable
        labels = self._properties.labels if self._properties else ()
        self._connected = True
        assert self._monitor is not None
        reading = to_reading(observable.name, observable.type, update, self._monitor.layout, labels)
        passed = self._throttle.offer(reading, self._loop.time())
        if passed is not None:
            self._cancel_timer()
            self._deliver(passed)
        elif self._timer is None:
            self._hold()

    def _hold(self) -> None:
        due = self._throttle.due_at()
        if due is not None:
            self._timer = self._loop.call_at(due, self._release)

    def _release(self) -> None:
        self._timer = None
        reading = self._throttle.release(self._loop.time())
        if reading is not None:
            self._deliver(reading)

    def went_away(self) -> None:
        """Say once that the source is gone; a value that was still held is older and goes first."""
        if not self._connected:
            return
        self._connected = False
        self._cancel_timer()
        now = self._loop.time()
        for reading in (
            self._throttle.release(now),
            self._throttle.offer(disconnected(self.observable.name, time.time()), now),
        ):
            if reading is not None:
                self._deliver(reading)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unsubscribe(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._channel_events is not None:
            self._channel_events.close()
            self._channel_events = None
