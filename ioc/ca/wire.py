"""Messages as bytes: the common requests are decoded here, all others by caproto.

A message is a header of 16 bytes and a payload; the header has 8 bytes more if the payload or the number of elements
does not fit. The requests that clients send by the thousand (to search, create, clear, read, write, subscribe, cancel)
are decoded with `struct` in one pass over what was received. caproto decodes those that are rare, and judges those that
are odd: an unknown command, a write of a type with metadata, a subscription without its mask.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeArgument=false

from __future__ import annotations

import struct
from collections import deque
from typing import Any, NamedTuple

import caproto as ca

EVENT_ADD, EVENT_CANCEL, READ, WRITE, SEARCH, CLEAR, READ_NOTIFY, CREATE, WRITE_NOTIFY = 1, 2, 3, 4, 6, 12, 15, 18, 19
_VERSION, _ERROR, _ACCESS_RIGHTS = 0, 11, 22
VERSION = 13
"""Minor version of the protocol."""
ECA_NORMAL = 1
ECA_NOCONVERT = 400
NOTHING = bytes(432)
"""The payload of a failed read: caproto's client expects metadata of the type, which is never longer than this."""
_HEADER = struct.Struct(">HHHHII")
_EXTENDED = struct.Struct(">HHHHIIII")
_SIZE_AND_COUNT = struct.Struct(">II")
_FOUND = struct.Struct(">HHHHII H6x")
_MASK = struct.Struct(">12xH2x")
_WRITES = frozenset({WRITE, WRITE_NOTIFY})
_LAST_PLAIN_TYPE = int(ca.ChannelType.DOUBLE)
_ANYWHERE = 0xFFFFFFFF
"""Instead of the server's address in the answer to a search: the address that the answer comes from."""


class ProtocolViolation(Exception):
    """The client broke the protocol: the circuit is closed."""


class Request(NamedTuple):
    """A common request."""

    command: int
    data_type: int
    elements: int
    one: int
    """First parameter of the header: the server's id of the channel, or the client's in a `CREATE`."""
    two: int
    """Second parameter: the client's id of the request or subscription, of the channel in a `CLEAR`."""
    payload: bytes

    @property
    def header(self) -> bytes:
        return header(self.command, len(self.payload), self.data_type, self.elements, self.one, self.two)

    @property
    def mask(self) -> int:
        """The event mask of an `EVENT_ADD`."""
        return _MASK.unpack_from(self.payload)[0]

    @property
    def name(self) -> str:
        """The channel name of a `CREATE`."""
        return _name(self.payload)


COMMON: dict[int, tuple[type, int]] = {
    EVENT_ADD: (ca.EventAddRequest, _MASK.size),
    EVENT_CANCEL: (ca.EventCancelRequest, 0),
    READ: (ca.ReadRequest, 0),
    WRITE: (ca.WriteRequest, 0),
    CLEAR: (ca.ClearChannelRequest, 0),
    READ_NOTIFY: (ca.ReadNotifyRequest, 0),
    CREATE: (ca.CreateChanRequest, 0),
    WRITE_NOTIFY: (ca.WriteNotifyRequest, 0),
}
"""The requests of a circuit that are decoded here: what caproto calls them, and the smallest payload."""


class Requests:
    """The requests in the bytes that a client sends."""

    def __init__(self, circuit: ca.VirtualCircuit) -> None:
        self._circuit = circuit
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def next(self, longest: int) -> Request | Any | None:
        """The next request, as caproto's command if it is not a common one; None if it is not yet complete.

        Raises:
            ProtocolViolation: it is not Channel Access, or its payload has more than `longest` bytes.
        """
        data, at = self._data, self._at
        start, received = at + 16, len(data)
        if start > received:
            if at == received:
                self._data, self._at = b"", 0
            return None
        command, size, data_type, count, one, two = _HEADER.unpack_from(data, at)
        if size == 0xFFFF and count == 0:
            start += 8
            if start > received:
                return None
            size, count = _SIZE_AND_COUNT.unpack_from(data, start - 8)
        if size > longest:
            raise ProtocolViolation(f"announced a request of more than {longest} bytes")
        end = start + size
        if end > received:
            return None
        self._at = end
        common = COMMON.get(command)
        if common is None:
            return self._decoded_by_caproto(data[at:end])
        if size < common[1] or (data_type > _LAST_PLAIN_TYPE and command in _WRITES):
            self._decoded_by_caproto(data[at:end])
        return Request(command, data_type, count, one, two, data[start:end])

    def _decoded_by_caproto(self, message: bytes) -> Any:
        try:
            commands: deque[Any] = self._circuit.recv(message)[0]
            return commands.popleft()
        except Exception as error:
            raise ProtocolViolation(f"sent data that are not Channel Access ({type(error).__name__})") from None


class Searches(NamedTuple):
    """A datagram with searches."""

    sequence: int | None
    """Its number, which the answer repeats."""
    names: list[tuple[int, str]]
    """Each with the client's id of the search."""


def decode_searches(data: bytes, sender: tuple[str, int], broadcaster: ca.Broadcaster) -> Searches:
    """Decode a datagram.

    Raises:
        RemoteProtocolError: it is not Channel Access.
    """
    sequence: int | None = None
    names: list[tuple[int, str]] = []
    at, end = 0, len(data)
    while at + 16 <= end:
        command, size, data_type, _, one, _ = _HEADER.unpack_from(data, at)
        at += 16
        if command == SEARCH:
            names.append((one, _name(data[at : at + size])))
            at += size
        elif command == _VERSION:
            sequence = one if data_type & 1 else sequence
        else:
            break
    else:
        if at == end:
            return Searches(sequence, names)
    requests: list[Any] = broadcaster.recv(data, sender)
    versions = [one.header.parameter1 for one in requests if isinstance(one, ca.VersionRequest) and one.priority & 1]
    found = [(one.cid, one.name) for one in requests if isinstance(one, ca.SearchRequest)]
    return Searches(versions[-1] if versions else None, found)


def _name(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode("latin-1")


def header(  # noqa: PLR0917 - in the order of the wire
    command: int, size: int, data_type: int, count: int, parameter1: int, parameter2: int
) -> bytes:
    """A message header; the extended form if size or count requires it."""
    if size < 0xFFFF and count <= 0xFFFF:
        return _HEADER.pack(command, size, data_type, count, parameter1, parameter2)
    return _EXTENDED.pack(command, 0xFFFF, data_type, 0, parameter1, parameter2, size, count)


def access_rights(cid: int, writable: bool) -> bytes:
    """What the client may do with its channel `cid`: read, and perhaps write."""
    return _HEADER.pack(_ACCESS_RIGHTS, 0, 0, 0, cid, 3 if writable else 1)


def created(cid: int, sid: int, data_type: int, count: int) -> bytes:
    """The client's channel `cid` exists and is our `sid`."""
    return header(CREATE, 0, data_type, count, cid, sid)


def found(port: int, search: int) -> bytes:
    """The name of this search is served here."""
    return _FOUND.pack(SEARCH, 8, port, 0, _ANYWHERE, search, VERSION)


def version(sequence: int | None) -> bytes:
    """The beginning of an answer to searches, with the sequence number of theirs."""
    return _HEADER.pack(_VERSION, 0, sequence is not None, VERSION, sequence or 0, 0)


def error(request: Request, cid: int, code: int, text: str) -> bytes:
    """The request failed; libca reads the text up to its NUL."""
    payload = request.header + text.encode() + b"\0"
    payload += bytes(-len(payload) % 8)
    return header(_ERROR, len(payload), 0, 0, cid, code) + payload
