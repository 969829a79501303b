"""Whether recording slows commands: put with callback on a simulated detector, without and with 3,000 samples/s.

    python -m benchmarks.recording_commands [puts]

``attpc-ioc demo`` runs in a process of its own with no observables, then with 300 at 10 Hz (its simulated slow
controls do not start with 1000). Each command Describe goes to one ECC server over SOAP and is answered when the server
has reached its state; Undo takes it back.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.epics import Epics

ROOT = Path(__file__).parents[1]
OBSERVABLES = 300


async def put_times(prefix: str, server: str, puts: int) -> dict[str, list[float]]:
    """Milliseconds until a put was answered."""
    import aioca  # noqa: PLC0415 - reads its environment when it is imported

    deadline = time.monotonic() + 120
    while True:
        state = await aioca.caget(f"{prefix}ECC:{server}:State", timeout=5, datatype=str, throw=False)
        if state.ok and str(state) == "Idle":
            break
        assert time.monotonic() < deadline, "the detector did not come up"
        await asyncio.sleep(0.5)
    await asyncio.sleep(15)
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
    rate = await aioca.caget(f"{prefix}IOC:DatabaseRate", timeout=5)
    dropped = await aioca.caget(f"{prefix}IOC:DatabaseDropped", timeout=5)
    cpu = await aioca.caget(f"{prefix}IOC:CPUPercent", timeout=5)
    print(f"  rows/s {rate:.0f}, dropped {dropped}, CPU {cpu:.0f} %")
    aioca.purge_channel_caches()
    return taken


def measure(observables: int, puts: int) -> None:
    described: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    described["observables"] = [{"name": f"v{number}", "pv": f"B:{number}"} for number in range(observables)]
    described["runs"]["require"] = []
    with Epics() as epics, tempfile.TemporaryDirectory() as directory:
        topology = Path(directory) / "topology.yaml"
        topology.write_text(yaml.safe_dump(described))
        command = [sys.executable, "-c", "from ioc.cli.main import main; main()", "demo", "--speed", "100"]
        arguments = ["--topology", str(topology), "--directory", f"{directory}/data", "--log-level", "error"]
        demo = subprocess.Popen([*command, *arguments], env=epics.environment(), stdout=subprocess.DEVNULL)
        os.environ.update(epics.env)
        server = described["ecc_servers"][0]["name"]
        try:
            print(f"{observables} observables")
            taken = asyncio.run(put_times(described["prefix"], server, puts))
        finally:
            demo.terminate()
            demo.wait(30)
    for name, milliseconds in taken.items():
        ordered = sorted(milliseconds)
        print(f"  {name:10} p50 {statistics.median(ordered):7.1f} ms   p95 {ordered[int(0.95 * len(ordered))]:7.1f} ms")


def main() -> None:
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), int(sys.argv[2]))
        return
    puts = sys.argv[1] if len(sys.argv) > 1 else "100"
    for observables in (0, OBSERVABLES):  # libca reads its ports once in a process
        subprocess.run([sys.executable, "-m", "benchmarks.recording_commands", str(observables), puts], check=True)


if __name__ == "__main__":
    main()
