"""Our decoding of requests says the same as caproto's, for every message."""

from __future__ import annotations

import struct
from itertools import pairwise, product
from typing import Any

import caproto as ca
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from ioc.ca.encoding import PutData
from ioc.ca.pv import Refused
from ioc.ca.wire import (
    COMMON,
    EVENT_ADD,
    SEARCH,
    WRITE,
    WRITE_NOTIFY,
    ProtocolViolation,
    Request,
    Requests,
    access_rights,
    created,
    decode_searches,
    error,
    found,
    version,
)

LONGEST = 2**32
HEADER = struct.Struct(">HHHHII")
EXTENDED = struct.Struct(">HHHHIIII")
NUMBERS = some.integers(0, 0xFFFFFFFF)
COMMANDS = some.one_of(some.sampled_from([*COMMON, SEARCH]), some.integers(0, 30))
TYPES = some.one_of(some.integers(0, 40), some.integers(0, 0xFFFF))
NAMES = (b"T:X\0", b"T:X.DESC\0\0\0\0", b'T:X.{"ts":{}}\0', b"", b"\0\0", b"T\xe4\0T:E\0", bytes(12) + b"\1\2\3\4")
PAYLOADS = some.one_of(some.sampled_from(NAMES), some.binary(max_size=24), some.binary(min_size=16, max_size=80))


@some.composite
def messages(draw: some.DrawFn) -> bytes:
    """A message of any command, usual or odd, sometimes with the extended header."""
    payload = draw(PAYLOADS)
    command, data_type = draw(COMMANDS), draw(TYPES)
    count = draw(some.one_of(some.integers(0, 20), some.integers(0, 0xFFFF)))
    parameters = draw(NUMBERS), draw(NUMBERS)
    if draw(some.integers(0, 4)) == 0:
        return EXTENDED.pack(command, 0xFFFF, data_type, 0, *parameters, len(payload), count) + payload
    size = draw(some.sampled_from([len(payload)] * 9 + [0xFFFF]))
    return HEADER.pack(command, size, data_type, count, *parameters) + payload


def by_caproto(stream: bytes) -> list[Any]:
    """What caproto decodes; the last one is None if it fails there."""
    circuit = ca.VirtualCircuit(ca.SERVER, ("here", 1), None)
    decoded: list[Any] = []
    for at in range(len(stream)):  # one byte at a time, so that a failure loses nothing that came before
        try:
            decoded += circuit.recv(stream[at : at + 1])[0]
        except Exception:
            return [*decoded, None]
    return decoded


def decoded_at_once(stream: bytes) -> list[Any]:
    try:
        return list(ca.VirtualCircuit(ca.SERVER, ("here", 1), None).recv(stream)[0])
    except Exception:
        return [None]


def by_us(pieces: list[bytes]) -> list[Any]:
    requests = Requests(ca.VirtualCircuit(ca.SERVER, ("here", 1), None))
    decoded: list[Any] = []
    for piece in pieces:
        requests.feed(piece)
        try:
            while (request := requests.next(LONGEST)) is not None:
                decoded.append(request)
        except ProtocolViolation:
            return [*decoded, None]
    return decoded


def same(ours: Any, theirs: Any) -> bool:
    if not isinstance(ours, Request):
        return type(ours) is type(theirs) and ours == theirs
    of = theirs.header
    fields = COMMON[of.command][0], of.command, of.data_type, of.data_count, of.parameter1, of.parameter2
    if (type(theirs), ours.command, ours.data_type, ours.elements, ours.one, ours.two) != fields:
        return False
    if isinstance(theirs, ca.CreateChanRequest):
        return ours.name == theirs.name
    if isinstance(theirs, ca.EventAddRequest):
        return ours.mask == theirs.mask
    return not isinstance(theirs, ca.WriteRequest | ca.WriteNotifyRequest) or same_put(ours, theirs)


def same_put(ours: Request, theirs: Any) -> bool:
    """The elements of a put are read from our payload as from caproto's; metadata are those of an acknowledgement."""
    if ours.data_type in {ca.ChannelType.PUT_ACKT, ca.ChannelType.PUT_ACKS}:
        return int.from_bytes(ours.payload[:2]) == theirs.buffers[0].value
    return put_data(ours, ours.payload) == put_data(ours, bytes(theirs.buffers[1]))


def put_data(request: Request, payload: bytes) -> PutData | str:
    try:
        return PutData.decode(request.data_type, request.elements, payload)
    except Refused as refusal:
        return str(refusal).partition(" has only ")[0]


