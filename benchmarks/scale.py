"""How the IOC grows with the detector: a table for docs/performance.md.

    python -m benchmarks.scale [parts …] [--observables …] [--write]

For each number of parts, `attpc-ioc run` controls so many simulated ECC servers with a CoBo and a data router each, all
on this machine, three of the routers over SSH. The simulators' transitions take no time (speed 1000), so that what a
step takes is the IOC's part and the processor time of the simulators, which share this machine with it; the settle time
is subtracted from Stop. CPU and memory are those of the IOC and its receiving process. The CPU includes the scripts
that look at this machine every two seconds, which with a real detector run on the hosts of the routers.

The observables change once a second.

The latency of a state is the time from the time stamp of an update of `ECC:…:State` to its arrival in a client that
monitors the states of all servers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.epics import Epics
from tests.sshd import SshServer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/performance.md"
MARK = "<!-- table of python -m benchmarks.scale -->\n"
END = "<!-- end of the scale table -->"
OVER_SSH = 3
SETTLE = 1.0
"""What `attpc-ioc demo` sets."""
IDLE_SECONDS = 10.0
STEPS = ("Describe", "Prepare", "Configure", "Start", "Stop")
ROWS = (
    ("first PV after the start, s", "ready"),
    ("CPU idle, % of a core", "cpu_idle"),
    ("of it the scripts that look at this machine", "scripts_idle"),
    ("CPU in a run, % of a core", "cpu_running"),
    ("of it the scripts that look at this machine", "scripts_running"),
    ("memory at the end, MB", "memory"),
    *((f"{step}, s", step) for step in STEPS[:-1]),
    ("Stop after settling, s", "Stop"),
    ("CPU time of Start, s", "cpu_of_Start"),
    ("CPU time of Stop, s", "cpu_of_Stop"),
    ("latency of a state, p50, ms", "p50"),
    ("latency of a state, p99, ms", "p99"),
)


def described(parts: int, observables: int) -> dict[str, Any]:
    """Return the topology as the simulator's plan needs it."""
    names = [f"CoBo{i}" for i in range(parts)]
    return {
        "prefix": "S:",
        "experiment": "scale",
        "database": "runs.db",
        "timeouts": {"state": 60.0, "ssh": 60.0},
        "ecc_servers": [
            {"name": name, "role": "cobo", "host": "127.0.0.1", "port": 10_000 + i} for i, name in enumerate(names)
        ],
        "data_routers": [{"name": f"data{i}", "host": "127.0.0.1", "port": 20_000 + i} for i in range(parts)],
        "data_sources": [
            {"id": f"CoBo[{i}]", "ecc_server": name, "data_routers": [f"data{i}"]} for i, name in enumerate(names)
        ],
        "observables": [{"name": f"v{i}", "pv": f"SIM:{i}"} for i in range(observables)],
    }


async def measure(parts: int, observables: int) -> dict[str, float]:
    """Run one size of detector."""
    from ioc.app.demo import on_this_machine, site_plan, slow_control_environment  # noqa: PLC0415
    from ioc.sim import Site  # noqa: PLC0415
    from ioc.sim.processes import SlowControls  # noqa: PLC0415
    from ioc.topology.load import load  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name, Epics() as epics, SshServer(Path(name)) as sshd:
        directory = Path(name)
        path = directory / "topology.yaml"
        path.write_text(yaml.safe_dump(described(parts, observables)))
        topology = load(path)
        plan = site_plan(topology, directory, speed=1000.0)
        slow_controls = SlowControls(plan.observables, 1.0)  # at that speed they would change ten times a second
        async with contextlib.AsyncExitStack() as ending:
            site = await ending.enter_async_context(Site(dataclasses.replace(plan, observables=())))
            ending.push_async_callback(slow_controls.close)
            await slow_controls.start()
            here = on_this_machine(topology, site.addresses, directory).model_dump(mode="json", exclude_defaults=True)
            for router in here["data_routers"][:OVER_SSH]:
                router["ssh"] = sshd.settings().model_dump(mode="json")
            path.write_text(yaml.safe_dump(here))
            addresses = dataclasses.replace(site.addresses, ca_port=slow_controls.port)
            environment = epics.environment(**slow_control_environment(addresses))
            began = time.monotonic()
            with (directory / "ioc.log").open("wb") as log:
                command = [sys.executable, "-c", "from ioc.cli.main import main; main()", "run", "--topology", path]
                ioc = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                client = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.scale", "--client", str(parts), str(ioc.pid), str(began)),
                    env=epics.environment(),
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                )
                answer, _ = await client.communicate()
                if client.returncode:
                    sys.exit((directory / "ioc.log").read_text()[-3000:])
            finally:
                ioc.terminate()
                await ioc.wait()
        return json.loads(answer)


