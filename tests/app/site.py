"""The whole IOC in the test's own process, in front of simulated ECC servers, with a topology file to be changed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, Self

import yaml

from ioc.app.serve import serve
from ioc.sim import ServerPlan
from ioc.sim.configs import ConfigDirectory
from ioc.sim.ecc_server import EccServer
from ioc.sim.electronics import Electronics
from ioc.sim.ports import free_port
from ioc.topology.load import load
from tests.epics import LOOPBACK, PATIENCE, Epics

NAMES = ("CoBo0", "CoBo1")


class RunningIoc:
    """Async context manager: inside it `ioc.app.serve.serve` runs."""

    def __init__(self, directory: Path, epics: Epics, **topology: Any) -> None:
        """`topology`: keys of the topology at the start."""
        self.directory = directory
        self.file = directory / "topology.yaml"
        self.epics = epics
        self.servers: dict[str, EccServer] = {}
        self.task: asyncio.Task[None] | None = None
        self.ready = 0
        self._first = topology
        self._router_ports = {name: free_port() for name in NAMES}

    async def __aenter__(self) -> Self:
        configs = self.directory / "configs"
        configs.mkdir()
        for kind in ("describe", "prepare", "configure"):
            (configs / f"{kind}-a.xcfg").touch()
        for n, name in enumerate(NAMES):
            server = EccServer(
                ServerPlan(name, (f"CoBo[{n}]",)),
                ConfigDirectory(configs),
                Electronics((f"CoBo[{n}]",), 1000),
                self.directory / f"{name}.log",
                20.0,
            )
            await server.start()
            self.servers[name] = server
        self.write(**self._first)
        self.task = asyncio.create_task(
            serve(load(self.file), lambda: load(self.file), file=self.file, when_ready=self._count)
        )
        await self.until("State", "Idle")
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self.task is not None
        if not self.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait([self.task])
        for server in self.servers.values():
            await server.close()

    def _count(self) -> None:
        self.ready += 1

    def write(self, **changes: Any) -> None:
        """Write the topology, with some of its keys replaced."""
        config = {"describe": "a", "prepare": "a", "configure": "a"}
        topology = {
            "prefix": "T:",
            "experiment": "e1",
            "database": "runs.db",
            "ssh": "local",
            "ecc_servers": [
                {"name": name, "role": "cobo", "host": LOOPBACK, "port": server.address.port, "config": dict(config)}
                for name, server in self.servers.items()
            ],
            "data_routers": [
                {"name": name, "host": LOOPBACK, "port": port} for name, port in self._router_ports.items()
            ],
            "data_sources": [
                {"id": f"CoBo[{n}]", "ecc_server": name, "data_routers": [name]} for n, name in enumerate(NAMES)
            ],
            "polling": {"ecc": 0.1, "ecc_busy": 0.05, "routers": 0.5},
            "observables": [{"name": "gas", "type": "string"}],
            **changes,
        }
        self.file.write_text(yaml.safe_dump(topology, sort_keys=False))

    async def get(self, pv: str, *options: str) -> str:
        """A PV's value, empty if nobody serves it."""
        done = await self.epics.acaget("-t", *options, pv)
        return done.stdout.strip() if done.returncode == 0 else ""

    async def absent(self, pv: str) -> bool:
        """Whether nobody serves a PV."""
        return await asyncio.to_thread(self.epics.absent, pv)

    async def put(self, pv: str, value: str = "1") -> bool:
        """Put with callback; whether it succeeded."""
        done = await self.epics.acaput("-c", pv, value)
        return done.returncode == 0 and "failed" not in (done.stdout + done.stderr).lower()

    async def until(self, pv: str, value: str, prefix: str = "T:") -> None:
        """Wait until a PV has a value."""
        assert self.task is not None
        async with asyncio.timeout(PATIENCE):
            while await self.get(prefix + pv, "-w", "2") != value:
                assert not self.task.done(), self.task
                await asyncio.sleep(0.02)

    async def log(self) -> str:
        """The entries of the log, newest first."""
        return await self.get("T:Log:Lines", "-S")
