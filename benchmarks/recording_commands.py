"""Whether recording at full rate slows commands: the table in docs/performance.md.

    python -m benchmarks.recording_commands [puts]

The whole IOC with simulated ECC servers and data routers runs in a process of its own, first without observables, then
with 1000 counters of a softIoc at 10 Hz. Puts with callback: a title, and Describe of one ECC
server, which goes to it over SOAP and is answered when the server has reached its state; Undo takes it back.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
import yaml

from benchmarks.recording import COUNTERS, NORMAL, counting
from tests.epics import Epics

ROOT = Path(__file__).parents[1]
MODULE = [sys.executable, "-m", "benchmarks.recording_commands"]


async def serve_ioc(observables: int, directory: Path) -> None:
    """The IOC of topology.yaml on this machine, with so many counters as observables."""
    from ioc.app.demo import on_this_machine, site_plan  # noqa: PLC0415 - each process imports what it needs
    from ioc.app.serve import serve  # noqa: PLC0415
    from ioc.sim import Site  # noqa: PLC0415
    from ioc.topology.load import load  # noqa: PLC0415

    described: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    described["observables"] = []
    described["runs"]["require"] = []
    path = directory / "topology.yaml"
    path.write_text(yaml.safe_dump(described))
    plan = site_plan(load(path), directory, speed=100.0)
    described["observables"] = [{"name": f"v{number}", "pv": f"B:{number}"} for number in range(observables)]
    path.write_text(yaml.safe_dump(described))
    async with Site(plan) as site:
        topology = on_this_machine(load(path), site.addresses, directory)
        await serve(topology, lambda: topology, simulated=True)


async def put_times(observables: int, puts: int) -> dict[str, list[float]]:
    """Milliseconds until a put was answered."""
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
    for number in range(puts):
        for name, pv, value in (
            ("Run:Title", "Run:Title", f"title {number}"),
            ("Describe", f"ECC:{server}:Describe", 1),
            ("Undo", f"ECC:{server}:Undo", 1),
        ):
            begun = time.monotonic()
            await aioca.caput(f"{prefix}{pv}", value, wait=True, timeout=30)
            taken[name].append(1000 * (time.monotonic() - begun))
    rate, dropped, cpu = [
        await aioca.caget(f"{prefix}IOC:{name}", timeout=5)
        for name in ("DatabaseRate", "DatabaseDropped", "CPUPercent")
    ]
    print(f"{observables} observables: {rate:.0f} rows/s, {dropped} dropped, CPU {cpu:.0f} %")
    aioca.purge_channel_caches()
    return taken


def measure(observables: int, puts: int) -> None:
    with counting(NORMAL) as source, Epics() as epics, tempfile.TemporaryDirectory() as directory:
        environment = epics.environment(EPICS_CA_ADDR_LIST=source.env["EPICS_CA_ADDR_LIST"])
        ioc = subprocess.Popen([*MODULE, "ioc", str(observables), directory], env=environment)
        try:
            subprocess.run([*MODULE, "puts", str(observables), str(puts)], env=epics.environment(), check=True)
        finally:
            ioc.terminate()
            ioc.wait(30)


def show(taken: dict[str, list[float]]) -> None:
    for name, milliseconds in taken.items():
        ordered = sorted(milliseconds)
        print(f"  {name:10} p50 {statistics.median(ordered):7.1f} ms   p95 {ordered[int(0.95 * len(ordered))]:7.1f} ms")


def main() -> None:
    match sys.argv[1:]:
        case ["ioc", observables, directory]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve_ioc(int(observables), Path(directory)))
        case ["puts", observables, puts]:
            show(asyncio.run(put_times(int(observables), int(puts))))
        case rest:
            for observables in (0, COUNTERS):
                measure(observables, int(rest[0]) if rest else 100)


if __name__ == "__main__":
    main()
