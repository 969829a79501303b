# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Monitors one PV of another IOC across disconnections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ioc.model import Reading, ValueType
from ioc.observables.reading import Properties, PropertiesListener, disconnected, to_properties, to_reading
from ioc.observables.throttle import Throttle

_log = logging.getLogger(__name__)

_PROPERTIES_SECONDS = 5.0
_RETRY_SECONDS = 5.0


class Source(NamedTuple):
    """The source of an observable."""

    name: str
    """Name of the observable."""
    pv: str
    type: ValueType
    deadband: float
    """Units in the topology."""
    max_rate: float | None


class ChannelMonitor:
    """Monitors the PV of one observable until it is closed.

    Each connection gets new subscriptions: after a reconnection the PV may have another type.
    """

    def __init__(
        self,
        aioca: Any,
        source: Source,
        deliver: Callable[[Reading], None],
        tell_properties: PropertiesListener,
    ) -> None:
        """`aioca` is the module; `deliver` takes each reading that passes the throttle."""
        self._source = source
        self.connected = False
        """Whether it is subscribed to the PV."""
        self._aioca = aioca
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._tell_properties = tell_properties
        self._throttle = Throttle(source.deadband, source.max_rate)
        self._properties: Properties | None = None
        self._have_properties = asyncio.Event()
        self._lost = asyncio.Event()
        self._subscriptions: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task = self._new_task()

    def follows(self, source: Source | None) -> bool:
        """Whether it monitors this source; dead band and rate may differ."""
        present = self._source
        return source is not None and (source.pv, source.type) == (present.pv, present.type)

    def change(self, source: Source) -> None:
        """Continue with another dead band and rate; a reading held back is delivered now."""
        if (source.deadband, source.max_rate) != (self._source.deadband, self._source.max_rate):
            self._cancel_timer()
            self._release()
            self._throttle.limit(source.deadband, source.max_rate)
        self._source = source

    def check(self) -> None:
        """Detect a subscription that ended on a connected channel, for example because read access was lost."""
        if self._task.done():
            _log.error("%s: %s", self._failed, self._task.exception())
            self.report_disconnected()
            self._task = self._new_task()
        if any(each.state == each.CLOSED for each in self._subscriptions):
            self._lost.set()

    async def close(self) -> None:
        """End the task and all subscriptions; nothing is delivered any more."""
        self._cancel_timer()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def report_disconnected(self) -> None:
        """Report once that the source has disconnected; a value still held back is delivered first."""
        if not self.connected:
            return
        self.connected = False
        self._cancel_timer()
        self._release()
        self._offer(disconnected(self._source.name, time.time()))

    @property
    def _failed(self) -> str:
        return f"observable {self._source.name}: {self._source.pv} cannot be followed"

    def _new_task(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._follow(), name=f"observable {self._source.name}")

    async def _follow(self) -> None:
        while True:
            await self._aioca.connect(self._source.pv, timeout=None)
            self._lost.clear()
            self._have_properties.clear()
            try:
                await self._subscribe()
                await self._lost.wait()
                ended = any(each.state == each.CLOSED for each in self._subscriptions)
            except (self._aioca.CANothing, LookupError) as error:
                _log.warning("%s: %s", self._failed, error)
                ended = True
            finally:
                for subscription in self._subscriptions:
                    subscription.close()
                self._subscriptions.clear()
            self.report_disconnected()
            if ended:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self) -> None:
        aioca, pv = self._aioca, self._source.pv
        self._subscriptions.append(
            aioca.camonitor(
                pv,
                self._on_properties,
                events=aioca.DBE_PROPERTY,
                format=aioca.FORMAT_CTRL,
                count=1,
                notify_disconnect=True,
            )
        )
        # Enum strings must be known before the first value; a source that does not answer is monitored without them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PROPERTIES_SECONDS):
                await self._have_properties.wait()
        info = await aioca.cainfo(pv)
        if info.datatype not in range(7):  # the channel has just disconnected
            raise LookupError("it has no type")
        # an array of characters may be a long text
        text = self._source.type is ValueType.String and info.datatype == aioca.DBR_CHAR
        self._subscriptions.append(
            aioca.camonitor(
                pv,
                self._on_value,
                events=aioca.DBE_VALUE | aioca.DBE_ALARM,
                datatype=aioca.DBR_CHAR_STR if text else None,
                format=aioca.FORMAT_TIME,
                count=0 if text else 1,
                all_updates=True,
                notify_disconnect=True,
            )
        )

    def _on_properties(self, update: Any) -> None:
        if not update.ok:
            self._lost.set()
            return
        properties = to_properties(update)
        self._have_properties.set()
        if properties != self._properties:
            self._properties = properties
            self._tell_properties(self._source.name, properties)

    def _on_value(self, update: Any) -> None:
        if not update.ok:  # aioca reports this after earlier values
            self._lost.set()
            self.report_disconnected()
            return
        self.connected = True
        labels = self._properties.labels if self._properties else ()
        self._offer(to_reading(self._source.name, self._source.type, update, labels))

    def _offer(self, reading: Reading) -> None:
        """Deliver a reading now or, if there is a rate limit, when its time has come."""
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
