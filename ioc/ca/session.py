"""What each request of a client does: the server's half of the Channel Access conversation on one circuit.

The life of circuit and channels is checked by caproto's `VirtualCircuit`. Subscriptions, reads and puts (`Transfer`)
have no state in the protocol beyond their channel.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import caproto as ca
from caproto import CAStatus

from ioc.ca.channel import Channel
from ioc.ca.outbox import EVENT_ADD, Outbox, Subscription, header
from ioc.ca.pv import EVENTS, Client, Pv
from ioc.ca.site import Site
from ioc.ca.transfer import Transfer, error

VERSION = 13
_NO_CID = 0xFFFFFFFF
_ECHO = bytes(ca.EchoResponse())
_NAME_LENGTH = 100


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
        self._transfer = Transfer(site, outbox, lambda: self.client)
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
            ca.ReadNotifyRequest: self._on_channel(self._transfer.read),
            ca.ReadRequest: self._on_channel(self._transfer.read),
            ca.WriteNotifyRequest: self._on_channel(self._transfer.write),
            ca.WriteRequest: self._on_channel(self._transfer.write),
            ca.EventAddRequest: self._on_channel(self._event_add),
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
        except ca.RemoteProtocolError as violation:
            raise ProtocolViolation(str(violation)) from None

    def close(self) -> None:
        """Forget all channels; puts that are under way go on."""
        for subscription in self._subscriptions.values():
            subscription.cancel()
        self._subscriptions.clear()
        for channel in self._channels.values():
            channel.open = False
        self._site.channels -= len(self._channels)
        self._channels.clear()

    def disconnect(self, pvs: Iterable[Pv[Any]]) -> None:
        """Tell the client that these PVs are gone."""
        gone = set(pvs)
        for channel in [channel for channel in self._channels.values() if channel.pv.source in gone]:
            self._forget(channel)
            self._send(ca.ServerDisconnResponse(channel.cid))

    def refresh_access(self) -> None:
        """Tell the client where its right to write has changed."""
        for channel in self._channels.values():
            if channel.writable != (writable := self._site.writable(channel.pv, self.client)):
                channel.writable = writable
                self._send(ca.AccessRightsResponse(channel.cid, _rights(writable)))

    def _send(self, *responses: Any) -> None:
        self._outbox.put(b"".join(bytes(buffer) for buffer in self._protocol.send(*responses)))

    def _on_channel(self, handler: Callable[[Channel, Any], None]) -> Callable[[Any], None]:
        """A handler of requests that name their channel by our number for it."""

        def handle(request: Any) -> None:
            channel = self._channels.get(request.sid)
            if channel is None:  # the PV may just have been removed
                self._outbox.put(error(request, _NO_CID, CAStatus.ECA_BADCHID, "there is no such channel any more"))
            else:
                handler(channel, request)

        return handle

    def _version(self, request: ca.VersionRequest) -> None:
        """The first introduces the client; libca sends more with its searches (EPICS_CA_NAME_SERVERS), as on UDP.

        These have a sequence number that is valid if the lowest bit of what is the priority elsewhere is set, and want
        no answer of their own.
        """
        if self.spoken:
            return
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
        # The name without filters: caproto would parse them too, and fails on some that are right.
        self._protocol.process_command(ca.CreateChanRequest(pv.name, request.cid, VERSION))
        sid = self._protocol.new_channel_id()
        channel = Channel(request.cid, sid, pv, writable=self._site.writable(pv, self.client))
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
        channel.open = False
        self._site.channels -= 1

    def _event_add(self, channel: Channel, request: ca.EventAddRequest) -> None:
        most = self._site.limits.channels_per_client
        if not request.mask & EVENTS:
            self._outbox.put(error(request, channel.cid, CAStatus.ECA_BADMASK, "the event mask is empty"))
            return
        if request.subscriptionid in self._subscriptions:
            self._outbox.put(error(request, channel.cid, CAStatus.ECA_BADMONID, "this subscription id is in use"))
            return
        if len(self._subscriptions) >= most:
            text = f"a client may have {most} subscriptions"
            self._site.complaints.log(f"subscriptions {self._host}", f"{self._user}@{self._host}: {text}")
            self._outbox.put(error(request, channel.cid, CAStatus.ECA_ALLOCMEM, text))
            return
        if self._transfer.encoded(channel, request) is None:
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
            header(EVENT_ADD, 0, subscription.data_type, subscription.count, channel.cid, request.subscriptionid)
        )


def _rights(writable: bool) -> ca.AccessRights:
    return ca.AccessRights.READ | ca.AccessRights.WRITE if writable else ca.AccessRights.READ
