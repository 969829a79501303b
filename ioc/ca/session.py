"""Handles the requests of a client: the server's side of the Channel Access protocol on one circuit.

Common requests come as `Request`, the others as caproto's commands (`ioc.ca.wire`). Reads, puts and subscriptions have
no protocol state beyond their channel and are answered directly from a PV's snapshot.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import caproto as ca
from caproto import CAStatus

from ioc.ca.encoding import NoConversion, PutData, encode
from ioc.ca.outbox import Outbox, Subscription
from ioc.ca.pv import EVENTS, Client, Pv, Refused
from ioc.ca.site import Site
from ioc.ca.wire import (
    CLEAR,
    COMMON,
    CREATE,
    ECA_NORMAL,
    EVENT_ADD,
    EVENT_CANCEL,
    NOTHING,
    READ,
    READ_NOTIFY,
    VERSION,
    WRITE,
    WRITE_NOTIFY,
    ProtocolViolation,
    Request,
    access_rights,
    created,
    error,
    found,
    header,
)

_NO_CID = 0xFFFFFFFF
_ECHO = bytes(ca.EchoResponse())
_TEXT_LENGTH = 1000
_ACKNOWLEDGEMENTS = (ca.ChannelType.PUT_ACKT, ca.ChannelType.PUT_ACKS)
_HOLD_SECONDS = 0.1
"""How long a read waits for a put of the same client to the same PV, so that ``caput`` shows the new value."""
_HELD_READS = 10


class _RequestFailed(Exception):
    """A request is answered with an error."""

    def __init__(self, status: CAStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(eq=False, slots=True)
class _Channel:
    """A client's connection to one PV or field."""

    cid: int
    """The client's id of the channel."""
    sid: int
    """Ours."""
    pv: Pv[Any]
    writable: bool
    """Access rights last sent to the client."""
    open: bool = True
    subscriptions: set[int] | None = None
    """None is quicker to make: most clients read once, and clients connect to thousands of PVs at once."""
    unfinished_puts: int = 0
    held_reads: list[Request] | None = None
    """Reads that arrived during a put of the same client."""


