"""How far apart an update arrives at a client of Channel Access and at one of PVAccess that monitor the same PVs."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.ca import running
from benchmarks.pva_beside import connection
from benchmarks.pva_client import Connection, updates_in

_SECONDS = 10
_EPICS_EPOCH = 631152000
_UPDATE_WORDS = 10
"""Of 32 bits in an update of Channel Access: four of the header, alarm, time stamp (two), padding, value (two)."""
A_PV = "CA and PVA apart, a PV at 10 Hz"
MANY = "CA and PVA apart, 1000 PVs at 1 Hz"
Parts = Sequence[tuple[float, bytes]]
"""What was received, with the time."""


def together(name: str) -> dict[str, float]:
    """One PV at 10 Hz, and a thousand at 1 Hz."""
    return {
        f"{row}: {quantile}, ms": float(np.percentile(apart, percent))
        for row, apart in ((A_PV, _apart(name, 1, 10)), (MANY, _apart(name, 1000, 1)))
        for quantile, percent in (("p50", 50), ("p99", 99))
    }


def _apart(name: str, count: int, rate: float) -> np.ndarray:
    """Milliseconds between the two arrivals of each update."""
    names = [f"B:{number}" for number in range(count)]
    with running(name, count, rate) as server:
        pva, circuit = connection(server), server.circuit()
        pva.monitor(pva.create(names))
        circuit.subscribe(circuit.create(names))
        since = time.time() * 1e6  # before, each client gets the values that were there when it subscribed
        received = _receive([circuit.sock, pva.sock])
        by_ca, by_pva = _by_ca(circuit.data, received[circuit.sock]), _by_pva(pva, received[pva.sock])
        pva.close()
        circuit.close()
    by_ca = by_ca[by_ca[:, 0] > since]
    # The last updates may have arrived by one only; the time stamp tells which are the same.
    stamps, ours, theirs = np.intersect1d(by_ca[:, 0], by_pva[:, 0], return_indices=True)
    assert len(stamps) > _SECONDS * rate * 0.5, f"{name}: {len(stamps)} updates arrived by both"
    return np.abs(by_ca[ours, 1] - by_pva[theirs, 1]) / 1e3


def _receive(socks: Sequence[socket.socket]) -> dict[socket.socket, list[tuple[float, bytes]]]:
    received: dict[socket.socket, list[tuple[float, bytes]]] = {sock: [] for sock in socks}
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ, sock)
        end = time.monotonic() + _SECONDS
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                received[key.data].append((time.time(), key.data.recv(1 << 18)))
    return received


def _by_ca(data: bytes, parts: Parts) -> np.ndarray:
    """Time stamp and arrival of each update in microseconds."""
    size = 4 * _UPDATE_WORDS
    arrivals: list[float] = []
    for at, part in parts:
        data += part
        arrivals += [at * 1e6] * (len(data) // size - len(arrivals))
    words = np.frombuffer(data[: len(arrivals) * size], ">u4").reshape(-1, _UPDATE_WORDS)
    stamps = words[:, 5] + float(_EPICS_EPOCH) + words[:, 6] * 1e-9
    return np.column_stack([np.rint(stamps * 1e6), arrivals])


def _by_pva(client: Connection, parts: Parts) -> np.ndarray:
    return np.array([(round(stamp * 1e6), at * 1e6) for at, stamp in updates_in(client, parts)])
