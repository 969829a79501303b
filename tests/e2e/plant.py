"""A whole plant for the end-to-end tests: simulated site, topology file, the installed command, EPICS base's tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import yaml

from ioc.sim import ConfigNames, ObservablePlan, PartnerPlan, RouterPlan, ServerPlan, Site, SitePlan
from tests.epics import PATIENCE, Epics, eventually

PREFIX = "T9:"
COBOS = ("North", "South-2", "East_3")
MUTANT = "Trigger"
SERVERS = (*COBOS, MUTANT)
ROUTERS = ("rn", "rs", "re", "rt")
COMMAND = Path(sys.executable).parent / "attpc-ioc"


def site_plan(directory: Path, *, speed: float = 20.0) -> SitePlan:
    """Three CoBos of both builds and a MuTAnT, named as no example names them."""
    return SitePlan(
        directory=str(directory),
        servers=(
            *(ServerPlan(name, (f"CoBo[{n}]",), dialect="2.8" if n % 2 else "2.7") for n, name in enumerate(COBOS)),
            ServerPlan(MUTANT, ("Mutant[master]",), role="mutant"),
        ),
        routers=tuple(RouterPlan(name, "FDT" if name == "rt" else "TCP") for name in ROUTERS),
        observables=(
            ObservablePlan("SIM:gas:pressure", "float", "Torr", 100, 900),
            ObservablePlan("SIM:hv:cathode", "float", "kV", 0, 100),
        ),
        configs=ConfigNames(describe=("plain",), prepare=("p1",), configure=("p1", "c1", "c2")),
        speed=speed,
    )


class Plant:
    """The IOC as a process of its own in front of a simulated site. Async context manager."""

    command: tuple[str | Path, ...] = (COMMAND, "run", "--topology")
    """Starts the IOC, with the topology file as its last argument."""

    def __init__(
        self, directory: Path, epics: Epics, *, speed: float = 20.0, boards: int = len(SERVERS), **topology: Any
    ) -> None:
        """`boards`: how many of the sources there are, each with its server and router.

        The `partners` of the topology are simulated, whatever their host is.
        """
        self.directory = directory
        self.epics = epics
        plan = site_plan(directory / "site", speed=speed)
        partners = tuple(PartnerPlan(each["name"]) for each in topology.get("partners", []))
        self.site = Site(replace(plan, servers=plan.servers[:boards], routers=plan.routers[:boards], partners=partners))
        self._boards = boards
        self.file = directory / "plant.yaml"
        self.database = directory / "runs.db"
        self.log = directory / "ioc.log"
        self._changes = topology
        self._ioc: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.site)
        self._stack.callback(self.stop)
        try:
            self.write_topology()
            await self.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    def topology(self, **changes: Any) -> dict[str, Any]:
        """The topology as YAML has it, with some top-level keys replaced."""
        at = self.site.addresses
        config = {"describe": "plain", "prepare": "p1", "configure": "c1"}
        return {
            "prefix": PREFIX,
            "experiment": "e99",
            "database": str(self.database),
            "ssh": "local",
            "ecc_servers": [
                {
                    "name": name,
                    "role": "mutant" if name == MUTANT else "cobo",
                    "host": "127.0.0.1",
                    "port": at.servers[name].port,
                    "config": dict(config),
                    "config_root": at.config_root,
                    "config_backup_root": str(self.directory / "backups" / name),
                    "log_path": at.servers[name].log_path,
                }
                for name in SERVERS[: self._boards]
            ],
            "data_routers": [
                {
                    "name": name,
                    "host": "127.0.0.1",
                    "port": at.routers[name].port,
                    "type": "FDT" if name == "rt" else "TCP",
                    "log_path": at.routers[name].log_path,
                }
                for name in ROUTERS[: self._boards]
            ],
            "data_sources": [
                {
                    "id": "Mutant[master]" if name == MUTANT else f"CoBo[{n}]",
                    "ecc_server": name,
                    "data_routers": [ROUTERS[n]],
                }
                for n, name in enumerate(SERVERS[: self._boards])
            ],
            "polling": {"ecc": 0.3, "ecc_busy": 0.1, "routers": 0.5},
            "timeouts": {"state": 3, "transition": 30, "ssh": 20, "filing": 30},
            "runs": {"settle_seconds": 0.5, "min_disk_free_gb": 0.01, "require": ["pressure"]},
            "observables": [
                {"name": "pressure", "pv": "SIM:gas:pressure", "units": "Torr"},
                {"name": "cathode", "pv": "SIM:hv:cathode", "units": "kV"},
                {"name": "gas", "type": "string", "label": "Target gas"},
                {"name": "beam_energy", "type": "float", "units": "MeV/u"},
            ],
            **self._changes,
            "partners": [
                {"host": "127.0.0.1", "port_manager": at.partners[each["name"]].manager_port, **each}
                for each in self._changes.get("partners", [])
            ],
            **changes,
        }

    def write_topology(self, **changes: Any) -> None:
        self.file.write_text(yaml.safe_dump(self.topology(**changes), sort_keys=False))

    async def start(self) -> None:
        """Start the installed command and wait until its PVs can be read and every server was."""
        environment = {
            **self.epics.environment(),
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{self.site.addresses.ca_port}",
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as log:
            self._ioc = subprocess.Popen([*self.command, self.file], stdout=log, stderr=log, env=environment)
        await self.until("State", lambda state: state not in {"", "Unknown"})

    @property
    def pid(self) -> int:
        assert self._ioc is not None
        return self._ioc.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the IOC by a signal; returns its exit code."""
        if self._ioc is None:
            return 0
        self._ioc.send_signal(number)
        code = self._ioc.wait(60)
        self._ioc = None
        return code

    async def get(self, pv: str, *options: str) -> str:
        """A PV's value as text, empty if it is not served."""
        done = await self.epics.acaget("-t", *options, PREFIX + pv)
        return done.stdout.rstrip("\n").strip() if done.returncode == 0 else ""

    async def text(self, pv: str) -> str:
        """A text PV's value."""
        return await self.get(pv, "-S")

    async def severity(self, pv: str) -> str:
        """A PV's alarm severity."""
        return await self.get(f"{pv}.SEVR")

    async def put(self, pv: str, value: str = "1", *options: str, timeout: float = PATIENCE) -> bool:
        """Put with callback; returns whether it succeeded."""
        done = await self.epics.acaput(
            "-c", "-w", str(timeout), *options, PREFIX + pv, value, timeout=timeout + PATIENCE
        )
        return done.returncode == 0 and "failed" not in (done.stdout + done.stderr).lower()

    async def until(self, pv: str, condition: Any, timeout: float = PATIENCE) -> str:
        """Wait until a PV's value fulfils a condition (or equals a text); returns it."""
        value = ""

        async def poll() -> None:
            nonlocal value
            while True:
                value = await self.get(pv, "-w", "2")
                if condition(value) if callable(condition) else value == condition:
                    return
                await asyncio.sleep(0.05)

        try:
            await asyncio.wait_for(poll(), timeout)
        except TimeoutError:
            raise AssertionError(f"{PREFIX}{pv} is {value!r} after {timeout} s\n{self.log_text()[-4000:]}") from None
        return value

    async def until_closed(self) -> None:
        """Wait until no run is open, also not in the database: PVs show a change before it is stored.

        After a start they also show Stopped before the open run has been read.
        """
        await self.until("Run:State", "Stopped")
        unfinished = "SELECT 1 FROM runs WHERE state NOT IN ('complete', 'failed', 'orphaned')"
        await eventually(lambda: not self.query(unfinished))
        await self.until("Run:State", "Stopped")

    async def stop_run(self) -> None:
        """Stop the run, and wait until the database has its end: on a slow disk Stop answers before."""
        assert await self.put("Run:Stop"), await self.text("Run:Message")
        await self.until_closed()

    async def to_ready(self) -> None:
        """Take all servers from Idle to Ready."""
        for step in ("Describe", "Prepare", "Configure"):
            assert await self.put(step), await self.text("Message")
        await self.until("Run:CanStart", "Yes")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Ask the run database as a physicist would, while the IOC writes."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute(sql, arguments).fetchall()

    async def control(self, **command: Any) -> dict[str, Any]:
        return await self.site.control(command)

    def graw_files(self) -> dict[str, int]:
        """Every file of data below the routers' directories, also second ones of a name, with its size."""
        root, names = self.directory / "site" / "routers", ("*.graw", "*.duplicate-*")
        return {str(path.relative_to(root)): path.stat().st_size for name in names for path in root.rglob(name)}


@contextlib.asynccontextmanager
async def ready_plant(plant: Plant) -> AsyncIterator[Plant]:
    """A plant whose servers are all Ready."""
    async with plant:
        await plant.to_ready()
        yield plant


def listing(**options: Any) -> list[dict[str, Any]]:
    """`attpc-ioc pvs --json` of a topology file."""
    done = subprocess.run(
        [COMMAND, "pvs", "--json", "--topology", options["topology"]], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


__all__ = ["COMMAND", "MUTANT", "PREFIX", "ROUTERS", "SERVERS", "Plant", "eventually", "listing", "ready_plant"]
