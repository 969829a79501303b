"""Compares our PVAccess server with softIocPVX (pvxs' own IOC), and Channel Access with PVAccess on and off.

Run with  python -m benchmarks.pva [ROUNDS] [beside] [--write].  The two servers of PVAccess are measured one after the
other, in another order in each round; the tables have medians. How Channel Access is measured says
`benchmarks.pva_beside`; with *beside*, only that is done. --write puts the tables into docs/performance.md after each
round.
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

from benchmarks.ca import DOCUMENT, running
from benchmarks.pva_beside import SERVERS, Results, beside, connection, table
from benchmarks.pva_client import listen
from benchmarks.pva_together import A_PV, MANY, together

OTHER, ON = "softIocPVX", SERVERS["on"]
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
    f"{A_PV}: p99, ms": (5, False),
    f"{MANY}: p50, ms": (5, False),
    f"{MANY}: p99, ms": (5, False),
}
"""At most this; if true, times that of softIocPVX."""


def _shown(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


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
        lines.append(f"| {row} | {_shown(other)} | {_shown(ours)} | {ours / other:.2f} | {reached} |")
    return lines


def main() -> None:
    rounds = next((int(argument) for argument in sys.argv[1:] if argument.isdecimal()), 3)
    by_pva: Results = {}
    by_ca: Results = {}
    loads: list[float] = []
    for done in range(1, rounds + 1):
        for measure in () if "beside" in sys.argv else (single, monitors, together):
            for name in (OTHER, ON) if done % 2 else (ON, OTHER):
                loads.append(os.getloadavg()[0])
                for row, number in measure(name).items():
                    by_pva.setdefault(row, {}).setdefault(name, []).append(number)
                    print(f"{name:22} {row}: {number:.4g}", flush=True)
        loads.append(os.getloadavg()[0])
        beside(by_ca)
        when = (
            f"{datetime.now().astimezone():%Y-%m-%d}, {os.cpu_count()} CPUs, load {min(loads):.1f} to {max(loads):.1f}"
        )
        packages = ", ".join(f"{package} {version(package)}" for package in ("p4p", "pvxslibs"))
        about = f"{when}, Python {platform.python_version()}, {packages}."
        tables = [*([*pva_table(by_pva, done), ""] if by_pva else []), *table(by_ca, _shown)]
        print("\n".join([*tables, "", about]), flush=True)
        if "--write" in sys.argv:
            text = DOCUMENT.read_text()
            result = "\n".join([*tables, "", about])
            DOCUMENT.write_text(text[: text.index(BEGIN) + len(BEGIN)] + f"\n{result}\n" + text[text.index(END) :])


if __name__ == "__main__":
    main()
