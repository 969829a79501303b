"""One PV of `ioc.ca` as PVAccess clients see it."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from caproto import ChannelType
from p4p.server.raw import ServOpWrap, SharedPV

from ioc.ca import Client, EnumPv, Pv
from ioc.ca.encoding import PutData, cut
from ioc.ca.pv import EVENTS, Snapshot
from ioc.ca.site import Site
from ioc.pva.structures import value_of

_SHOWN_BYTES = 200
"""Recorded of a put that is too long."""
_NUMBER_BYTES = 8


class Mirror:
    """Subscribes to a PV while PVAccess clients are connected to it, and passes their puts on.

    The four methods in mixed case are called by p4p in threads of pvxs, everything else belongs to the event loop.
    """

    mask = EVENTS
    """Kinds of change that it subscribes to."""

    def __init__(self, pv: Pv[Any], site: Site, unfinished: Counter[str], loop: asyncio.AbstractEventLoop) -> None:
        self.pv = pv
        self._site = site
        self._unfinished = unfinished
        """Puts under way by the address of the client, shared by all mirrors."""
        self._loop = loop
        self._properties: object = None
        """The properties that the clients have."""
        self._connected = False
        """Whether it has clients; set by pvxs, and so ahead of what waits in the event loop."""
        self.shared = SharedPV(handler=self)
        """What pvxs serves; closed, so that clients wait, until `_open`."""

    def onFirstConnect(self, _: SharedPV) -> None:  # noqa: N802 - the name is p4p's
        self._connected = True
        self._soon(self._open)

    def onLastDisconnect(self, _: SharedPV) -> None:  # noqa: N802
        self._connected = False
        self._soon(self._leave)

    def put(self, _: SharedPV, operation: ServOpWrap) -> None:
        data, client = _data(self.pv, operation.value()), client_of(operation)
        self._soon(self._put, operation, data, client)

    def rpc(self, _: SharedPV, operation: Any) -> None:
        operation.done(error=f"{self.pv.name} does not support remote procedure calls: put a value instead")

    def _soon(self, do: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and so will the server
            self._loop.call_soon_threadsafe(do, *args)

    def offer(self, snapshot: Snapshot[Any]) -> None:
        """Pass a change on to all clients."""
        news = self._properties is not self.pv.properties
        self._properties = self.pv.properties
        self.shared.post(value_of(self.pv, snapshot, properties=news))
        self._site.turns.sent_elsewhere()

    def close(self) -> None:
        """Disconnect all clients; the PV does not exist any more."""
        self.pv.unsubscribe(self)
        self.shared.close(destroy=True)

    def _open(self) -> None:
        if self._site.namespace.find(self.pv.name) is not self.pv:  # removed since the client found it
            self.close()
        elif not self.shared.isOpen():
            self._properties = self.pv.properties
            self.shared.open(value_of(self.pv, self.pv.snapshot, properties=True))
            self.pv.subscribe(self)

    def _leave(self) -> None:
        if self._connected:  # a new client came after the last one had left
            return
        self.pv.unsubscribe(self)
        self.shared.close()

    def _put(self, operation: ServOpWrap, data: PutData | None, client: Client) -> None:
        pv, handler = self.pv, self.pv.on_put
        result, reason = "denied", ""
        size, most = _size(data), self._site.limits.request_bytes
        if data is None:
            result, reason = "refused", f"{pv.name}: the put has no value"
        elif size > most:
            result, reason = "refused", f"{pv.name} cannot be set to {size} bytes: a put must have at most {most}"
            data = _beginning(data)
        elif handler is None:
            reason = f"{pv.name} is read only"
        elif not self._site.writable(pv, client):
            reason = f"{client.user or '?'}@{client.host} may not write {pv.name}"
        elif self._unfinished[client.host] >= self._site.limits.unfinished_puts:
            result = "refused"
            reason = f"{self._unfinished[client.host]} earlier puts from {client.host} are not finished: it must wait"
        else:
            self._unfinished[client.host] += 1
            self._site.puts.start(pv, handler, data, client, lambda error: self._ended(operation, client, error))
            return
        self._site.puts.journal.note(
            pv.name, pv.label(pv.value), "" if data is None else pv.written(data), client, result, reason
        )
        operation.done(error=reason)

    def _ended(self, operation: ServOpWrap, client: Client, error: str) -> None:
        self._unfinished[client.host] -= 1
        if not self._unfinished[client.host]:
            del self._unfinished[client.host]
        operation.done(error=error or None)


def client_of(operation: ServOpWrap) -> Client:
    """Return who puts: the account is reported by the client itself, the address is that of its connection."""
    address = operation.peer().rpartition(":")[0].strip("[]")
    account = operation.account().rpartition("/")[2]
    return Client.reported(account, address.removeprefix("::ffff:"))


def _size(data: PutData | None) -> int:
    return sum(len(item) if isinstance(item, bytes) else _NUMBER_BYTES for item in data.items) if data else 0


def _beginning(data: PutData) -> PutData:
    """Return what is recorded of a put that is too long."""
    items = [item[:_SHOWN_BYTES] if isinstance(item, bytes) else item for item in data.items[:_SHOWN_BYTES]]
    text = cut(str(PutData(data.native, tuple(items))), _SHOWN_BYTES)  # pyright: ignore[reportArgumentType]
    return PutData(ChannelType.STRING, (f"{text}…".encode(),))


def _data(pv: Pv[Any], value: Any) -> PutData | None:
    """Return what a client put, as `ioc.ca` takes it; None if it put nothing."""
    field = "value.index" if isinstance(pv, EnumPv) else "value"
    if not value.changed(field):
        return None
    try:
        new = value[field]
    except UnicodeDecodeError as error:  # it is refused like such a text by Channel Access
        return PutData(ChannelType.CHAR, tuple(error.object))
    if isinstance(new, str):
        return PutData(ChannelType.STRING, (new.encode().partition(b"\0")[0],))
    if isinstance(new, (int, float)):
        return PutData(ChannelType.DOUBLE if isinstance(new, float) else ChannelType.LONG, (new,))
    return PutData(ChannelType.STRING, tuple(str(item).encode() for item in new))
