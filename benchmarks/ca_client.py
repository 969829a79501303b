"""A Channel Access client that costs next to nothing, so that a benchmark measures the server."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time

import numpy as np

_HEADER = struct.Struct(">HHHHII")
_TIME_DOUBLE = 20
_UPDATE = np.dtype(
    [
        ("head", ">u2", 4),
        ("status", ">u4"),
        ("id", ">u4"),
        ("alarm", ">u4"),
        ("seconds", ">u4"),
        ("nanos", ">u4"),
        ("pad", ">u4"),
        ("value", ">f8"),
    ]
)
_EPICS_EPOCH = 631152000


def message(  # noqa: PLR0917 - in the order of the wire
    command: int, data_type: int = 0, count: int = 0, one: int = 0, two: int = 0, payload: bytes = b""
) -> bytes:
    payload += bytes(-len(payload) % 8)
    return _HEADER.pack(command, len(payload), data_type, count, one, two) + payload


class Circuit:
    """One connection. Blocking; everything received is kept in `data`."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.sock.sendall(message(0, 0, 13) + message(20, payload=b"bench\0") + message(21, payload=b"bench\0"))

    def close(self) -> None:
        self.sock.close()

    def answer(self, command: int) -> tuple[int, int]:
        """Wait for a message; returns its two parameters."""
        while True:
            while len(self.data) >= 16:
                found, size, _, _, one, two = _HEADER.unpack_from(self.data)
                if len(self.data) < 16 + size:
                    break
                self.data = self.data[16 + size :]
                if found == command:
                    return one, two
            received = self.sock.recv(65536)
            if not received:
                raise ConnectionError
            self.data += received

    def create(self, names: list[str]) -> list[int]:
        """Create channels; returns the server's ids in the order of `names`."""
        for first in range(0, len(names), 100):
            some = names[first : first + 100]
            self.sock.sendall(
                b"".join(
                    message(18, one=first + i, two=13, payload=name.encode() + b"\0") for i, name in enumerate(some)
                )
            )
        sids = [0] * len(names)
        for _ in names:
            cid, sid = self.answer(18)
            sids[cid] = sid
        return sids

    def subscribe(self, sids: list[int]) -> None:
        mask = bytes(12) + b"\0\1\0\0"
        self.sock.sendall(b"".join(message(1, _TIME_DOUBLE, 1, sid, i, mask) for i, sid in enumerate(sids)))

    def read(self, sids: list[int]) -> None:
        """Read each once, as text."""
        for first in range(0, len(sids), 100):
            some = sids[first : first + 100]
            self.sock.sendall(b"".join(message(15, 0, 1, sid, 1) for sid in some))
            for _ in some:
                self.answer(15)

    def put(self, sid: int, value: float) -> None:
        """Put with callback and wait for the answer."""
        self.sock.sendall(message(19, 6, 1, sid, 1, struct.pack(">d", value)))
        self.answer(19)


def listen(circuits: list[Circuit], seconds: float) -> tuple[int, np.ndarray]:
    """Receive updates for a while; returns their number and the age of each in seconds (from its time stamp)."""
    ages: list[np.ndarray] = []
    with selectors.DefaultSelector() as selector:
        for circuit in circuits:
            selector.register(circuit.sock, selectors.EVENT_READ, circuit)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                circuit: Circuit = key.data
                with contextlib.suppress(TimeoutError):
                    circuit.data += circuit.sock.recv(1 << 18)
                now = time.time()
                whole = len(circuit.data) // _UPDATE.itemsize
                updates = np.frombuffer(circuit.data, _UPDATE, whole)
                circuit.data = circuit.data[whole * _UPDATE.itemsize :]
                ages.append(now - (updates["seconds"] + float(_EPICS_EPOCH) + updates["nanos"] * 1e-9))
    joined = np.concatenate(ages) if ages else np.array([])
    return len(joined), joined
