# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One set of Channel Access subscriptions for all viewers. Nothing in here can put.

The type in which a PV is wanted is asked for, and the server converts: an enum comes as its label. libca subscribes
again by itself when the IOC is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import aioca
from epicscorelibs.ca import cadef
from epicscorelibs.ca.dbr import DBR_CHAR_STR, DBR_DOUBLE, DBR_STRING

from ioc.web.channels import Channel, Kind, Layout
from ioc.web.live import Live
from ioc.web.shown import shown

_TYPES: dict[Kind, Any] = {
    Kind.Text: DBR_CHAR_STR,
    Kind.Log: DBR_CHAR_STR,
    Kind.Word: DBR_STRING,
    Kind.Number: DBR_DOUBLE,
    Kind.History: DBR_DOUBLE,
}
_ONE = (Kind.Word, Kind.Number)
"""Kinds of one element."""
_WITH_UNITS = ("Obs:", "Interlock:")
"""PVs whose units may come from the source of an observable."""
_CHECK_SECONDS = 5.0


@cadef.exception_handler
def _on_exception(details: Any) -> None:
    """Ignore what libca would print to stderr: that a server is gone is on the page."""


class Monitors:
    """Follows the PVs of a layout for a `Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._prefix = ""
        self._channels: dict[str, Channel] = {}
        self._subscriptions: dict[str, Sequence[Any]] = {}
        self._last: dict[str, tuple[Any, int, float]] = {}
        aioca.get_channel_infos()  # creates the context for the handler
        cadef.ca_add_exception_event(_on_exception, None)

    def follow(self, layout: Layout) -> None:
        """Subscribe to the PVs of this layout instead of those before."""
        gone = [
            key
            for key, channel in self._channels.items()
            if self._prefix != layout.prefix or _asked(layout.channels.get(key)) != _asked(channel)
        ]
        for key in gone:
            self._close(key)
        self._prefix = layout.prefix
        for key, channel in layout.channels.items():
            if key not in self._subscriptions:
                self._open(channel)

    async def check(self) -> None:
        """Subscribe again where a subscription has ended by an error, until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for key, subscriptions in list(self._subscriptions.items()):
                if any(each.state == each.CLOSED for each in subscriptions):
                    channel = self._channels[key]
                    self._close(key)
                    self._live.lose(key)
                    self._open(channel)

    def close(self) -> None:
        for key in list(self._subscriptions):
            self._close(key)

    def _open(self, channel: Channel) -> None:
        self._channels[channel.key] = channel
        pv = f"{self._prefix}{channel.key}"
        opened = [
            aioca.camonitor(
                pv,
                partial(self._on_value, channel.key),
                datatype=_TYPES[channel.kind],
                format=aioca.FORMAT_TIME,
                count=1 if channel.kind in _ONE else 0,
                notify_disconnect=True,
            )
        ]
        if channel.kind is Kind.Number and channel.key.startswith(_WITH_UNITS) and not channel.units:
            opened.append(
                aioca.camonitor(
                    pv,
                    partial(self._on_properties, channel.key),
                    events=aioca.DBE_PROPERTY,
                    datatype=DBR_DOUBLE,
                    format=aioca.FORMAT_CTRL,
                    count=1,
                )
            )
        self._subscriptions[channel.key] = opened

    def _close(self, key: str) -> None:
        for subscription in self._subscriptions.pop(key, ()):
            subscription.close()
        self._channels.pop(key, None)
        self._last.pop(key, None)

    def _on_value(self, key: str, update: Any) -> None:
        if not update.ok:
            self._live.lose(key)
            return
        self._last[key] = update, int(update.severity), float(update.timestamp)
        self._live.take(key, shown(self._channels[key], *self._last[key]))

    def _on_properties(self, key: str, update: Any) -> None:
        units = str(update.units)
        if units == self._channels[key].units:
            return
        self._channels[key] = replace(self._channels[key], units=units)
        if key in self._last:
            self._live.take(key, shown(self._channels[key], *self._last[key]))


def _asked(channel: Channel | None) -> object:
    """What a subscription depends on; units from the PV do not count."""
    return channel and (channel.kind, channel.absent)