@settings(max_examples=300)
@given(some.lists(messages() | some.binary(max_size=40), max_size=6), some.lists(some.integers(0, 400), max_size=5))
def test_a_stream_is_decoded_as_by_caproto(sent: list[bytes], cuts: list[int]) -> None:
    """Whatever comes, in whatever pieces: the same requests with the same fields, and the same end if one is bad."""
    stream = b"".join(sent)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    ours = by_us([stream[begin:end] for begin, end in pairwise(places)])
    theirs = by_caproto(stream)
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert (our is None and their is None) or same(our, their), (our, their)


@pytest.mark.parametrize("command", COMMON)
def test_each_common_request_is_decoded_as_by_caproto(command: int) -> None:
    """Every type with every payload, in both forms of the header, complete or not."""
    for payload, data_type, count, announced, extended in product(
        NAMES, range(40), (0, 1, 2), (0, 0xFFFF), (False, True)
    ):
        size = announced or len(payload)
        if extended:
            sent = EXTENDED.pack(command, 0xFFFF, data_type, 0, 7, 8, size, count) + payload
        else:
            sent = HEADER.pack(command, size, data_type, count, 7, 8) + payload
        ours, theirs = by_us([sent]), decoded_at_once(sent)
        assert len(ours) == len(theirs)
        assert all((our is None and their is None) or same(our, their) for our, their in zip(ours, theirs, strict=True))


@example([HEADER.pack(SEARCH, 8, 5, 13, 1, 1), b"T:X\0"], 0)
@example([HEADER.pack(0, 8, 1, 13, 1, 1), HEADER.pack(SEARCH, 8, 5, 13, 1, 1), b"T\0:X\0\0\0\0"], 0)
@given(some.lists(messages() | some.builds(bytes, some.integers(0, 9)), max_size=6), some.integers(0, 30))
def test_a_datagram_is_decoded_as_by_caproto(sent: list[bytes], cut: int) -> None:
    """The same searches with the same names and the same sequence number, or none because it is not Channel Access."""
    datagram = b"".join(sent)
    datagram = datagram[: max(0, len(datagram) - cut)]
    sender = ("there", 1)
    try:
        requests: list[Any] = ca.Broadcaster(ca.SERVER).recv(datagram, sender)
    except ca.RemoteProtocolError:
        with pytest.raises(ca.RemoteProtocolError):
            decode_searches(datagram, sender, ca.Broadcaster(ca.SERVER))
        return
    sequence = None
    for request in requests:
        if isinstance(request, ca.VersionRequest) and request.header.data_type & 1:
            sequence = request.header.parameter1
    names = [(request.cid, request.name) for request in requests if isinstance(request, ca.SearchRequest)]
    assert decode_searches(datagram, sender, ca.Broadcaster(ca.SERVER)) == (sequence, names)


@given(some.integers(0, 0xFFFF), some.integers(0, 6), some.integers(0, 100_000), NUMBERS, NUMBERS, some.booleans())
def test_answers_are_those_of_caproto(  # noqa: PLR0917 - in the order of the wire
    port: int, data_type: int, count: int, one: int, two: int, yes: bool
) -> None:
    """The bytes of our answers are those of caproto's."""
    rights = ca.AccessRights.READ | ca.AccessRights.WRITE if yes else ca.AccessRights.READ
    assert access_rights(one, yes) == bytes(ca.AccessRightsResponse(one, rights))
    assert created(one, two, data_type, count) == bytes(ca.CreateChanResponse(data_type, count, one, two))
    assert found(port, one) == bytes(ca.SearchResponse(port, None, one, 13))
    theirs = ca.VersionResponse(13)
    theirs.header.data_type, theirs.header.parameter1 = (1, one) if yes else (0, 0)
    assert version(one if yes else None) == bytes(theirs)


@given(some.sampled_from([EVENT_ADD, WRITE, WRITE_NOTIFY]), some.integers(0, 80_000), NUMBERS, some.text(max_size=50))
def test_errors_are_those_of_caproto(command: int, size: int, cid: int, text: str) -> None:
    """An error repeats the header of its request, also an extended one, and gives its reason."""
    request = Request(command, 4, size, 7, 8, bytes(size))
    theirs = by_caproto(request.header)[:1] if size == 0 and command != EVENT_ADD else []
    ours = error(request, cid, 160, text)
    (told,) = ca.VirtualCircuit(ca.CLIENT, ("here", 1), 0).recv(ours)[0]
    assert (told.cid, told.header.parameter2, told.original_request.command) == (cid, 160, command)
    assert bytes(told.buffers[1])[len(request.header) :].rstrip(b"\0").decode() == text.rstrip("\0")
    for their in theirs:
        expected = ca.ErrorResponse(their, cid, status=160, error_message=text)
        assert ours == bytes(expected)
