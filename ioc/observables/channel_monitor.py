# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One PV of another IOC, followed through its disconnections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from ioc.model import Reading, ValueType
from ioc.observables.reading import Properties, PropertiesListener, disconnected, to_properties, to_reading
from ioc.observables.throttle import Throttle
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_PROPERTIES_SECONDS = 5.0
_RETRY_SECONDS = 5.0


class ChannelMonitor:
    """Follows the PV of one observable until it is closed; lives on the event loop of aioca.

    Each connection gets new subscriptions: after a reconnection the PV may have another type.
    """

    def __init__(
        self,
        aioca: Any,
        observable: Observable,
        deliver: Callable[[Reading], None],
        tell_properties: PropertiesListener,
    ) -> None:
        """`aioca` is the module; `deliver` takes each reading that the throttle lets through."""
        self.observable = observable
        self.received = 0
        """Updates since the start."""
        self.connected = False
        """Whether readings come, or would if the PV changed."""
        self._aioca = aioca
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._tell_properties = tell_properties
        self._throttle = Throttle(observable.deadband, observable.max_rate)
        self._properties: Properties | None = None
        self._have_properties = asyncio.Event()
        self._lost = asyncio.Event()
        self._subscriptions: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task = self._new_task()

    def follows(self, observable: Observable | None) -> bool:
        """Whether this is what `observable` follows; dead band and rate may differ."""
        present = self.observable
        return observable is not None and (observable.pv, observable.type) == (present.pv, present.type)

    def change(self, observable: Observable) -> None:
        """Continue with another dead band and rate; a reading that was held back is delivered now."""
        if (observable.deadband, observable.max_rate) != (self.observable.deadband, self.observable.max_rate):
            self._cancel_timer()
            self._release()
            self._throttle.limit(observable.deadband, observable.max_rate)
        self.observable = observable

    def check(self) -> None:
        """Notice a subscription that ended although the channel is connected, as when read access is lost."""
        if self._task.done():
            _log.error("%s: %s", self._failed, self._task.exception())
            self.went_away()
            self._task = self._new_task()
        if any(each.state == each.CLOSED for each in self._subscriptions):
            self._lost.set()

    async def close(self) -> None:
        """End the task and all subscriptions; nothing is delivered any more."""
        self._cancel_timer()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def went_away(self) -> None:
        """Report once that the source is gone; a value that was still held back is older and goes first."""
        if not self.connected:
            return
        self.connected = False
        self._cancel_timer()
        self._release()
        self._offer(disconnected(self.observable.name, time.time()))

    @property
    def _failed(self) -> str:
        return f"observable {self.observable.name}: {self.observable.pv} cannot be followed"

    def _new_task(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._follow(), name=f"observable {self.observable.name}")

    async def _follow(self) -> None:
        while True:
            await self._aioca.connect(self.observable.pv, timeout=None)
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
            self.went_away()
            if ended:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self) -> None:
        aioca, pv = self._aioca, self.observable.pv
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
        # Enum strings must be known before the first value; a source without an answer is followed all the same.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PROPERTIES_SECONDS):
                await self._have_properties.wait()
        info = await aioca.cainfo(pv)
        if info.datatype not in range(7):  # the channel was just lost
            raise LookupError("it has no type")
        # An array of characters may be a long text.
        text = self.observable.type is ValueType.String and info.datatype == aioca.DBR_CHAR
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
            self._tell_properties(self.observable.name, properties)

    def _on_value(self, update: Any) -> None:
        if not update.ok:  # aioca reports this after the values that came before
            self._lost.set()
            self.went_away()
            return
        self.connected = True
        self.received += 1
        labels = self._properties.labels if self._properties else ()
        self._offer(to_reading(self.observable.name, self.observable.type, update, labels))

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
