"""A whole simulated site in processes of its own: data, routers, control port, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sim_clients import ask, exchange, link_table, until

from ioc.errors import PeerError, Refused
from ioc.sim import ConfigNames, ObservablePlan, RouterPlan, ServerPlan, Site, SitePlan

SETTLE = 0.6
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


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The small site, running."""
    async with Site(plan_for(tmp_path)) as running:
        yield running


async def make_ready(site: Site, server: str = "CoBo0", source: str = "CoBo[0]", router: str = "data0") -> int:
    """Bring one server to Ready, linked to a router; returns its port."""
    port = site.addresses.servers[server].port
    table = link_table(source, site.addresses.routers[router].port)
    for operation in ("Describe", "Prepare", "Configure"):
        reply = await ask(port, operation, table=table)
        assert reply.code == 0, reply
    assert (await ask(port, "GetState")).state == 4
    return port


def files(site: Site, router: str = "data0") -> dict[str, int]:
    """Name and size of every .graw file in a router's working directory."""
    return {path.name: path.stat().st_size for path in Path(site.addresses.routers[router].work_dir).glob("*.graw")}


async def settled(site: Site, router: str = "data0") -> dict[str, int]:
    """Wait until no file has grown for a while; returns the files."""
    previous: dict[str, int] | None = None
    async with asyncio.timeout(10):
        while (present := files(site, router)) != previous:
            previous = present
            await asyncio.sleep(SETTLE)
    return present


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


async def test_files_grow_only_while_running(site: Site) -> None:
    """No file before Start, growth while Running, none in Paused, and soon after Stop none either."""
    port = await make_ready(site)
    assert files(site) == {}
    await ask(port, "Start")
    await until(lambda: sum(files(site).values()) > 20_000)
    (name,) = files(site)
    assert name.startswith("CoBo0_20")
    assert name.endswith("_0000.graw")
    await ask(port, "Pause")
    paused = await settled(site)
    await site.control({"ecc": "CoBo0", "do": "state", "state": "Running"})
    await until(lambda: sum(files(site).values()) > paused[name])
    await ask(port, "Stop")
    at_rest = await settled(site)
    assert list(at_rest) == [name]
    assert at_rest[name] > paused[name]
    assert (await ask(port, "GetState")).state == 4


async def test_every_run_has_new_files(site: Site) -> None:
    """A second run writes new files and leaves those of the first as they are."""
    port = await make_ready(site)
    for run in (1, 2):
        await ask(port, "Start")
        await until(lambda: len(files(site)) == run)  # noqa: B023
        await ask(port, "Stop")
    first, second = sorted((await settled(site)).items())
    assert first[0] < second[0]
    assert min(first[1], second[1]) > 0


async def test_files_rotate(tmp_path: Path) -> None:
    """A file that is full is followed by the next number; all but the last have exactly the size asked for."""
    async with Site(plan_for(tmp_path, file_size=10_000)) as site:
        port = await make_ready(site)
        await ask(port, "Start")
        await until(lambda: len(files(site)) >= 4)
        await ask(port, "Stop")
        sizes = [size for _, size in sorted((await settled(site)).items())]
        assert [name[-10:] for name in sorted(files(site))] == [f"_{index:04d}.graw" for index in range(len(sizes))]
        assert set(sizes[:-1]) == {10_000}
        assert 0 < sizes[-1] <= 10_000


async def test_disk_budget(tmp_path: Path) -> None:
    """A router never writes more than its share of the disk budget, and says so in its log."""
    async with Site(plan_for(tmp_path, disk_budget=20_000)) as site:
        port = await make_ready(site)
        await ask(port, "Start")
        log = Path(site.addresses.routers["data0"].log_path)
        await until(lambda: "disk budget" in log.read_text())
        await ask(port, "Stop")
        assert sum((await settled(site)).values()) == 10_000


async def test_source_sends_to_each_of_its_routers(site: Site) -> None:
    """A source with two links sends to both routers; brackets do not appear in file names."""
    port = site.addresses.servers["Mutant"].port
    links = [link_table("Mutant[master]", router.port) for router in site.addresses.routers.values()]
    table = "".join(links).replace("</DataLinkSet><DataLinkSet>", "")
    for operation in ("Describe", "Prepare", "Configure", "Start"):
        assert (await ask(port, operation, table=table)).code == 0
    await until(lambda: files(site, "data0") and files(site, "mutant"))
    for router in site.addresses.routers:
        assert all(name.startswith("Mutantmaster_") for name in files(site, router))


async def test_router_is_a_process_named_datarouter(site: Site) -> None:
    """ps shows dataRouter, lsof its working directory and its listening port: how the hosts are looked at."""
    pid = str((await site.control({"do": "status"}))["routers"]["data0"]["pid"])
    address = site.addresses.routers["data0"]
    lines = output_of("ps", "-e").splitlines()
    assert [line.split()[-1] for line in lines if line.split()[0] == pid] == ["dataRouter"]
    lsof = ["lsof", "-a", "-p", pid, "-c", "dataRouter"]
    directory = output_of(*lsof, "-d", "cwd", "-Fpcn")
    assert directory.splitlines()[-1] == f"n{address.work_dir}"
    network = output_of(*lsof, "-i", "-n", "-P")
    assert f"127.0.0.1:{address.port} (LISTEN)" in network


