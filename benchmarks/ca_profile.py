"""Shows where our Channel Access server spends its time under each load of `benchmarks.ca` that must be fast.

python -m benchmarks.ca_profile [LOAD…], by default all: connect, get, put, fanout. cProfile makes Python functions look
slower than they are compared with calls into C, so a gain counts only once `benchmarks.ca` shows it.
"""

from __future__ import annotations

import pstats
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.ca import Server, running
from benchmarks.ca_client import listen

_LINES = 25
_PVS = 2000
_NAMES = [f"B:{number}" for number in range(_PVS)]


def connect(server: Server) -> None:
    for _ in range(5):
        server.epics.run("caget", "-w", "30", *_NAMES, timeout=60)


def get(server: Server) -> None:
    circuit = server.circuit()
    sids = circuit.create(["B:Put"]) * 10_000
    for _ in range(5):
        circuit.read(sids)
    circuit.close()


def put(server: Server) -> None:
    circuit = server.circuit()
    (sid,) = circuit.create(["B:Put"])
    for number in range(5000):
        circuit.put(sid, number)
    circuit.close()
    server.epics.run("catime", "B:Put", "1", timeout=120)


def fanout(server: Server) -> None:
    circuits = [server.circuit() for _ in range(10)]
    for circuit in circuits:
        circuit.subscribe(circuit.create(_NAMES[:1000]))
    listen(circuits, 10)
    for circuit in circuits:
        circuit.close()


LOADS: tuple[tuple[Callable[[Server], None], int, float], ...] = (
    (connect, _PVS, 0),
    (get, 1, 0),
    (put, 1, 0),
    (fanout, 1000, 1),
)
"""Each with the number of PVs and their rate."""


def main() -> None:
    wanted = [load for load in LOADS if load[0].__name__ in sys.argv] or LOADS
    with tempfile.TemporaryDirectory() as directory:
        for load, count, rate in wanted:
            profile = Path(directory) / load.__name__
            with running("attpc-ioc+uvloop", count, rate, profile) as server:
                load(server)
            print(f"\n{load.__name__}: {load.__doc__ or ''}", flush=True)
            pstats.Stats(str(profile)).strip_dirs().sort_stats("tottime").print_stats(_LINES)


if __name__ == "__main__":
    main()
