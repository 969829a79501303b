"""Reads and puts of one client, answered straight from a PV's snapshot."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import caproto as ca
from caproto import CAStatus

from ioc.ca.channel import Channel
from ioc.ca.dbr import NoConversion, encode
from ioc.ca.errors import Refused
from ioc.ca.outbox import ECA_NORMAL, Outbox, header
from ioc.ca.putdata import PutData
from ioc.ca.puts import Put
from ioc.ca.pv import Client
from ioc.ca.site import Site

_READ, _READ_NOTIFY, _WRITE_NOTIFY = 3, 15, 19
_ACKNOWLEDGEMENTS = (ca.ChannelType.PUT_ACKT, ca.ChannelType.PUT_ACKS)
_HOLD_SECONDS = 0.1
"""So long a read waits for a put of the same client to the same PV, so that ``caput`` shows the new value."""
_HELD_READS = 10
_TEXT_LENGTH = 1000
_NOTHING = bytes(432)
"""The payload of a failed read: caproto's client looks for the metadata of the type, of which no more has any."""


def error(request: Any, cid: int, status: CAStatus, text: str) -> bytes:
    """The answer to a request that cannot be met; `cid` is the client's number of its channel."""
    reason = text.encode("utf-8", "replace")[:_TEXT_LENGTH].decode("utf-8", "ignore") + "\0"
    return bytes(ca.ErrorResponse(request, cid, status=status, error_message=reason))


def failure(request: Any, status: CAStatus) -> bytes:
    """What goes before the error if the request has a callback: CAJ, Phoebus' library, tells it of nothing else."""
    of, code = request.header, status.value.code_with_severity
    if isinstance(request, ca.WriteNotifyRequest):
        return header(_WRITE_NOTIFY, 0, of.data_type, of.data_count, code, request.ioid)
    if isinstance(request, ca.ReadNotifyRequest):
        return header(_READ_NOTIFY, len(_NOTHING), of.data_type, 0, code, request.ioid) + _NOTHING
    return b""


class Transfer:
    """Answers reads and puts; `client` tells who asks."""

    def __init__(self, site: Site, outbox: Outbox, client: Callable[[], Client]) -> None:
        self._site = site
        self._outbox = outbox
        self._client = client
        self._unfinished = 0

    def read(self, channel: Channel, request: Any) -> None:
        if channel.unfinished_puts and channel.pv.serial and len(channel.held_reads) < _HELD_READS:
            if not channel.held_reads:
                asyncio.get_running_loop().call_later(_HOLD_SECONDS, self._release_reads, channel)
            channel.held_reads.append(request)
        else:
            self._answer_read(channel, request)

    def write(self, channel: Channel, request: Any) -> None:
        if request.header.data_type in _ACKNOWLEDGEMENTS:
            self._acknowledge(channel, request)
            return
        pv, of, client = channel.pv.source, request.header, self._client()
        data, fault = None, ""
        try:
            data = PutData.decode(of.data_type, of.data_count, bytes(request.buffers[1]))
        except Refused as refusal:
            fault = f"{pv.name}: {refusal}"
        if channel.pv.on_put is None or pv.on_put is None:
            status, result, reason = CAStatus.ECA_NOWTACCESS, "denied", f"{pv.name} is read only"
        elif not self._site.writable(pv, client):
            reason = f"{client.user or '?'}@{client.host} may not write {pv.name}"
            status, result = CAStatus.ECA_NOWTACCESS, "denied"
        elif data is None:
            status, result, reason = CAStatus.ECA_PUTFAIL, "refused", fault
        elif self._unfinished >= self._site.limits.unfinished_puts:
            reason = f"{self._unfinished} earlier puts of this client are not finished: it must wait for them"
            status, result = CAStatus.ECA_PUTFAIL, "refused"
        else:
            self._unfinished += 1
            channel.unfinished_puts += 1
            ended = partial(self._put_ended, request, channel)
            self._site.puts.start(Put(pv, pv.on_put, data, client, ended))
            return
        self._site.puts.turn_away(pv, "" if data is None else str(data), client, result, reason)
        self._error(request, channel, status, reason)

    def _acknowledge(self, channel: Channel, request: Any) -> None:
        """A put of DBR_PUT_ACKS or DBR_PUT_ACKT, which changes no value: read-only PVs take it too."""
        pv, client, number = channel.pv.record, self._client(), int(request.buffers[0].value)
        severity = request.header.data_type == ca.ChannelType.PUT_ACKS
        name = f"{pv.name}.{'ACKS' if severity else 'ACKT'}"
        old = int(pv.unacknowledged) if severity else int(pv.keeps_transient_alarms)
        denied = ""
        if not self._site.may_write(pv.name, client.host, client.user):
            denied = f"{client.user or '?'}@{client.host} may not acknowledge alarms of {pv.name}"
        self._site.puts.acknowledged(name, old, number, client, denied)
        if denied:
            self._error(request, channel, CAStatus.ECA_NOWTACCESS, denied)
            return
        if severity:
            pv.acknowledge(number)
        else:
            pv.keep_transient_alarms(bool(number))
        self._done(request)

    def encoded(self, channel: Channel, request: Any) -> tuple[bytes, int] | None:
        """Payload and count that `request` asks for; None if it cannot be had, which is answered."""
        pv, count = channel.pv, request.header.data_count
        if count > pv.max_count:
            self._error(request, channel, CAStatus.ECA_BADCOUNT, f"{pv.name} has at most {pv.max_count} elements")
            return None
        try:
            return encode(pv, pv.snapshot, request.header.data_type, count)
        except NoConversion as problem:
            self._error(request, channel, CAStatus.ECA_NOCONVERT, str(problem))
            return None

    def _release_reads(self, channel: Channel) -> None:
        held, channel.held_reads = channel.held_reads, []
        if channel.open:
            for request in held:
                self._answer_read(channel, request)

    def _answer_read(self, channel: Channel, request: Any) -> None:
        data_type = request.header.data_type
        encoded = self.encoded(channel, request)
        if encoded is None:
            return
        payload, count = encoded
        if isinstance(request, ca.ReadNotifyRequest):
            head = header(_READ_NOTIFY, len(payload), data_type, count, ECA_NORMAL, request.ioid)
        else:
            head = header(_READ, len(payload), data_type, count, channel.cid, request.ioid)
        self._outbox.put(head + payload)

    def _put_ended(self, request: Any, channel: Channel, reason: str) -> None:
        self._unfinished -= 1
        channel.unfinished_puts -= 1
        if not channel.open:
            return
        if reason:
            self._error(request, channel, CAStatus.ECA_PUTFAIL, reason)
        else:
            self._done(request)
        if not channel.unfinished_puts:
            self._release_reads(channel)

    def _done(self, request: Any) -> None:
        if isinstance(request, ca.WriteNotifyRequest):
            of = request.header
            self._outbox.put(header(_WRITE_NOTIFY, 0, of.data_type, of.data_count, ECA_NORMAL, request.ioid))

    def _error(self, request: Any, channel: Channel, status: CAStatus, text: str) -> None:
        self._outbox.put(failure(request, status) + error(request, channel.cid, status, text))