async def test_router_faults(site: Site) -> None:
    """A router can be silenced, given a stray file, killed and restarted on its port; its source comes back to it."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: files(site))
    await site.control({"router": "data0", "do": "silence"})
    silent = await settled(site)
    await site.control({"router": "data0", "do": "speak"})
    await until(lambda: sum(files(site).values()) > sum(silent.values()))
    await site.control({"router": "data0", "do": "stray", "file": "left over.graw", "size": 77})
    assert files(site)["left over.graw"] == 77
    await site.control({"router": "data0", "do": "kill"})
    with pytest.raises(ConnectionRefusedError):
        await exchange(site.addresses.routers["data0"].port, b"")
    assert (await site.control({"do": "status"}))["routers"]["data0"]["pid"] == 0
    assert (await ask(port, "GetState")).state == 5
    before = len(files(site))
    await site.control({"router": "data0", "do": "restart"})
    await until(lambda: len(files(site)) > before)


async def test_killed_server_comes_back_idle(site: Site) -> None:
    """Over the control port: a killed server refuses connections, a restarted one is Idle and its source silent."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: files(site))
    await site.control({"ecc": "CoBo0", "do": "kill"})
    with pytest.raises(ConnectionRefusedError):
        await ask(port, "GetState")
    await site.control({"ecc": "CoBo0", "do": "restart"})
    assert (await ask(port, "GetState")).state == 1
    await settled(site)


REFUSED_COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"ecc": "CoBo9", "do": "kill"}, "'CoBo9' is not among CoBo0, Mutant"),
    ({"ecc": "CoBo0", "do": "sing"}, "cannot 'sing'"),
    ({"ecc": "CoBo0", "do": "fail"}, "needs 'operation'"),
    ({"ecc": "CoBo0", "do": "fail", "operation": "Levitate", "message": ""}, "must be one of Describe"),
    ({"ecc": "CoBo0", "do": "state", "state": "Lost"}, "must be one of OFF, IDLE"),
    ({"ecc": "CoBo0", "do": "behave", "as": "well"}, "must be one of normal"),
    ({"router": "data0", "do": "dance"}, "cannot 'dance'"),
    ({"router": "data0", "do": "stray", "file": "../x.graw"}, "no '/'"),
    ({"slow_controls": "X", "do": "freeze"}, "do not run"),
    ({"do": "something"}, "a command names"),
]


async def test_control_names_what_is_wrong(site: Site) -> None:
    """A command that cannot be done says why, and the simulator goes on."""
    for command, reason in REFUSED_COMMANDS:
        with pytest.raises(PeerError, match="did not do") as refused:
            await site.control(command)
        assert reason in str(refused.value)
    assert (await ask(site.addresses.servers["CoBo0"].port, "GetState")).state == 1


async def test_control_port_survives_nonsense(site: Site) -> None:
    """Lines that are no JSON object are answered with an error."""
    for line in (b"nonsense\n", b"[1]\n", b"7\n", b"\xff\xfe\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.addresses.control_port)
        writer.write(line)
        assert json.loads(await reader.readline())["ok"] is False
        writer.close()


async def test_control_on_the_shell(site: Site) -> None:
    """``python -m ioc.sim.control`` sends a command, prints the answer, and exits 0 only if it was done."""

    async def run(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ioc.sim.control", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    port = str(site.addresses.control_port)
    assert await run(port, '{"ecc": "CoBo0", "do": "state", "state": "Off"}') == (0, '{"ok": true}\n')
    assert (await ask(site.addresses.servers["CoBo0"].port, "GetState")).state == 0
    assert (await run(port, '{"ecc": "CoBo0", "do": "sing"}'))[0] == 1
    assert (await run(port))[0] == 2
    code, output = await run("1", "{}")
    assert (code, output.count("\n")) == (1, 1)


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
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert not any(alive(pid) for pid in pids)
    writer.close()
    process.stdin.close()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [("nonsense", "must be a SitePlan"), ('{"directory": "x", "speed": 0}', "must be above 0"), ("[]", "SitePlan")],
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
        {"servers": (ServerPlan("A", ()), ServerPlan("A", ()))},
        {"routers": (RouterPlan("a/b"),)},
        {"servers": (ServerPlan("A", (), dialect="3"),)},
        {"observables": (ObservablePlan("X", "complex"),)},
        {"file_size": 0},
    ],
    ids=["same-name", "slash", "dialect", "type", "size"],
)
def test_plan_is_checked(changes: dict[str, Any], tmp_path: Path) -> None:
    """A plan that cannot be simulated is refused before anything is started."""
    with pytest.raises(Refused):
        Site(plan_for(tmp_path, **changes))


def test_plan_survives_json(tmp_path: Path) -> None:
    """A plan reads back from its JSON as it was."""
    plan = plan_for(tmp_path, observables=(ObservablePlan("GAS:P1", "integer", "Torr", 1.0, 2.0),))
    assert SitePlan.from_json(plan.to_json()) == plan


async def test_start_that_fails_is_told(tmp_path: Path) -> None:
    """A simulator that cannot start raises an error that ends with its own last word."""
    (tmp_path / "bin").touch()
    with pytest.raises(PeerError, match="File exists"):
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
    async with asyncio.timeout(8):
        async with Site(plan) as site:
            states = await asyncio.gather(*(ask(server.port, "GetState") for server in site.addresses.servers.values()))
    assert [state.state for state in states] == [1] * 12
