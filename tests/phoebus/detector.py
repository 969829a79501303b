"""A simulated detector with the real IOC in front of it: ``attpc-ioc demo``, but the way to its faults is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from ioc.app import demo
from ioc.app.serve import serve
from ioc.sim import Site
from ioc.topology.load import load
from ioc.topology.schema import Topology


async def run(topology_file: Path, directory: Path) -> None:
    """Serve until SIGINT; the first line on stdout is the port for faults, the second says that PVs can be read."""
    file = directory / "topology.yaml"  # a copy, to which an observable is added
    shutil.copyfile(topology_file, file)
    topology = load(file)
    async with Site(demo.site_plan(topology, directory, speed=8)) as site:
        print(site.addresses.control_port, flush=True)
        os.environ.update(demo.slow_control_environment(site.addresses))

        def here(topology: Topology) -> Topology:
            """A demo restarts no program and runs no hooks; here it does, but no test presses Yes to restart one."""
            simulated = demo.on_this_machine(topology, site.addresses, directory)
            # An ECC server stays in Preparing while all pages are looked at, which takes minutes on a busy machine.
            timeouts = simulated.timeouts.model_copy(update={"transition": 3600.0})
            return simulated.model_copy(update={"units": topology.units, "hooks": topology.hooks, "timeouts": timeouts})

        def again() -> Topology:
            return here(load(file))

        await serve(here(topology), again, file=file, simulated=True, when_ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
