"""A PVAccess client that costs next to nothing, so that a benchmark measures the server.

It speaks little endian, as servers on this machine do, and only what the benchmark needs: get, put and monitors of
NTScalars of a double. Updates are kept as they arrive, with the time, and decoded afterwards.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Sequence

import numpy as np

_HEADER = struct.Struct("<BBBBI")
_MAGIC, _VERSION, _SEGMENTS = 0xCA, 2, 0x30
_VALIDATION, _VALIDATED, _CREATE = 1, 9, 7
_GET, _PUT, _MONITOR = 10, 11, 13
_INIT, _START = 0x08, 0x44
_EMPTY = b"\x80\x00\x00"
"""A structure without name and fields."""


def _structure(*fields: tuple[str, bytes]) -> bytes:
    """The description of a structure."""
    return b"\x80\x00" + bytes([len(fields)]) + b"".join(_text(name) + kind for name, kind in fields)


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


_SOME = _structure(("field", _structure(("value", _EMPTY), ("timeStamp", _EMPTY))))
_BLOCKING = (
    _structure(
        ("field", _structure(("value", _EMPTY))),
        ("record", _structure(("_options", _structure(("block", b"\x60"), ("process", b"\x60"))))),
    )
    + _text("true")
    + _text("true")
)
"""Requests: value and time stamp; a put that is answered when the record has been processed, with its two options."""


def _message(command: int, payload: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _VERSION, 0, command, len(payload)) + payload


class Connection:
    """One connection. Blocking, except that `listen` reads many at once."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self._answer(_VALIDATION)
        # the size of our buffer, of our table of types, the quality of service, and who we are: anonymous
        self.sock.sendall(_message(_VALIDATION, struct.pack("<IHH", 87_040, 0x7FFF, 0) + _text("anonymous") + b"\xff"))
        assert self._answer(_VALIDATED)[0] in {0, 0xFF}

    def close(self) -> None:
        self.sock.close()

    def _answer(self, command: int) -> bytes:
        """Wait for a message; returns its payload."""
        while True:
            while len(self.data) >= 8:
                magic, _, flags, found, size = _HEADER.unpack_from(self.data)
                assert magic == _MAGIC
                if flags & 1:  # a control message has no payload
                    self.data = self.data[8:]
                    continue
                assert not flags & _SEGMENTS
                if len(self.data) < 8 + size:
                    break
                payload, self.data = self.data[8 : 8 + size], self.data[8 + size :]
                if found == command:
                    return payload
            received = self.sock.recv(1 << 16)
            if not received:
                raise ConnectionError
            self.data += received

    def create(self, names: Sequence[str]) -> list[int]:
        """Create channels; returns the server's ids in the order of `names`."""
        sids = [0] * len(names)
        for first in range(0, len(names), 100):
            some = names[first : first + 100]
            self.sock.sendall(
                b"".join(
                    _message(_CREATE, struct.pack("<HI", 1, first + i) + _text(name)) for i, name in enumerate(some)
                )
            )
            for _ in some:
                cid, sid, status = struct.unpack_from("<IIB", self._answer(_CREATE))
                assert status in {0, 0xFF}
                sids[cid] = sid
        return sids

    def prepare(self, command: int, sid: int, request: bytes) -> None:
        """Begin an operation, whose id is that of its channel."""
        self.sock.sendall(_message(command, struct.pack("<IIB", sid, sid, _INIT) + request))
        self.succeeded(command)

    def succeeded(self, command: int) -> None:
        """Wait for the answer to an operation, which must be good."""
        answer = self._answer(command)
        assert answer[5] in {0, 0xFF}, answer

    def prepare_get(self, sid: int) -> None:
        self.prepare(_GET, sid, b"\xfd\x01\x00" + _SOME)

    def get(self, sid: int) -> None:
        self.sock.sendall(_message(_GET, struct.pack("<IIB", sid, sid, 0)))
        self.succeeded(_GET)

    def prepare_put(self, sid: int) -> None:
        self.prepare(_PUT, sid, b"\xfd\x01\x00" + _BLOCKING)

    def put(self, sid: int, value: float) -> None:
        """Put and wait until the server says that it is done."""
        self.sock.sendall(_message(_PUT, struct.pack("<IIBBBd", sid, sid, 0, 1, 2, value)))
        self.succeeded(_PUT)

    def monitor(self, sids: Sequence[int]) -> None:
        """Monitor value and time stamp of channels."""
        for sid in sids:
            self.prepare(_MONITOR, sid, b"\xfd\x01\x00" + _SOME)
        self.sock.sendall(b"".join(_message(_MONITOR, struct.pack("<IIB", sid, sid, _START)) for sid in sids))


def listen(connections: Sequence[Connection], seconds: float) -> tuple[int, np.ndarray]:
    """Receive updates for a while; returns their number and the age of each in seconds (from its time stamp)."""
    arrived: dict[Connection, list[tuple[float, bytes]]] = {each: [] for each in connections}
    with selectors.DefaultSelector() as selector:
        for each in connections:
            selector.register(each.sock, selectors.EVENT_READ, each)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                received = key.data.sock.recv(1 << 18)
                arrived[key.data].append((time.time(), received))
    ages = [at - stamp for each, parts in arrived.items() for at, stamp in updates_in(each, parts)]
    return len(ages), np.array(ages)


def updates_in(connection: Connection, parts: Sequence[tuple[float, bytes]]) -> list[tuple[float, float]]:
    """Arrival and time stamp of each update; what is incomplete stays in `data`."""
    updates: list[tuple[float, float]] = []
    for at, part in parts:
        data = connection.data + part
        begin = 0
        while len(data) - begin >= 8:
            _, _, flags, command, size = _HEADER.unpack_from(data, begin)
            whole = 8 if flags & 1 else 8 + size
            if len(data) - begin < whole:
                break
            if not flags & 1 and command == _MONITOR and not data[begin + 12] & _INIT:
                updates.append((at, _time_stamp(data, begin + 13)))
            begin += whole
        connection.data = data[begin:]
    return updates


def _time_stamp(data: bytes, begin: int) -> float:
    """Time stamp of an update, which follows the bit set of what has changed and the value.

    In an NTScalar, 1 is the value, 2 to 5 the alarm, 6 to 9 the time stamp.
    """
    count = data[begin]
    bits = int.from_bytes(data[begin + 1 : begin + 1 + count], "little")
    assert not bits & 0b111101, bin(bits)
    assert bits & 0b1000000 or bits & 0b110000000 == 0b110000000, bin(bits)
    seconds, nanos = struct.unpack_from("<qi", data, begin + 1 + count + (8 if bits & 0b10 else 0))
    return seconds + nanos * 1e-9
