"""What tests of a whole simulated site share."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

from sim_clients import ask, link_table

from ioc.sim import ConfigNames, RouterPlan, ServerPlan, Site, SitePlan

SETTLE = 1.5
"""Seconds without growth after which a file is taken to be complete; data are in flight for 0.3 s."""


def plan_for(directory: Path, **changes: Any) -> SitePlan:
    """Two servers and two routers, fast."""
    values: dict[str, Any] = {
        "directory": str(directory),
        "servers": (ServerPlan("CoBo0", ("CoBo[0]",)), ServerPlan("Mutant", ("Mutant[master]",), role="mutant")),
        "routers": (RouterPlan("data0"), RouterPlan("mutant", "FDT")),
        "configs": ConfigNames(("loop",), ("noasad",), ("noasad",)),
        "speed": 50.0,
        **changes,
    }
    return SitePlan(**values)


async def make_ready(
    site: Site, server: str = "CoBo0", source: str = "CoBo[0]", router: str = "data0", link_type: str = "TCP"
) -> int:
    """Bring one server to Ready, linked to a router; returns its port."""
    port = site.addresses.servers[server].port
    table = link_table(source, site.addresses.routers[router].port, link_type)
    for operation in ("Describe", "Prepare", "Configure"):
        reply = await ask(port, operation, table=table)
        assert reply.code == 0, reply.field("ErrorMessage")
    assert (await ask(port, "GetState")).state == 4
    return port


async def sent(site: Site, events: int, source: str = "CoBo[0]") -> None:
    """Wait until a source has had so many events since its Start, whether anybody got them or not."""
    async with asyncio.timeout(60):
        while True:
            status = await site.control({"do": "status"})
            if status["sources"][source]["next_event"] >= events:
                return
            await asyncio.sleep(0.01)


def files(site: Site, router: str = "data0") -> dict[str, int]:
    """Name and size of every .graw file in a router's working directory."""
    return {path.name: path.stat().st_size for path in Path(site.addresses.routers[router].work_dir).glob("*.graw")}


async def settled(site: Site, router: str = "data0") -> dict[str, int]:
    """Wait until no file has grown for a while; returns the files."""
    previous: dict[str, int] | None = None
    async with asyncio.timeout(60):
        while (present := files(site, router)) != previous:
            previous = present
            await asyncio.sleep(SETTLE)
    return present


async def links(site: Site, source: str = "CoBo[0]") -> int:
    """How many links of a source stand: one or none."""
    return (await site.control({"do": "status"}))["sources"][source]["links"]


async def sockets(site: Site, kind: str, router: str = "data0") -> set[str]:
    """Which of a router's ports, control and data, are LISTEN or ESTABLISHED."""
    address = site.addresses.routers[router]
    pid = str((await site.control({"do": "status"}))["routers"][router]["pid"])
    lines = output_of("lsof", "-a", "-p", pid, "-i", "-n", "-P").splitlines()
    ports = {match[1] for line in lines if (match := re.search(rf"127\.0\.0\.1:(\d+)\S* \({kind}\)", line))}
    return {name for name, port in (("control", address.control_port), ("data", address.port)) if str(port) in ports}


def output_of(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def alive(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be reaped."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() not in {"", "Z", "Zs", "Z+"}


def processes(status: dict[str, Any]) -> list[int]:
    """Every process of a simulator."""
    routers = [router["pid"] for router in status["routers"].values()]
    return [pid for pid in (status["pid"], status["slow_controls"]["pid"], *routers) if pid]
