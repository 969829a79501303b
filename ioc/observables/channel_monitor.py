# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Monitors one PV of another IOC by Channel Access."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import aioca

from ioc.model import Reading, Severity, ValueType
from ioc.observables.monitor import EPICS_EPOCH, STATUSES, Monitor, Properties, PropertiesListener, Source, convert

_PROPERTIES_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_SEVERITIES = tuple(Severity)


class ChannelMonitor(Monitor):
    """Each connection gets new subscriptions: after a reconnection the PV may have another type."""

    def __init__(self, source: Source, deliver: Callable[[Reading], None], tell_properties: PropertiesListener) -> None:
        super().__init__(source, deliver, tell_properties)
        self._have_properties = asyncio.Event()
        self._lost = asyncio.Event()
        self._subscriptions: list[Any] = []
        self._task = asyncio.create_task(self._follow(), name=f"observable {source.name}")

    def check(self) -> None:
        """Detect a subscription that ended on a connected channel, for example because read access was lost."""
        if self._subscription_ended():
            self._lost.set()

    async def _unsubscribe(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _subscription_ended(self) -> bool:
        return any(each.state == each.CLOSED for each in self._subscriptions)

    async def _follow(self) -> None:
        while True:
            try:
                await aioca.connect(self.source.pv, timeout=None)
                self._lost.clear()
                self._have_properties.clear()
                await self._subscribe()
                await self._lost.wait()
                ended = self._subscription_ended()
            except Exception as error:  # whatever it is, it is tried again
                self.complain(str(error))
                ended = True
            finally:
                for subscription in self._subscriptions:
                    subscription.close()
                self._subscriptions.clear()
            self.report_disconnected()
            if ended:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self) -> None:
        pv = self.source.pv
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


def to_properties(update: Any) -> Properties:
    """Read the properties from an update of aioca with control information."""
    return Properties(
        units=str(getattr(update, "units", "")),
        precision=max(0, int(getattr(update, "precision", 0))),
        labels=tuple(str(label) for label in getattr(update, "enums", ())),
    )


def to_reading(name: str, value_type: ValueType, update: Any, labels: Sequence[str]) -> Reading:
    """Turn an update of aioca with a time stamp into a reading; `labels` are the enum strings of the source.

    For an array it is the first element, or NaN if it is empty.
    """
    raw: Any = update
    if update.element_count != 1 and not isinstance(raw, str):  # an array
        raw = update[0] if len(update) else math.nan
    label = ""
    if labels and not isinstance(raw, str) and 0 <= raw < len(labels):
        label = labels[int(raw)]
    status, stamp = update.status, update.timestamp
    return Reading(
        name,
        convert(raw, label, value_type),
        _SEVERITIES[min(update.severity, 3)],
        STATUSES.get(status) or f"STATUS_{status}",
        stamp if stamp > EPICS_EPOCH else time.time(),
        label if value_type is ValueType.Enum else "",
    )
