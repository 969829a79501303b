"""Everything of a simulated site, put together; lives in the process of ``python -m ioc.sim``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ioc.sim.configfiles import write_configs
from ioc.sim.ecc_arguments import ConfigDirectory
from ioc.sim.ecc_server import EccServer
from ioc.sim.electronics import Electronics
from ioc.sim.plan import SiteAddresses, SitePlan
from ioc.sim.router_process import RouterProcess, link_interpreter
from ioc.sim.slowcontrol_process import SlowControls

_WEIGHT = {"cobo": 1.0, "mutant": 0.1}


class Simulation:
    """Owns the servers, the routers and the slow controls of one plan."""

    def __init__(self, plan: SitePlan) -> None:
        directory = Path(plan.directory).resolve()
        self._config_root = directory / "configs"
        write_configs(self._config_root, plan.configs)
        interpreter = link_interpreter(directory / "bin")
        rate = _rate_of_a_cobo(plan)
        self.servers: dict[str, EccServer] = {}
        for server in plan.servers:
            folder = directory / "ecc" / server.name
            folder.mkdir(parents=True, exist_ok=True)
            self.servers[server.name] = EccServer(
                server,
                ConfigDirectory(self._config_root, server.release),
                Electronics(server.sources, rate * _WEIGHT.get(server.role, 1.0), server.asads, server.host),
                folder / "getEccSoapServer.log",
                plan.speed,
            )
        self.sources = {
            source.name: source for server in self.servers.values() for source in server.electronics.sources
        }
        self.routers = {
            router.name: RouterProcess(
                router,
                directory / "routers" / router.name,
                interpreter,
                plan.file_size,
                plan.disk_budget // len(plan.routers),
            )
            for router in plan.routers
        }
        self.slow_controls = SlowControls(plan.observables, plan.speed)

    async def start(self) -> None:
        """Start everything at once; returns when all of it is ready."""
        async with asyncio.TaskGroup() as starting:
            starting.create_task(self.slow_controls.start())
            for part in (*self.routers.values(), *self.servers.values()):
                starting.create_task(part.start())

    def addresses(self, control_port: int) -> SiteAddresses:
        """Where everything is, once started."""
        return SiteAddresses(
            servers={name: server.address for name, server in self.servers.items()},
            routers={name: router.address for name, router in self.routers.items()},
            config_root=str(self._config_root),
            ca_port=self.slow_controls.port,
            control_port=control_port,
        )

    async def close(self) -> None:
        """End everything, all at once."""
        parts = (self.slow_controls, *self.routers.values(), *self.servers.values())
        await asyncio.gather(*(part.close() for part in parts))


def _rate_of_a_cobo(plan: SitePlan) -> float:
    weight = sum(len(server.sources) * _WEIGHT.get(server.role, 1.0) for server in plan.servers)
    return plan.data_rate / weight if weight else 0.0
