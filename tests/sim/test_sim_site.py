"""The processes of a simulated site: how they start and that they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from sim_clients import ask, until
from sim_site import alive, plan_for, processes

from ioc.sim import ObservablePlan, RouterPlan, ServerPlan, SimulatorError, Site, SitePlan


async def test_nothing_is_left_after_the_context(tmp_path: Path) -> None:
    """After the context every process is gone and the ports are closed."""
    async with Site(plan_for(tmp_path, observables=(ObservablePlan("GAS:P1"),))) as site:
        pids = processes(await site.control({"do": "status"}))
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        await ask(site.addresses.servers["CoBo0"].port, "GetState")


@pytest.mark.parametrize("victim", ["parent", "simulator"])
async def test_kill_9_leaves_no_process(victim: str, tmp_path: Path) -> None:
    """If the parent or the simulator itself is killed with -9, every process of the site ends all the same."""
    script = (
        "import asyncio, sys\nfrom ioc.sim import Site, SitePlan\n"
        "async def main():\n"
        "    async with Site(SitePlan.from_json(sys.argv[1])) as site:\n"
        "        print(site.addresses.control_port, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    plan = plan_for(tmp_path, observables=(ObservablePlan("GAS:P1"),)).to_json()
    parent = await asyncio.create_subprocess_exec(*(sys.executable, "-c", script, plan), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    try:
        control_port = int(await parent.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", control_port)
        writer.write(b'{"do": "status"}\n')
        pids = processes(json.loads(await reader.readline()))
        writer.close()
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
        os.kill(parent.pid if victim == "parent" else pids[0], signal.SIGKILL)
        await until(lambda: not any(alive(pid) for pid in pids))
    finally:
        with contextlib.suppress(ProcessLookupError):
            parent.kill()
        await parent.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_everything(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT end the simulator with exit code 0 and all its processes with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ioc.sim"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(plan_for(tmp_path).to_json().encode() + b"\n")
    addresses = json.loads(await process.stdout.readline())
    reader, writer = await asyncio.open_connection("127.0.0.1", addresses["control_port"])
    writer.write(b'{"do": "status"}\n')
    pids = processes(json.loads(await reader.readline()))
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not any(alive(pid) for pid in pids)
    writer.close()
    process.stdin.close()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("nonsense", "wrong SitePlan: Invalid JSON"),
        ('{"directory": "x", "speed": 0}', "speed: Input should be greater than 0"),
        ('{"directory": "x", "sped": 1}', "sped: Unexpected"),
        ("[]", "wrong SitePlan"),
    ],
)
async def test_wrong_plan(plan: str, reason: str) -> None:
    """A wrong plan ends the simulator with exit code 2 and one line that says why."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ioc.sim"), stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate(plan.encode() + b"\n")
    assert process.returncode == 2
    assert errors.count(b"\n") == 1
    assert reason in errors.decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"servers": [{"name": "A", "sources": []}] * 2},
        {"routers": [{"name": "a/b"}]},
        {"servers": [{"name": "A", "sources": [], "dialect": "3"}]},
        {"servers": [{"name": "A", "sources": [], "release": 2019}]},
        {"servers": [{"name": "A", "sources": [], "asads": 5}]},
        {"observables": [{"pv": "X", "type": "complex"}]},
        {"file_size": 0},
    ],
    ids=["same-name", "slash", "dialect", "release", "asads", "type", "size"],
)
def test_plan_is_checked(changes: dict[str, Any], tmp_path: Path) -> None:
    """A plan that cannot be simulated cannot be made."""
    with pytest.raises(ValueError, match="validation error for SitePlan"):
        plan_for(tmp_path, **changes)


def test_plan_survives_json(tmp_path: Path) -> None:
    """A plan reads back from its JSON as it was."""
    plan = plan_for(tmp_path, observables=(ObservablePlan("GAS:P1", "integer", "Torr", 1.0, 2.0),))
    assert SitePlan.from_json(plan.to_json()) == plan


async def test_start_that_fails_is_told(tmp_path: Path) -> None:
    """A simulator that cannot start raises an error that ends with its own last word."""
    (tmp_path / "bin").touch()
    with pytest.raises(SimulatorError, match="File exists"):
        async with Site(plan_for(tmp_path)):
            pass


async def test_full_size_site(tmp_path: Path) -> None:
    """Twelve servers, twelve routers and slow controls are ready within a few seconds even on a busy machine."""
    plan = plan_for(
        tmp_path,
        servers=tuple(ServerPlan(f"CoBo{index}", (f"CoBo[{index}]",)) for index in range(12)),
        routers=tuple(RouterPlan(f"data{index}") for index in range(12)),
        observables=tuple(ObservablePlan(f"GAS:P{index}") for index in range(10)),
    )
    async with asyncio.timeout(60):
        async with Site(plan) as site:
            states = await asyncio.gather(*(ask(server.port, "GetState") for server in site.addresses.servers.values()))
    assert [state.state for state in states] == [1] * 12
