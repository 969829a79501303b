"""All parts of a simulated site, in the process of ``python -m ioc.sim``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from ioc.sim.configs import ConfigDirectory, write_configs
from ioc.sim.ecc_server import EccServer
from ioc.sim.electronics import Electronics
from ioc.sim.plan import SiteAddresses, SitePlan
from ioc.sim.processes import RouterProcess, SlowControls, link_interpreter
from ioc.sim.readout_gui import ReadoutGui

_WEIGHT = {"cobo": 1.0, "mutant": 0.1}


class Simulation:
    """Owns the servers, the routers and the slow controls of one plan."""

    def __init__(self, plan: SitePlan) -> None:
        directory = Path(plan.directory).resolve()
        self._config_root = directory / "configs"
        write_configs(self._config_root, plan.configs)
        interpreter = link_interpreter(directory / "bin")
        weights = {server.name: _WEIGHT.get(server.role, 1.0) for server in plan.servers}
        total = sum(len(server.sources) * weights[server.name] for server in plan.servers)
        self.servers: dict[str, EccServer] = {}
        for server in plan.servers:
            folder = directory / "ecc" / server.name
            folder.mkdir(parents=True, exist_ok=True)
            rate = plan.data_rate * weights[server.name] / total if total else 0.0
            self.servers[server.name] = EccServer(
                server,
                ConfigDirectory(self._config_root, server.release),
                Electronics(server.sources, rate, server.asads, server.host, server.readout),
                folder / "getEccSoapServer.log",
                plan.speed,
            )
        self.sources = {
            source.name: source for server in self.servers.values() for source in server.electronics.sources
        }
        budget = plan.disk_budget // max(1, len(plan.routers))
        self.routers = {
            router.name: RouterProcess(router, directory / "routers" / router.name, interpreter, plan.file_size, budget)
            for router in plan.routers
        }
        self.partners = {each.name: ReadoutGui(each, plan.speed) for each in plan.partners}
        self.slow_controls = SlowControls(plan.observables, plan.speed)

    async def start(self) -> None:
        async with asyncio.TaskGroup() as starting:
            for part in (self.slow_controls, *self._others()):
                starting.create_task(part.start())

    async def close(self) -> None:
        await asyncio.gather(*(part.close() for part in (self.slow_controls, *self._others())))

    def _others(self) -> tuple[RouterProcess | EccServer | ReadoutGui, ...]:
        return (*self.routers.values(), *self.servers.values(), *self.partners.values())

    def addresses(self, control_port: int) -> SiteAddresses:
        """Addresses of all parts, once started."""
        return SiteAddresses(
            servers={name: server.address for name, server in self.servers.items()},
            routers={name: router.address for name, router in self.routers.items()},
            config_root=str(self._config_root),
            ca_port=self.slow_controls.port,
            control_port=control_port,
            partners={name: partner.address for name, partner in self.partners.items()},
        )

    def status(self) -> dict[str, Any]:
        """The state of every part, for the command ``status``."""
        return {
            "pid": os.getpid(),
            "ecc": {name: server.status() for name, server in self.servers.items()},
            "sources": {
                name: {"links": int(source.port > 0), "next_event": source.event, "silent": source.silent}
                for name, source in self.sources.items()
            },
            "routers": {name: {"pid": router.pid} for name, router in self.routers.items()},
            "partners": {name: partner.status() for name, partner in self.partners.items()},
            "slow_controls": {"pid": self.slow_controls.pid},
        }