class Session:
    """Channels and subscriptions of one client. `host` is the address of its connection."""

    def __init__(self, site: Site, protocol: ca.VirtualCircuit, outbox: Outbox, host: str) -> None:
        self._site = site
        self._protocol = protocol
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        """Kept, because asking for it is a system call."""
        self._channels: dict[int, _Channel] = {}
        self._cids: set[int] = set()
        self._sids = count()
        self._subscriptions: dict[int, Subscription] = {}
        self._unfinished_puts = 0
        self.client = Client(host=host)
        self.spoken = False
        """The client has sent its protocol version."""
        self._common: dict[int, Callable[[Request], None]] = {
            CREATE: self._create,
            READ_NOTIFY: self._read,
            READ: self._read,
            WRITE_NOTIFY: self._write,
            WRITE: self._write,
            EVENT_ADD: self._event_add,
            EVENT_CANCEL: self._event_cancel,
            CLEAR: self._clear,
        }
        self._rare: dict[type, Callable[[Any], None]] = {
            ca.VersionRequest: self._version,
            ca.EchoRequest: lambda _: self._outbox.put(_ECHO),
            ca.ClientNameRequest: self._client_name,
            ca.HostNameRequest: lambda _: None,  # only the address of the connection counts
            ca.SearchRequest: self._search,
            ca.EventsOffRequest: lambda _: self._outbox.events_off(),
            ca.EventsOnRequest: lambda _: self._outbox.events_on(),
            ca.ReadSyncRequest: lambda _: None,  # nothing to do since version 3.13
        }

    @property
    def channels(self) -> int:
        return len(self._channels)

    def handle(self, request: Request | Any) -> None:
        """Handle a request; answers go to the outbox.

        Raises:
            ProtocolViolation: the circuit must be closed.
        """
        if not self.spoken:
            self._check_first(request)
        if type(request) is not Request:
            self._handle_rare(request)
            return
        try:
            self._common[request.command](request)
        except _RequestFailed as failure:
            self._fail(request, failure.status, str(failure))

    def _handle_rare(self, request: Any) -> None:
        handler = self._rare.get(type(request))
        if handler is None:
            raise ProtocolViolation(f"sent {type(request).__name__}, which is not a request to a server")
        try:
            handler(request)
        except ca.RemoteProtocolError as violation:
            raise ProtocolViolation(str(violation)) from None

    def _check_first(self, request: Request | Any) -> None:
        kind = COMMON[request.command][0] if isinstance(request, Request) else type(request)
        if kind is not ca.VersionRequest:
            raise ProtocolViolation(f"began with {kind.__name__} instead of its version")

    def close(self) -> None:
        """Forget all channels; puts that are under way continue."""
        for channel in list(self._channels.values()):
            self._forget(channel)

    def disconnect(self, pvs: Collection[Pv[Any]]) -> None:
        """Notify the client that these PVs are gone."""
        for channel in [channel for channel in self._channels.values() if channel.pv.source in pvs]:
            self._forget(channel)
            self._outbox.put(bytes(ca.ServerDisconnResponse(channel.cid)))

    def refresh_access(self) -> None:
        """Notify the client of changed access rights."""
        for channel in self._channels.values():
            if channel.writable != (writable := self._site.writable(channel.pv, self.client)):
                channel.writable = writable
                self._outbox.put(access_rights(channel.cid, writable))

    def _channel(self, request: Request) -> _Channel:
        """The channel of a request, by our id."""
        channel = self._channels.get(request.one)
        if channel is None:  # the PV may just have been removed
            raise _RequestFailed(CAStatus.ECA_BADCHID, "the channel no longer exists")
        return channel

    def _fail(self, request: Request, status: CAStatus, text: str) -> None:
        """Answer that a request failed: its callback first, because CAJ (Phoebus) passes on nothing else."""
        code = status.value.code_with_severity
        channel = self._channels.get(request.one)
        answer = b""
        if channel is None:
            pass  # a client that closed the channel has also forgotten the request
        elif request.command == WRITE_NOTIFY:
            answer = header(WRITE_NOTIFY, 0, request.data_type, request.elements, code, request.two)
        elif request.command == READ_NOTIFY:
            answer = header(READ_NOTIFY, len(NOTHING), request.data_type, 0, code, request.two) + NOTHING
        reason = text.encode("utf-8", "replace")[:_TEXT_LENGTH].decode("utf-8", "ignore")
        self._outbox.put(answer + error(request, _NO_CID if channel is None else channel.cid, code, reason))

    def _version(self, request: ca.VersionRequest) -> None:
        """The first introduces the client; libca sends more with its searches (EPICS_CA_NAME_SERVERS), as on UDP.

        These have a sequence number that is valid if the lowest bit of what is the priority elsewhere is set, and want
        no answer of their own.
        """
        if not self.spoken:
            self._protocol.process_command(request)
            self._outbox.put(bytes(ca.VersionResponse(VERSION)))
            self.spoken = True

    def _client_name(self, request: ca.ClientNameRequest) -> None:
        self.client = Client.reported(request.name, self.client.host)
        self.refresh_access()

    def _search(self, request: ca.SearchRequest) -> None:
        if self._site.namespace.find(request.name) is not None:
            self._outbox.put(found(self._site.port, request.cid))
        elif request.reply == ca.DO_REPLY:
            self._outbox.put(bytes(ca.NotFoundResponse(VERSION, request.cid)))

    def _create(self, request: Request) -> None:
        pv, cid = self._site.namespace.find(request.name), request.one
        limits, client = self._site.limits, self.client
        full = len(self._channels) >= limits.channels_per_client or self._site.channels >= limits.channels
        if full:
            self._site.complaints.log(
                f"channels {client.host}",
                f"client {client.user}@{client.host} has {len(self._channels)} channels, all clients together "
                f"{self._site.channels}: no more are allowed",
            )
        if pv is None or full:
            self._outbox.put(bytes(ca.CreateChFailResponse(cid)))
            return
        if cid in self._cids:
            raise ProtocolViolation(f"created a second channel with its id {cid}")
        self._cids.add(cid)
        channel = _Channel(cid, next(self._sids), pv, self._site.writable(pv, client))
        self._channels[channel.sid] = channel
        self._site.channels += 1
        self._outbox.put(access_rights(cid, channel.writable) + created(cid, channel.sid, pv.native, pv.max_count))

    def _clear(self, request: Request) -> None:
        channel = self._channels.get(request.one)
        if channel is not None and channel.cid == request.two:
            self._forget(channel)
            self._outbox.put(header(CLEAR, 0, 0, 0, channel.sid, channel.cid))

    def _forget(self, channel: _Channel) -> None:
        for identifier in channel.subscriptions or ():
            self._subscriptions.pop(identifier).cancel()
        del self._channels[channel.sid]
        self._cids.discard(channel.cid)
        channel.open = False
        self._site.channels -= 1

    def _read(self, request: Request) -> None:
        channel = self._channel(request)
        held = channel.held_reads or []
        if channel.unfinished_puts and channel.pv.serial and len(held) < _HELD_READS:
            if not held:
                self._loop.call_soon(self._limit_hold, channel)  # most puts have ended by then
            channel.held_reads = [*held, request]
        else:
            self._answer_read(channel, request)

    def _limit_hold(self, channel: _Channel) -> None:
        if channel.held_reads:
            self._loop.call_later(_HOLD_SECONDS, self._release_reads, channel)

    def _release_reads(self, channel: _Channel) -> None:
        held, channel.held_reads = channel.held_reads, None
        for request in (held or ()) if channel.open else ():
            try:
                self._answer_read(channel, request)
            except _RequestFailed as failure:
                self._fail(request, failure.status, str(failure))

    def _answer_read(self, channel: _Channel, request: Request) -> None:
        payload, count = _encoded(channel.pv, request)
        command, data_type = request.command, request.data_type
        first = ECA_NORMAL if command == READ_NOTIFY else channel.cid
        self._outbox.put(header(command, len(payload), data_type, count, first, request.two) + payload)

    def _write(self, request: Request) -> None:
        channel = self._channel(request)
        if request.data_type in _ACKNOWLEDGEMENTS:
            self._acknowledge(channel, request)
            return
        pv, client = channel.pv.source, self.client
        data, wrong = None, ""
        try:
            data = PutData.decode(request.data_type, request.elements, request.payload)
        except Refused as refusal:
            wrong = f"{pv.name}: {refusal}"
        handler = pv.on_put if channel.pv.on_put is not None else None
        if handler is None:
            status, result, reason = CAStatus.ECA_NOWTACCESS, "denied", f"{pv.name} is read only"
        elif not self._site.writable(pv, client):
            status, result = CAStatus.ECA_NOWTACCESS, "denied"
            reason = f"{client.user or '?'}@{client.host} may not write {pv.name}"
        elif data is None:
            status, result, reason = CAStatus.ECA_PUTFAIL, "refused", wrong
        elif self._unfinished_puts >= self._site.limits.unfinished_puts:
            status, result = CAStatus.ECA_PUTFAIL, "refused"
            reason = f"{self._unfinished_puts} earlier puts of this client are not finished: it must wait for them"
        else:
            self._unfinished_puts += 1
            channel.unfinished_puts += 1
            self._site.puts.start(pv, handler, data, client, partial(self._put_ended, request, channel))
            return
        new = "" if data is None else pv.written(data)
        self._site.puts.journal.note(pv.name, pv.label(pv.value), new, client, result, reason)
        raise _RequestFailed(status, reason)

    def _put_ended(self, request: Request, channel: _Channel, reason: str) -> None:
        self._unfinished_puts -= 1
        channel.unfinished_puts -= 1
        if not channel.open:
            return
        last = not self._unfinished_puts
        if last:
            self._outbox.hold()
        if reason:
            self._fail(request, CAStatus.ECA_PUTFAIL, reason)
        else:
            self._done(request)
        if not channel.unfinished_puts and channel.held_reads:
            self._release_reads(channel)
        if last:
            self._outbox.flush()  # the client probably waits for it

    def _done(self, request: Request) -> None:
        if request.command == WRITE_NOTIFY:
            self._outbox.put(header(WRITE_NOTIFY, 0, request.data_type, request.elements, ECA_NORMAL, request.two))

    def _acknowledge(self, channel: _Channel, request: Request) -> None:
        """A put of DBR_PUT_ACKS or DBR_PUT_ACKT, which changes no value: also allowed for read-only PVs."""
        pv, client, number = channel.pv.record, self.client, int.from_bytes(request.payload[:2])
        severity = request.data_type == ca.ChannelType.PUT_ACKS
        old = int(pv.unacknowledged if severity else pv.keeps_transient_alarms)
        denied = ""
        if not self._site.may_write(pv.name, client.host, client.user):
            denied = f"{client.user or '?'}@{client.host} may not acknowledge alarms of {pv.name}"
        name = f"{pv.name}.{'ACKS' if severity else 'ACKT'}"
        self._site.puts.journal.note(name, str(old), str(number), client, "denied" if denied else "ok", denied)
        if denied:
            raise _RequestFailed(CAStatus.ECA_NOWTACCESS, denied)
        if severity:
            pv.acknowledge(number)
        else:
            pv.keep_transient_alarms(bool(number))
        self._done(request)

    def _event_add(self, request: Request) -> None:
        channel, most = self._channel(request), self._site.limits.channels_per_client
        identifier, mask = request.two, request.mask & EVENTS
        if not mask:
            raise _RequestFailed(CAStatus.ECA_BADMASK, "the event mask is empty")
        if identifier in self._subscriptions:
            raise _RequestFailed(CAStatus.ECA_BADMONID, "this subscription id is in use")
        if len(self._subscriptions) >= most:
            text, client = f"a client may have {most} subscriptions", self.client
            self._site.complaints.log(f"subscriptions {client.host}", f"{client.user}@{client.host}: {text}")
            raise _RequestFailed(CAStatus.ECA_ALLOCMEM, text)
        _encoded(channel.pv, request)
        subscription = Subscription(self._outbox, channel.pv, identifier, request.data_type, request.elements, mask)
        self._subscriptions[identifier] = subscription
        channel.subscriptions = channel.subscriptions or set()
        channel.subscriptions.add(identifier)
        subscription.start()

    def _event_cancel(self, request: Request) -> None:
        channel, identifier = self._channels.get(request.one), request.two
        if channel is not None and channel.subscriptions and identifier in channel.subscriptions:
            channel.subscriptions.discard(identifier)
            ended = self._subscriptions.pop(identifier)
            ended.cancel()
            self._outbox.put(header(EVENT_ADD, 0, ended.data_type, ended.count, channel.cid, identifier))


def _encoded(pv: Pv[Any], request: Request) -> tuple[bytes, int]:
    """Payload and count for a request."""
    if request.elements > pv.max_count:
        raise _RequestFailed(CAStatus.ECA_BADCOUNT, f"{pv.name} has at most {pv.max_count} elements")
    try:
        return encode(pv, pv.snapshot, request.data_type, request.elements)
    except NoConversion as problem:
        raise _RequestFailed(CAStatus.ECA_NOCONVERT, str(problem)) from None
