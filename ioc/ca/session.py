"""What each request of a client does: the server's half of the Channel Access conversation on one circuit.

The life of circuit and channels is checked by caproto's `VirtualCircuit`. Reads, puts and subscriptions have no state
in the protocol beyond their channel; they are answered straight from a PV's snapshot.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false, reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import caproto as ca
from caproto import CAStatus

from ioc.ca.channel import Channel
from ioc.ca.dbr import NoConversion, encode
from ioc.ca.outbox import ECA_NORMAL, Outbox, Subscription, header
from ioc.ca.putdata import PutData
from ioc.ca.puts import Put
from ioc.ca.pv import EVENTS, Pv
from ioc.ca.site import Site
from ioc.errors import Refused
from ioc.model import Client

VERSION = 13
_NO_CID = 0xFFFFFFFF
_READ, _READ_NOTIFY, _WRITE_NOTIFY, _EVENT_ADD = 3, 15, 19, 1
_ECHO = bytes(ca.EchoResponse())
_HOLD_SECONDS = 0.1
"""So long a read waits for a put of the same client to the same PV, so that ``caput`` shows the new value."""
_HELD_READS = 10
_NAME_LENGTH = 100
_TEXT_LENGTH = 1000


class ProtocolViolation(Exception):
    """The client said something that ends the conversation."""


class Session:
    """Channels and subscriptions of one client. `host` is the address of its connection."""

    def __init__(self, site: Site, protocol: ca.VirtualCircuit, outbox: Outbox, host: str) -> None:
        self._site = site
        self._protocol = protocol
        self._outbox = outbox
        self._host = host
        self._user = ""
        self._channels: dict[int, Channel] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._unfinished = 0
        self.spoken = False
        """The client has introduced itself as one that speaks Channel Access."""
        self._handlers: dict[type, Callable[[Any], None]] = {
            ca.VersionRequest: self._version,
            ca.EchoRequest: lambda _: self._outbox.put(_ECHO),
            ca.ClientNameRequest: self._client_name,
            ca.HostNameRequest: lambda _: None,  # only the address of the connection counts
            ca.SearchRequest: self._search,
            ca.CreateChanRequest: self._create,
            ca.ClearChannelRequest: self._clear,
            ca.ReadNotifyRequest: self._read,
            ca.ReadRequest: self._read,
            ca.WriteNotifyRequest: self._write,
            ca.WriteRequest: self._write,
            ca.EventAddRequest: self._event_add,
            ca.EventCancelRequest: self._event_cancel,
            ca.EventsOffRequest: lambda _: self._outbox.events_off(),
            ca.EventsOnRequest: lambda _: self._outbox.events_on(),
            ca.ReadSyncRequest: lambda _: None,  # nothing to do since version 3.13
        }

    @property
    def client(self) -> Client:
        return Client(self._user, self._host)

    @property
    def channels(self) -> int:
        return len(self._channels)

    def handle(self, request: Any) -> None:
        """Do what a request asks for; answers go to the outbox.

        Raises:
            ProtocolViolation: the circuit must be closed.
        """
        handler = self._handlers.get(type(request))
        if handler is None:
            raise ProtocolViolation(f"sent {type(request).__name__}, which is no request to a server")
        if not self.spoken and not isinstance(request, ca.VersionRequest):
            raise ProtocolViolation(f"began with {type(request).__name__} instead of its version")
        try:
            handler(request)
        except ca.RemoteProtocolError as error:
            raise ProtocolViolation(str(error)) from None

    def close(self) -> None:
        """Forget all channels; puts that are under way go on."""
        for subscription in self._subscriptions.values():
            subscription.cancel()
        self._subscriptions.clear()
        self._site.channels -= len(self._channels)
        self._channels.clear()

    def disconnect(self, pvs: Iterable[Pv[Any]]) -> None:
        """Tell the client that these PVs are gone."""
        gone = set(pvs)
        for channel in [channel for channel in self._channels.values() if channel.pv in gone]:
            self._forget(channel)
            self._send(ca.ServerDisconnResponse(channel.cid))

    def refresh_access(self) -> None:
        """Tell the client where its right to write has changed."""
        for channel in self._channels.values():
            if channel.writable != (writable := self._may_write(channel.pv)):
                channel.writable = writable
                self._send(ca.AccessRightsResponse(channel.cid, _rights(writable)))

    def _send(self, *responses: Any) -> None:
        self._outbox.put(b"".join(bytes(buffer) for buffer in self._protocol.send(*responses)))

    def _error(self, request: Any, cid: int, status: CAStatus, text: str) -> None:
        message = text[:_TEXT_LENGTH]
        self._outbox.put(bytes(ca.ErrorResponse(request, cid, status=status, error_message=message)))

    def _may_write(self, pv: Pv[Any]) -> bool:
        return pv.on_put is not None and self._site.may_write(pv.name.partition(".")[0], self._host, self._user)

    def _channel(self, request: Any) -> Channel | None:
        channel = self._channels.get(request.sid)
        if channel is None:  # the PV may just have been removed
            self._error(request, _NO_CID, CAStatus.ECA_BADCHID, "there is no such channel any more")
        return channel

    def _version(self, request: ca.VersionRequest) -> None:
        self._protocol.process_command(request)
        self._send(ca.VersionResponse(VERSION))
        self.spoken = True

    def _client_name(self, request: ca.ClientNameRequest) -> None:
        self._user = "".join(character for character in request.name[:_NAME_LENGTH] if character.isprintable())
        self.refresh_access()

    def _search(self, request: ca.SearchRequest) -> None:
        if self._site.namespace.find(request.name) is not None:
            self._outbox.put(bytes(ca.SearchResponse(self._site.port, None, request.cid, VERSION)))
        elif request.reply == ca.DO_REPLY:
            self._outbox.put(bytes(ca.NotFoundResponse(VERSION, request.cid)))

    def _create(self, request: ca.CreateChanRequest) -> None:
        pv = self._site.namespace.find(request.name)
        limits = self._site.limits
        full = len(self._channels) >= limits.channels_per_client or self._site.channels >= limits.channels
        if full:
            self._site.complaints.log(
                f"channels {self._host}",
                f"client {self._user}@{self._host} has {len(self._channels)} channels, all clients together "
                f"{self._site.channels}: it gets no more",
            )
        if pv is None or full:
            self._outbox.put(bytes(ca.CreateChFailResponse(request.cid)))
            return
        self._protocol.process_command(request)
        sid = self._protocol.new_channel_id()
        channel = Channel(request.cid, sid, pv, writable=self._may_write(pv))
        self._channels[sid] = channel
        self._site.channels += 1
        self._send(
            ca.AccessRightsResponse(channel.cid, _rights(channel.writable)),
            ca.CreateChanResponse(pv.native, pv.max_count, channel.cid, sid),
        )

    def _clear(self, request: ca.ClearChannelRequest) -> None:
        channel = self._channels.get(request.sid)
        if channel is None or channel.cid != request.cid:
            return
        self._protocol.process_command(request)
        self._forget(channel)
        self._send(ca.ClearChannelResponse(channel.sid, channel.cid))

    def _forget(self, channel: Channel) -> None:
        for identifier in channel.subscriptions:
            self._subscriptions.pop(identifier).cancel()
        del self._channels[channel.sid]
        self._site.channels -= 1

    def _read(self, request: Any) -> None:
        channel = self._channel(request)
        if channel is None:
            return
        if channel.unfinished_puts and channel.pv.serial and len(channel.held_reads) < _HELD_READS:
            if not channel.held_reads:
                asyncio.get_running_loop().call_later(_HOLD_SECONDS, self._release_reads, channel)
            channel.held_reads.append(request)
        else:
            self._answer_read(channel, request)

    def _release_reads(self, channel: Channel) -> None:
        held, channel.held_reads = channel.held_reads, []
        if self._channels.get(channel.sid) is channel:
            for request in held:
                self._answer_read(channel, request)

    def _answer_read(self, channel: Channel, request: Any) -> None:
        data_type = request.header.data_type
        encoded = self._encoded(channel, request)
        if encoded is None:
            return
        payload, count = encoded
        if isinstance(request, ca.ReadNotifyRequest):
            head = header(_READ_NOTIFY, len(payload), data_type, count, ECA_NORMAL, request.ioid)
        else:
            head = header(_READ, len(payload), data_type, count, channel.cid, request.ioid)
        self._outbox.put(head + payload)

    def _encoded(self, channel: Channel, request: Any) -> tuple[bytes, int] | None:
        pv, count = channel.pv, request.header.data_count
        if count > pv.max_count:
            self._error(request, channel.cid, CAStatus.ECA_BADCOUNT, f"{pv.name} has at most {pv.max_count} elements")
            return None
        try:
            return encode(pv, pv.snapshot, request.header.data_type, count)
        except NoConversion as error:
            self._error(request, channel.cid, CAStatus.ECA_NOCONVERT, str(error))
            return None

    def _write(self, request: Any) -> None:
        channel = self._channel(request)
        if channel is None:
            return
        pv = channel.pv
        if pv.on_put is None:
            self._error(request, channel.cid, CAStatus.ECA_NOWTACCESS, f"{pv.name} is read only")
            return
        try:
            data = PutData.decode(request.header.data_type, request.header.data_count, bytes(request.buffers[1]))
        except Refused as error:
            self._error(request, channel.cid, CAStatus.ECA_PUTFAIL, f"{pv.name}: {error}")
            return
        put = Put(pv, pv.on_put, data, self.client, lambda reason: self._put_ended(request, channel, reason))
        if not self._may_write(pv):
            put.answer = lambda reason: self._error(request, channel.cid, CAStatus.ECA_NOWTACCESS, reason)
            self._site.puts.deny(put, f"{self._user or '?'}@{self._host} may not write {pv.name}")
        elif self._unfinished >= self._site.limits.unfinished_puts:
            message = f"{self._unfinished} earlier puts of this client are not finished: it must wait for them"
            self._error(request, channel.cid, CAStatus.ECA_PUTFAIL, message)
        else:
            self._unfinished += 1
            channel.unfinished_puts += 1
            self._site.puts.start(put)

    def _put_ended(self, request: Any, channel: Channel, reason: str) -> None:
        self._unfinished -= 1
        channel.unfinished_puts -= 1
        if self._channels.get(channel.sid) is not channel:
            return
        if reason:
            self._error(request, channel.cid, CAStatus.ECA_PUTFAIL, reason)
        elif isinstance(request, ca.WriteNotifyRequest):
            of = request.header
            self._outbox.put(header(_WRITE_NOTIFY, 0, of.data_type, of.data_count, ECA_NORMAL, request.ioid))
        if not channel.unfinished_puts:
            self._release_reads(channel)

    def _event_add(self, request: ca.EventAddRequest) -> None:
        channel = self._channel(request)
        if channel is None:
            return
        if not request.mask & EVENTS:
            self._error(request, channel.cid, CAStatus.ECA_BADMASK, "the event mask is empty")
            return
        if request.subscriptionid in self._subscriptions:
            self._error(request, channel.cid, CAStatus.ECA_BADMONID, "this subscription id is in use")
            return
        if len(self._subscriptions) >= self._site.limits.channels_per_client:
            text = f"a client may have {self._site.limits.channels_per_client} subscriptions"
            self._site.complaints.log(f"subscriptions {self._host}", f"{self._user}@{self._host}: {text}")
            self._error(request, channel.cid, CAStatus.ECA_ALLOCMEM, text)
            return
        if self._encoded(channel, request) is None:
            return
        of = request.header
        subscription = Subscription(
            self._outbox,
            channel.pv,
            identifier=request.subscriptionid,
            data_type=of.data_type,
            count=of.data_count,
            mask=request.mask,
        )
        self._subscriptions[request.subscriptionid] = subscription
        channel.subscriptions.add(request.subscriptionid)
        subscription.start()

    def _event_cancel(self, request: ca.EventCancelRequest) -> None:
        channel = self._channels.get(request.sid)
        if channel is None or request.subscriptionid not in channel.subscriptions:
            return
        channel.subscriptions.discard(request.subscriptionid)
        subscription = self._subscriptions.pop(request.subscriptionid)
        subscription.cancel()
        self._outbox.put(
            header(_EVENT_ADD, 0, subscription.data_type, subscription.count, channel.cid, request.subscriptionid)
        )


def _rights(writable: bool) -> ca.AccessRights:
    return ca.AccessRights.READ | ca.AccessRights.WRITE if writable else ca.AccessRights.READ
