"""Whether recording at full rate slows commands: a table for docs/performance.md.

    python -m benchmarks.recording_commands [puts] [rounds] [counters]

The whole IOC with simulated ECC servers and data routers runs in a process of its own, four times in turn, while a
softIoc changes 300 counters (or as many as asked for) at 10 Hz: *without* observables; while another process *discards*
what it receives by aioca; *beside* another program that records in the IOC's way; and *within*, where the IOC records
them itself.

Puts with callback at random moments: a title, and Describe of one ECC server, which goes to it over SOAP and is
answered when the server has reached its state; Undo takes it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
import yaml

from benchmarks.recording import FEW, Client, counting
from tests.epics import Epics

ROOT = Path(__file__).parents[1]
MODULE = [sys.executable, "-m", "benchmarks.recording_commands"]
CASES = ("without", "discards", "beside", "within")
OTHERS = {"discards": "aioca", "beside": "attpc-ioc"}
"""What the other process does with the counters."""
PAUSE_SECONDS = 0.1
"""Longest pause between puts; it is also the period of the counters, whose every phase is met alike."""


async def serve_ioc(observables: int, directory: Path) -> None:
    """The IOC of topology.yaml on this machine, with so many counters as observables."""
    from ioc.app.demo import on_this_machine, site_plan  # noqa: PLC0415 - each process imports what it needs
    from ioc.app.serve import serve  # noqa: PLC0415
    from ioc.sim import Site  # noqa: PLC0415
    from ioc.topology.load import load  # noqa: PLC0415

    described: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    described["observables"] = []
    described["interlocks"] = []
    described["runs"]["require"] = []
    path = directory / "topology.yaml"
    path.write_text(yaml.safe_dump(described))
    plan = site_plan(load(path), directory, speed=100.0)
    described["observables"] = [{"name": f"v{number}", "pv": f"B:{number}"} for number in range(observables)]
    path.write_text(yaml.safe_dump(described))
    async with Site(plan) as site:
        topology = on_this_machine(load(path), site.addresses, directory)
        await serve(topology, lambda: topology, simulated=True)


async def put_times(observables: int, puts: int) -> dict[str, Any]:
    """Milliseconds until a put was answered, and what the IOC says of itself."""
    import aioca  # noqa: PLC0415 - reads its environment when it is imported

    described: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    prefix, server = described["prefix"], described["ecc_servers"][0]["name"]
    last = f"Obs:v{observables - 1}:Connected" if observables else "Run:CanStart"
    deadline = time.monotonic() + 120
    for name, ready in ((f"ECC:{server}:State", "Idle"), (last, "Yes" if observables else "No")):
        while True:
            value = await aioca.caget(f"{prefix}{name}", timeout=5, datatype=str, throw=False)
            if value.ok and str(value) == ready:
                break
            assert time.monotonic() < deadline, f"{name} did not become {ready}"
            await asyncio.sleep(0.5)
    await asyncio.sleep(10)  # its rate is a mean over seconds
    taken: dict[str, list[float]] = {"Run:Title": [], "Describe": [], "Undo": []}
    chance = random.Random(0)
    for number in range(puts):
        for name, pv, value in (
            ("Run:Title", "Run:Title", f"title {number}"),
            ("Describe", f"ECC:{server}:Describe", 1),
            ("Undo", f"ECC:{server}:Undo", 1),
        ):
            await asyncio.sleep(chance.uniform(0, PAUSE_SECONDS))
            begun = time.monotonic()
            await aioca.caput(f"{prefix}{pv}", value, wait=True, timeout=30)
            taken[name].append(1000 * (time.monotonic() - begun))
    rate, dropped, cpu = [
        float(await aioca.caget(f"{prefix}IOC:{name}", timeout=5))
        for name in ("DatabaseRate", "DatabaseDropped", "CPUPercent")
    ]
    aioca.purge_channel_caches()
    return {"taken": taken, "rate": rate, "dropped": dropped, "cpu": cpu}


def measure(case: str, puts: int, counters: int) -> dict[str, Any]:
    """What `put_times` gives in one of the cases."""
    observables = counters if case == "within" else 0
    with contextlib.ExitStack() as stack:
        source, epics = stack.enter_context(counting(counters)), stack.enter_context(Epics())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if case in OTHERS:
            other = stack.enter_context(
                contextlib.closing(Client(source, OTHERS[case], directory / "other.db", counters))
            )
            other.ask("begin")
        environment = epics.environment(EPICS_CA_ADDR_LIST=source.env["EPICS_CA_ADDR_LIST"])
        ioc = subprocess.Popen(
            [*MODULE, "ioc", str(observables), str(directory)], env=environment, stderr=subprocess.PIPE
        )
        try:
            answer = subprocess.run(
                [*MODULE, "puts", str(observables), str(puts)],
                env=epics.environment(),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        finally:
            ioc.terminate()
            ioc.communicate(timeout=30)
        return json.loads(answer.stdout)


def table(rounds: list[dict[str, dict[str, Any]]]) -> str:
    """Rows of a table: each kind of put, p50, p95 and p99 of all rounds together."""

    def of(case: str, name: str) -> list[float]:
        return sorted(taken for each in rounds for taken in each[case]["taken"][name])

    lines = [f"| put with callback: p50, p95, p99 in ms | {' | '.join(CASES)} |", "|---|" + "---:|" * len(CASES)]
    for name in rounds[0]["without"]["taken"]:
        cells = [
            ", ".join(f"{times[int(part * len(times))]:.1f}" for part in (0.5, 0.95, 0.99))
            for times in (of(case, name) for case in CASES)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for fact in ("rate", "dropped", "cpu"):
        said = [", ".join(f"{each[case][fact]:.0f}" for each in rounds) for case in CASES]
        lines.append(f"| {fact}, each round | {' | '.join(said)} |")
    return "\n".join(lines)


def main() -> None:
    match sys.argv[1:]:
        case ["ioc", observables, directory]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve_ioc(int(observables), Path(directory)))
        case ["puts", observables, puts]:
            print(json.dumps(asyncio.run(put_times(int(observables), int(puts)))))
        case rest:
            puts, count, counters = (int(number) for number in [*rest, *("300", "2", FEW)[len(rest) :]])
            print(table([{case: measure(case, puts, counters) for case in CASES} for _ in range(count)]))


if __name__ == "__main__":
    main()
