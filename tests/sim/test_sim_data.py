"""The data of a simulated site: what the routers write, and when."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim_clients import ask, exchange, link_table, until
from sim_site import files, make_ready, output_of, plan_for, settled

from ioc.sim import Site


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
