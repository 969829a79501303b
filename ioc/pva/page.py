"""A table or a structure that exists by PVAccess only.

It is read while clients are connected to it, at most twice a second, and posted if it has changed; without clients it
costs nothing. What it shows is a table (NTTable), or, if it is a *record*, the only row of one as a structure of its
own, posted as a whole: its fields change together. Its fields can change with a reload; the clients are then
disconnected and find the new ones.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from p4p import Type
from p4p.server.raw import ServOpWrap, SharedPV

from ioc.ca.site import Site
from ioc.pva.mirror import client_of
from ioc.pva.structures import Content, fields_of, page_type, page_value

_log = logging.getLogger(__name__)

_SECONDS = 0.5
_BAD_SECONDS = 10.0
"""Until the next attempt after an error that nobody expected."""


class View(Protocol):
    """What a page shows."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def is_record(self) -> bool:
        """It has one row, and is read when `Page.refresh` is called instead of twice a second."""
        ...

    @property
    def read(self) -> Callable[[], Awaitable[Content]]: ...


class Page:
    """Serves a view while PVAccess clients are connected to it.

    The four methods in mixed case are called by p4p in threads of pvxs, everything else belongs to the event loop.
    """

    def __init__(self, view: View, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._view = view
        self._site = site
        self._loop = loop
        self._connected = False
        """Whether it has clients; set by pvxs, and so ahead of what waits in the event loop."""
        self._closed = False
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._shown: Content | None = None
        self._fields: tuple[tuple[str, str], ...] = ()
        self._type: Type | None = None
        """The structure that `_fields` have: pvxs takes values of the very type with which it was opened."""
        self.shared = SharedPV(handler=self)
        """What pvxs serves; closed, so that clients wait, until it was read."""

    def onFirstConnect(self, _: SharedPV) -> None:  # noqa: N802 - the name is p4p's
        self._connected = True
        self._soon(self._begin)

    def onLastDisconnect(self, _: SharedPV) -> None:  # noqa: N802
        self._connected = False
        self._soon(self._leave)

    def put(self, _: SharedPV, operation: ServOpWrap) -> None:
        self._soon(self._refuse, operation)

    def rpc(self, _: SharedPV, operation: Any) -> None:
        operation.done(error=f"{self._view.name} does not support remote procedure calls")

    def refresh(self) -> None:
        """Read a record again; called when it may have changed."""
        self._news.set()

    async def close(self) -> None:
        """Disconnect all clients for good."""
        reading, self._closed = self._reading, True
        self._stop()
        if reading is not None:
            await asyncio.wait([reading])
        self.shared.close(destroy=True)

    def _soon(self, do: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and so will the server
            self._loop.call_soon_threadsafe(do, *args)

    def _begin(self) -> None:
        if self._reading is None and self._connected and not self._closed:
            self._reading = self._loop.create_task(self._read(), name=f"read {self._view.name}")

    def _leave(self) -> None:
        if not self._connected:  # else a new client came after the last one had left
            self._stop()
            self._disconnect()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading, self._shown = None, None

    def _disconnect(self) -> None:
        """Let the clients connect again; those that wait for the first value are not disturbed."""
        if self.shared.isOpen():
            self.shared.close()

    def _refuse(self, operation: ServOpWrap) -> None:
        reason = f"{self._view.name} is read only"
        self._site.puts.journal.note(self._view.name, "", "", client_of(operation), "denied", reason)
        operation.done(error=reason)

    async def _read(self) -> None:
        while True:
            self._news.clear()
            pause = _SECONDS
            try:
                self._show(await self._view.read())
            except Exception:  # the next one may be right again
                _log.exception("%s cannot be shown", self._view.name)
                pause = _BAD_SECONDS
            if self._view.is_record and pause == _SECONDS:
                await self._news.wait()
            else:
                await asyncio.sleep(pause)

    def _show(self, content: Content) -> None:
        if content is self._shown or content == self._shown:
            return
        fields, record = fields_of(content), self._view.is_record
        if fields != self._fields or self._type is None:
            self._fields, self._type = fields, page_type(fields, record=record)
            self._disconnect()
        value = page_value(self._type, content, self._view.description, record=record, at=time.time())
        if self.shared.isOpen():
            self.shared.post(value)
        else:
            self.shared.open(value)
        self._shown = content
