# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Monitors one PV of another IOC by Channel Access."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ioc.model import Reading, ValueType
from ioc.observables.monitor import Monitor, Source
from ioc.observables.reading import PropertiesListener, to_properties, to_reading

_log = logging.getLogger(__name__)

_PROPERTIES_SECONDS = 5.0
_RETRY_SECONDS = 5.0


class ChannelMonitor(Monitor):
    """Each connection gets new subscriptions: after a reconnection the PV may have another type."""

    def __init__(
        self,
        aioca: Any,
        source: Source,
        deliver: Callable[[Reading], None],
        tell_properties: PropertiesListener,
    ) -> None:
        """`aioca` is the module."""
        super().__init__(source, deliver, tell_properties)
        self._aioca = aioca
        self._have_properties = asyncio.Event()
        self._lost = asyncio.Event()
        self._subscriptions: list[Any] = []
        self._task = self._new_task()

    def check(self) -> None:
        """Detect a subscription that ended on a connected channel, for example because read access was lost."""
        if self._task.done():
            _log.error("%s: %s", self.failed, self._task.exception())
            self.report_disconnected()
            self._task = self._new_task()
        if any(each.state == each.CLOSED for each in self._subscriptions):
            self._lost.set()

    async def _unsubscribe(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _new_task(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._follow(), name=f"observable {self.source.name}")

    async def _follow(self) -> None:
        while True:
            await self._aioca.connect(self.source.pv, timeout=None)
            self._lost.clear()
            self._have_properties.clear()
            try:
                await self._subscribe()
                await self._lost.wait()
                ended = any(each.state == each.CLOSED for each in self._subscriptions)
            except (self._aioca.CANothing, LookupError) as error:
                _log.warning("%s: %s", self.failed, error)
                ended = True
            finally:
                for subscription in self._subscriptions:
                    subscription.close()
                self._subscriptions.clear()
            self.report_disconnected()
            if ended:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self) -> None:
        aioca, pv = self._aioca, self.source.pv
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
        text = self.source.type is ValueType.String and info.datatype == aioca.DBR_CHAR
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
        self._have_properties.set()
        self.take_properties(to_properties(update))

    def _on_value(self, update: Any) -> None:
        if not update.ok:  # aioca reports this after earlier values
            self._lost.set()
            self.report_disconnected()
            return
        labels = self.properties.labels if self.properties else ()
        self.take(to_reading(self.source.name, self.source.type, update, labels))