class Processes:
    """The IOC and its receiving process."""

    def __init__(self, pid: int) -> None:
        """The receiving process runs; all other children are scripts, and younger."""
        self._ioc = psutil.Process(pid)
        self._both = self._ioc, min(self._ioc.children(), key=psutil.Process.create_time)

    def seconds(self) -> float:
        """CPU time until now, with that of the scripts on this machine."""
        return self.scripts() + sum(sum(process.cpu_times()[:2]) for process in self._both)

    def scripts(self) -> float:
        """CPU time of the scripts that have ended."""
        times = self._ioc.cpu_times()
        return times.children_user + times.children_system

    def memory(self) -> float:
        """Resident MB."""
        return sum(process.memory_info().rss for process in self._both) / 1e6

    async def load(self, seconds: float) -> tuple[float, float]:
        """CPU in percent of a core, and that of the scripts alone."""
        used, of_scripts, began = self.seconds(), self.scripts(), time.monotonic()
        await asyncio.sleep(seconds)
        percent = 100 / (time.monotonic() - began)
        return percent * (self.seconds() - used), percent * (self.scripts() - of_scripts)


async def as_client(parts: int, pid: int, began: float) -> dict[str, float]:
    """Take one run, and return what was measured."""
    import aioca  # noqa: PLC0415 - reads its environment when it is imported

    async def until(pv: str, value: str) -> None:
        deadline = time.monotonic() + 300
        while str(await aioca.caget(pv, datatype=str, timeout=5, throw=False)) != value:
            if time.monotonic() > deadline:
                why = await aioca.caget("S:Run:StartBlockedBy", datatype=aioca.DBR_CHAR_STR, timeout=5, throw=False)
                sys.exit(f"{pv} did not become {value}: {why}")
            await asyncio.sleep(0.05)

    figures: dict[str, float] = {}
    await until("S:Run:State", "Stopped")
    figures["ready"] = time.monotonic() - began
    await until("S:State", "Idle")
    processes, ages = Processes(pid), list[float]()
    states = [
        aioca.camonitor(
            f"S:ECC:CoBo{i}:State", lambda value: ages.append(time.time() - value.timestamp), format=aioca.FORMAT_TIME
        )
        for i in range(parts)
    ]
    await asyncio.sleep(5)
    figures["cpu_idle"], figures["scripts_idle"] = await processes.load(IDLE_SECONDS)
    ages.clear()
    for step in STEPS:
        if step == "Start":
            await until("S:Run:CanStart", "Yes")
        at, used = time.monotonic(), processes.seconds()
        await aioca.caput(f"S:{'Run:' * (step in ('Start', 'Stop'))}{step}", 1, wait=True, timeout=300)
        figures[step] = time.monotonic() - at - SETTLE * (step == "Stop")
        figures[f"cpu_of_{step}"] = processes.seconds() - used
        if step == "Start":
            figures["cpu_running"], figures["scripts_running"] = await processes.load(IDLE_SECONDS)
    figures["memory"] = processes.memory()
    ages.sort()
    figures["p50"], figures["p99"] = (1000 * ages[int(part * len(ages))] for part in (0.5, 0.99))
    for each in states:
        each.close()
    aioca.purge_channel_caches()
    return figures


def table(measured: dict[tuple[int, int], dict[str, float]]) -> str:
    """Return the table, with the growth from the first to the last column for each ECC server and router more."""
    sizes = list(measured)
    more = sizes[-1][0] - sizes[0][0]
    heads = [f"{parts} and {observables}" for parts, observables in sizes]
    lines = [f"| ECC servers and routers, observables | {' | '.join(heads)} | for each server and router more |"]
    lines.append("|---|" + "---:|" * (len(sizes) + 1))
    for title, key in ROWS:
        values = [measured[size][key] for size in sizes]
        growth = f"{(values[-1] - values[0]) / more:.3g}" if more else ""
        lines.append(f"| {title} | {' | '.join(f'{value:.3g}' for value in values)} | {growth} |")
    load = os.getloadavg()[0]
    lines.append("")
    lines.append(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load at the end {load:.1f}, Python "
        f"{platform.python_version()}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure each size, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", type=int, default=[12, 100, 100, 300])
    parser.add_argument(
        "--observables", nargs="*", type=int, default=[30, 0, 300, 1000], help="one for each of `parts`"
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        parts, pid, began = options.client
        print(json.dumps(asyncio.run(as_client(int(parts), int(pid), float(began)))))
        return
    measured: dict[tuple[int, int], dict[str, float]] = {}
    for size in zip(options.parts, options.observables, strict=False):
        measured[size] = asyncio.run(measure(*size))
        print(size, measured[size], flush=True)
    text = table(measured)
    print(text)
    if options.write:
        pattern = re.compile(f"(?<={re.escape(MARK)}).*?(?={re.escape(END)})", re.DOTALL)
        PAGE.write_text(pattern.sub(lambda _: f"{text}\n", PAGE.read_text()))


if __name__ == "__main__":
    main()
