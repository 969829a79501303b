# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One subscription of libca whose updates go into the inbox as they came."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from epicscorelibs.ca import cadef

from ioc.observables.inbox import Inbox
from ioc.observables.layout import Layout
from ioc.observables.thread_state import keep_thread_state

_EVENTS = cadef.DBE_VALUE | cadef.DBE_ALARM


class Monitor:
    """Follows the value of a channel until it is closed; a `Receiver` of the inbox.

    aioca's own subscriptions make a Python object of each update on libca's thread and wake the event loop for it,
    which takes four times as long as to copy the bytes and to read them later, many at a time.
    """

    def __init__(self, channel: Any, layout: Layout, inbox: Inbox, take: Callable[[bytes | None], None]) -> None:
        """Subscribe to `channel` (of an aioca subscription).

        `take` gets the bytes of each update, or None when there are no more: `broken` tells whether libca said so.

        Raises:
            CAException: libca refused, as for a channel that was closed.
        """
        self.closed = False
        self.broken = False
        """libca sends no updates although the channel may be connected: read access was lost."""
        self.take = take
        self.layout = layout
        self.inbox = inbox
        self._id = ctypes.c_void_p()
        cadef.ca_create_subscription(
            layout.code, layout.count, channel, _EVENTS, _on_event, ctypes.py_object(self), ctypes.byref(self._id)
        )
        cadef.ca_flush_io()

    def end(self) -> None:
        """Let `take` know that there are no more, after what came before."""
        self.inbox.put(self, None)

    def close(self) -> None:
        """Take no more. libca calls back no more when this returns, so it needs this object no longer."""
        if not self.closed:
            self.closed = True
            cadef.ca_clear_subscription(self._id)
            cadef.ca_flush_io()


@cadef.event_handler
def _on_event(args: Any) -> None:
    """Put the bytes of an update into the inbox: they are libca's own, and change when this returns."""
    keep_thread_state()
    monitor: Monitor = args.usr
    if args.status == cadef.ECA_NORMAL:
        monitor.inbox.put(monitor, ctypes.string_at(args.raw_dbr, monitor.layout.bytes_of(args.count)))
    else:
        monitor.broken = True
        monitor.inbox.put(monitor, None)
