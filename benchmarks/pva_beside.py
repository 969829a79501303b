"""Channel Access of our server with PVAccess beside it (on), without (off), and without once more (again).

The difference of *off* and *again* is what the machine adds. It is large if servers are measured one after the other:
for seconds, a server is on the same processor as its client or on the other one, which has to be woken for every
message; a put then takes 0.05 or 0.1 ms. So all three servers run at the same time, and each in turn is measured for a
fraction of a second. What counts is the ratio within a turn, of which there are many.

They are measured 3 s after their start: until then, loading p4p and starting the threads of pvxs compete with the first
clients.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections.abc import Callable, Generator, Mapping, Sequence

import numpy as np

from benchmarks.ca import Server, running
from benchmarks.ca_client import Circuit, listen
from benchmarks.pva_client import Connection

SERVERS = {"off": "attpc-ioc+uvloop", "again": "attpc-ioc+uvloop", "on": "attpc-ioc+uvloop+pva"}
Results = dict[str, dict[str, list[float]]]
"""What was measured in each turn, by row and label."""
_SHORT_TURNS, _LONG_TURNS, _FAN_OUTS = 40, 10, 10
"""In each round."""
_PVS = 2000
_SETTLING = 3.0
"""Seconds after the start."""


def beside(results: Results) -> None:
    """Add a round to `results`."""
    with _all_running(_PVS, 0) as servers, contextlib.ExitStack() as cleanup:
        lines = {label: _Line(server) for label, server in servers.items()}
        for line in lines.values():
            cleanup.callback(line.circuit.close)
        _take_turns(results, _SHORT_TURNS, {label: line.measure for label, line in lines.items()})
        _take_turns(results, _LONG_TURNS, {label: _programs(server) for label, server in servers.items()})
    with _all_running(1000, 1) as servers:
        _take_turns(results, _FAN_OUTS, {label: _fan_out(server) for label, server in servers.items()})


@contextlib.contextmanager
def _all_running(count: int, rate: float) -> Generator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        servers = {label: stack.enter_context(running(name, count, rate)) for label, name in SERVERS.items()}
        connection(servers["on"]).close()  # it serves by PVAccess, too
        time.sleep(_SETTLING)
        yield servers


def connection(server: Server) -> Connection:
    """Connect by PVAccess to a server, which may not listen yet."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return Connection(int(server.epics.env["EPICS_PVAS_SERVER_PORT"]))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _take_turns(results: Results, turns: int, measures: Mapping[str, Callable[[], dict[str, float]]]) -> None:
    labels = list(measures)
    for turn in range(turns):
        first = turn % len(labels)
        for label in (*labels[first:], *labels[:first]):
            for row, number in measures[label]().items():
                results.setdefault(row, {}).setdefault(label, []).append(number)


def _cpu(server: Server) -> float:
    """Seconds of CPU that the server has used, by the clock of its process, which has nanoseconds (Linux)."""
    return time.clock_gettime((~server.process.pid << 3) | 2)


class _Line:
    """A raw client of a server: one circuit."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.circuit: Circuit = server.circuit()
        (self._sid,) = self.circuit.create(["B:Put"])

    def measure(self) -> dict[str, float]:
        put, put_cpu = self._times(300, lambda number: self.circuit.put(self._sid, number))
        _, get_cpu = self._times(300, lambda _: self.circuit.read([self._sid]))
        _, many_cpu = self._times(30, lambda _: self.circuit.read([self._sid] * 100))
        return {
            "put with callback, p50, ms": put * 1e3,
            "CPU per put with callback, µs": put_cpu * 1e6,
            "CPU per get, one at a time, µs": get_cpu * 1e6,
            "CPU per get, 100 at a time, µs": many_cpu / 100 * 1e6,
        }

    def _times(self, count: int, do: Callable[[int], None]) -> tuple[float, float]:
        """The median of the time of an operation, and the CPU of the server for one."""
        used = _cpu(self._server)
        taken: list[float] = []
        for number in range(count):
            begun = time.perf_counter()
            do(number)
            taken.append(time.perf_counter() - begun)
        return statistics.median(taken), (_cpu(self._server) - used) / count


def _programs(server: Server) -> Callable[[], dict[str, float]]:
    """Clients of EPICS base, each in a process of its own."""

    def measure() -> dict[str, float]:
        libca, _ = server.aioca("put").communicate(timeout=60)
        output = server.epics.run("catime", "B:Put", "1", timeout=120).stdout
        doubles = output.split("DBR_DOUBLE Test")[1].split("DBR_STRING Test")[0]
        micros = [float(found) for found in re.findall(r"Per Op,\s+([\d.]+)", doubles)]
        used = _cpu(server)
        server.epics.run("caget", "-w", "30", *(f"B:{number}" for number in range(_PVS)), timeout=60)
        return {
            "put with callback by aioca, p50, ms": float(libca),
            **{
                f"catime, {what}, µs": took
                for what, took in zip(("async put", "async get", "sync get"), micros, strict=True)
            },
            f"CPU per PV of a caget of {_PVS}, µs": (_cpu(server) - used) / _PVS * 1e6,
        }

    return measure


def _fan_out(server: Server) -> Callable[[], dict[str, float]]:
    """Nine raw clients and aioca, each monitors 1000 PVs."""

    def measure() -> dict[str, float]:
        circuits = [server.circuit() for _ in range(9)]
        for circuit in circuits:
            circuit.subscribe(circuit.create([f"B:{number}" for number in range(1000)]))
        tenth = server.aioca("age", "3")
        listen(circuits, 3.5)
        used, begun = _cpu(server), time.monotonic()
        count, ages = listen(circuits, 3)
        percent = 100 * (_cpu(server) - used) / (time.monotonic() - begun)
        libca, _ = tenth.communicate(timeout=60)
        for circuit in circuits:
            circuit.close()
        return {
            "1000 PVs at 1 Hz to 10 clients: age p50, ms": float(np.median(ages)) * 1e3,
            "the same: age p99, ms": float(np.percentile(ages, 99)) * 1e3,
            "the same: CPU, %": percent,
            "the same: received of 27,000": count,
            "the same: age p50 in the tenth client, aioca, ms": float(libca),
        }

    return measure


def table(results: Results, shown: Callable[[float], str]) -> Sequence[str]:
    """The rows in Markdown."""
    turns = len(next(iter(results.values()))["off"])
    heads = (f"Channel Access, median of up to {turns} turns", "off", "again", "on", "again / off", "on / off")
    lines = [f"| {' | '.join(heads)} | must reach | reached |", "|---|---:|---:|---:|---:|---:|---|---|"]
    for row, of in results.items():
        numbers = " | ".join(shown(statistics.median(of[label])) for label in ("off", "again", "on"))
        again, on = (
            statistics.median(one / off for one, off in zip(of[label], of["off"], strict=True))
            for label in ("again", "on")
        )
        goal = "|" if "received" in row else f"≤ 1.1 | {'yes' if on <= 1.1 else '**no**'}"
        lines.append(f"| {row} | {numbers} | {again:.2f} | {on:.2f} | {goal} |")
    return lines
