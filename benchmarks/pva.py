"""Compares our PVAccess server with softIocPVX (pvxs' own IOC), and Channel Access with PVAccess on and off.

Run with  python -m benchmarks.pva [ROUNDS] [--write].  All are measured one after the other in each round; the
tables have medians. --write puts it into docs/performance.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

import numpy as np

from benchmarks import ca
from benchmarks.ca import DOCUMENT, Server, running
from benchmarks.pva_client import Connection, listen

OTHER, OFF, ON = "softIocPVX", "attpc-ioc+uvloop", "attpc-ioc+uvloop+pva"
BEGIN, END = "<!-- table of python -m benchmarks.pva -->", "<!-- end of the PVAccess table -->"
P4P = """
import statistics, time
from p4p.client.thread import Context
with Context("pva", nt=False) as pva:
    pva.get("B:Put")
    for do in (
        lambda number: pva.get("B:Put"),
        lambda number: pva.put("B:Put", {"value": float(number)}, get=False, wait=True),
    ):
        times = []
        for number in range(300):
            begun = time.perf_counter()
            do(number)
            times.append(time.perf_counter() - begun)
        print(statistics.median(times) * 1e3)
"""


def connection(server: Server) -> Connection:
    """Connect to a server, which may not listen yet."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return Connection(int(server.epics.env["EPICS_PVAS_SERVER_PORT"]))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _p50(do: Callable[[int], None], times: int = 1000) -> float:
    taken: list[float] = []
    for number in range(times):
        begun = time.perf_counter()
        do(number)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e3


def single(name: str) -> dict[str, float]:
    """Gets and puts, one after the other."""
    with running(name, 1, 0) as server:
        client = connection(server)
        (sid,) = client.create(["B:Put"])
        client.prepare_get(sid)
        get = _p50(lambda _: client.get(sid))
        client.close()
        client = connection(server)
        (sid,) = client.create(["B:Put"])
        client.prepare_put(sid)
        put = _p50(lambda number: client.put(sid, float(number)))
        client.close()
        done = subprocess.run(
            [sys.executable, "-c", P4P],
            env=server.epics.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        got, written = map(float, done.stdout.split())
    return {
        "get, p50, ms": get,
        "put with callback, p50, ms": put,
        "get by p4p, p50, ms": got,
        "put with callback by p4p, p50, ms": written,
    }


def monitors(name: str) -> dict[str, float]:
    """Ten clients that monitor a thousand PVs each."""
    with running(name, 1000, 1) as server:
        clients = [connection(server) for _ in range(10)]
        for client in clients:
            client.monitor(client.create([f"B:{number}" for number in range(1000)]))
        listen(clients, 3)
        before, begun = server.cpu(), time.monotonic()
        count, ages = listen(clients, 10)
        percent = 100 * (server.cpu() - before) / (time.monotonic() - begun)
        for client in clients:
            client.close()
    assert count, f"{name} sent no updates"
    return {
        "1000 PVs at 1 Hz to 10 clients: age p50, ms": float(np.median(ages)) * 1e3,
        "the same: age p99, ms": float(np.percentile(ages, 99)) * 1e3,
        "the same: CPU, %": percent,
        "the same: received of 100,000": count,
    }


GOALS: dict[str, tuple[float, bool]] = {
    "put with callback, p50, ms": (2.5, True),
    "put with callback by p4p, p50, ms": (2.5, True),
    "1000 PVs at 1 Hz to 10 clients: age p50, ms": (10, False),
}
"""At most this; if true, times that of softIocPVX."""

Results = dict[str, dict[str, list[float]]]


def pva_table(results: Results, rounds: int) -> list[str]:
    lines = [
        f"| PVAccess, median of {rounds} | softIocPVX | attpc-ioc | ratio | must reach | reached |",
        "|---|---:|---:|---:|---|---|",
    ]
    for row, of in results.items():
        other, ours = (statistics.median(of[name]) for name in (OTHER, ON))
        bound, times = GOALS.get(row, (0.0, False))
        reached = (
            f"≤ {bound:g}{' times softIocPVX' if times else ''} | "
            f"{'yes' if ours <= bound * (other if times else 1) else '**no**'}"
            if bound
            else "|"
        )
        lines.append(f"| {row} | {other:.3g} | {ours:.3g} | {ours / other:.2f} | {reached} |")
    return lines


def ca_table(results: Results, rounds: int) -> list[str]:
    lines = [
        f"| Channel Access, median of {rounds} | without PVAccess | with it | ratio | must reach |",
        "|---|---:|---:|---:|---|",
    ]
    for row, of in results.items():
        off, on = (statistics.median(of[name]) for name in (OFF, ON))
        ratio = f"{on / off:.2f}" if off else ""
        lines.append(f"| {row} | {off:.3g} | {on:.3g} | {ratio} | {'' if 'received' in row else '≤ 1.1'} |")
    return lines


def main() -> None:
    rounds = next((int(argument) for argument in sys.argv[1:] if argument.isdecimal()), 3)
    by_pva: Results = {}
    by_ca: Results = {}
    loads: list[float] = []
    for _ in range(rounds):
        for results, measures, names in (
            (by_pva, (single, monitors), (OTHER, ON)),
            (by_ca, (ca.put_callback, ca.catime, ca.monitors, ca.cost), (OFF, ON)),
        ):
            for measure in measures:
                for name in names:
                    loads.append(os.getloadavg()[0])
                    for row, number in measure(name).items():
                        results.setdefault(row, {}).setdefault(name, []).append(number)
                        print(f"{name:22} {row}: {number:.4g}", flush=True)
    when = f"{datetime.now().astimezone():%Y-%m-%d}, {os.cpu_count()} CPUs, load {min(loads):.1f} to {max(loads):.1f}"
    packages = ", ".join(f"{package} {version(package)}" for package in ("p4p", "pvxslibs"))
    about = f"{when}, Python {platform.python_version()}, {packages}."
    result = "\n".join([*pva_table(by_pva, rounds), "", *ca_table(by_ca, rounds), "", about])
    print(result)
    if "--write" in sys.argv:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(text[: text.index(BEGIN) + len(BEGIN)] + f"\n{result}\n" + text[text.index(END) :])


if __name__ == "__main__":
    main()
