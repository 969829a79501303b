"""The data of a simulated site: what the routers write, and when."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sim_clients import ask, exchange, frames, until
from sim_site import files, links, make_ready, output_of, plan_for, sent, settled

from ioc.sim import ServerPlan, Site

NAME = r"CoBo0_AsAd([0-3])_(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})_(\d{4})\.graw"


def contents(site: Site, name: str, router: str = "data0") -> bytes:
    """What is in a .graw file."""
    return (Path(site.addresses.routers[router].work_dir) / name).read_bytes()


async def test_files_grow_only_while_running(site: Site) -> None:
    """No file before Start, growth while Running, none in Paused, and soon after Stop none either."""
    port = await make_ready(site)
    assert files(site) == {}
    await ask(port, "Start")
    await until(lambda: sum(files(site).values()) > 20_000)
    await ask(port, "Pause")
    paused = await settled(site)
    await site.control({"ecc": "CoBo0", "do": "state", "state": "Running"})
    await until(lambda: sum(files(site).values()) > sum(paused.values()))
    await ask(port, "Stop")
    at_rest = await settled(site)
    assert list(at_rest) == list(paused)
    assert all(at_rest[name] > paused[name] for name in paused)
    assert (await ask(port, "GetState")).state == 4


async def test_a_file_per_asad(site: Site) -> None:
    """Each AsAd has a file of its own, named as the real router names it, with its frames and no others."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: len(files(site)) == 4)
    await ask(port, "Stop")
    for name in await settled(site):
        match = re.fullmatch(NAME, name)
        assert match, name
        assert match[3] == "0000"
        found = frames(contents(site, name))
        assert {(frame.cobo, frame.asad) for frame in found} == {(0, int(match[1]))}
        assert [frame.event for frame in found] == list(range(len(found)))


async def test_number_of_asads(tmp_path: Path) -> None:
    """The plan says how many AsAds a CoBo has."""
    async with Site(plan_for(tmp_path, servers=(ServerPlan("CoBo0", ("CoBo[5]",), asads=2),))) as site:
        port = await make_ready(site, source="CoBo[5]")
        await ask(port, "Start")
        await until(lambda: sum(files(site).values()) > 5_000)
        assert sorted(name[:11] for name in files(site)) == ["CoBo5_AsAd0", "CoBo5_AsAd1"]


async def test_every_run_has_new_files(site: Site) -> None:
    """A second run, over the same link, writes new files and leaves those of the first as they are."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: len(files(site)) == 4)
    await ask(port, "Stop")
    first = await settled(site)
    await ask(port, "Start")
    await until(lambda: len(files(site)) == 8)
    await ask(port, "Stop")
    second = await settled(site)
    assert first == {name: second[name] for name in first}
    assert min(second.values()) > 0


async def test_a_run_that_counts_on_has_no_new_files(site: Site) -> None:
    """Where the next run's first event number is higher, the router goes on with its files, moved away or not."""
    port = await make_ready(site)
    await site.control({"source": "CoBo[0]", "do": "count-on"})
    await ask(port, "Start")
    await until(lambda: len(files(site)) == 4)
    await ask(port, "Stop")
    first = await settled(site)
    work_dir = Path(site.addresses.routers["data0"].work_dir)
    for name in first:
        (work_dir / name).rename(work_dir / f"{name}.filed")
    await ask(port, "Start")
    await until(lambda: files(site).keys() == first.keys())
    await site.control({"source": "CoBo[0]", "do": "count-anew"})
    await ask(port, "Stop")
    await settled(site)
    await ask(port, "Start")
    await until(lambda: len(files(site)) == 8)


async def test_a_file_begins_at_the_first_frame(site: Site) -> None:
    """Not Start makes a file, but the first frame, however late."""
    port = await make_ready(site)
    await site.control({"source": "CoBo[0]", "do": "silence"})
    await ask(port, "Start")
    await sent(site, 3)
    assert ((await ask(port, "GetState")).state, files(site), await links(site)) == (5, {}, 1)
    before = datetime.now().astimezone()
    await site.control({"source": "CoBo[0]", "do": "speak"})
    await until(lambda: len(files(site)) == 4)
    stamps = [match[2] for name in files(site) if (match := re.fullmatch(NAME, name))]
    assert datetime.fromisoformat(min(stamps)).astimezone() >= before - timedelta(milliseconds=1)


async def test_file_of_a_mutant(site: Site) -> None:
    """A MuTAnT's file is named after it."""
    port = await make_ready(site, "Mutant", "Mutant[master]", "mutant", "FDT")
    await ask(port, "Start")
    await until(lambda: files(site, "mutant"))
    (name,) = files(site, "mutant")
    assert re.fullmatch(NAME.replace("CoBo0_AsAd([0-3])", "MuTanT"), name)


async def test_a_file_that_is_moved_away_comes_back(site: Site) -> None:
    """A router whose file is moved away in a run makes one of the same name again; no frame is lost or doubled."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: sum(files(site).values()) > 5_000)
    work_dir = Path(site.addresses.routers["data0"].work_dir)
    name = min(files(site))
    (work_dir / name).rename(work_dir / "moved")
    await until(lambda: files(site).get(name))
    await ask(port, "Stop")
    await settled(site)
    events = [frame.event for part in ("moved", name) for frame in frames(contents(site, part))]
    assert events == list(range(len(events)))


async def test_files_are_open_only_while_written(site: Site) -> None:
    """Between frames the router has no .graw file open: descriptors do not tell whether it is done."""
    port = await make_ready(site)
    pid = str((await site.control({"do": "status"}))["routers"]["data0"]["pid"])
    await ask(port, "Start")
    await until(lambda: files(site))
    looks = [output_of("lsof", "-a", "-p", pid, "-Fn").count(".graw") for _ in range(5)]
    assert min(looks) == 0


async def test_files_rotate(tmp_path: Path) -> None:
    """A file that is full is followed by the next number, made empty at once; frames are never cut."""
    async with Site(plan_for(tmp_path, file_size=10_000)) as site:
        port = await make_ready(site)
        await ask(port, "Start")
        await until(lambda: len(files(site)) >= 12)
        await ask(port, "Stop")
        sizes = await settled(site)
        for asad in range(4):
            mine = {name[-9:-5]: name for name in sizes if f"_AsAd{asad}_" in name}
            assert sorted(mine) == [f"{index:04d}" for index in range(len(mine))]
            full = [sizes[mine[index]] for index in sorted(mine)[:-1]]
            assert set(full) == {10_240}  # the first whole number of frames beyond the limit
            events = [frame.event for index in sorted(mine) for frame in frames(contents(site, mine[index]))]
            assert events == list(range(len(events)))


async def test_disk_budget(tmp_path: Path) -> None:
    """A router never writes more than its share of the disk budget, and says so in its log."""
    async with Site(plan_for(tmp_path, disk_budget=20_480)) as site:
        port = await make_ready(site)
        await ask(port, "Start")
        log = Path(site.addresses.routers["data0"].log_path)
        await until(lambda: "disk budget" in log.read_text())
        await ask(port, "Stop")
        assert sum((await settled(site)).values()) == 10_240


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
    """A router can be silenced, given a stray file, killed in a run, and restarted elsewhere and back."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: files(site))
    await site.control({"router": "data0", "do": "silence"})
    silent = files(site)
    await sent(site, 5)
    assert await settled(site) == silent
    await site.control({"router": "data0", "do": "speak"})
    await until(lambda: sum(files(site).values()) > sum(silent.values()))
    await site.control({"router": "data0", "do": "stray", "file": "left over.graw", "size": 77})
    assert files(site)["left over.graw"] == 77
    await site.control({"router": "data0", "do": "kill"})
    with pytest.raises(ConnectionRefusedError):
        await exchange(site.addresses.routers["data0"].port, b"")
    assert (await site.control({"do": "status"}))["routers"]["data0"]["pid"] == 0
    assert (await ask(port, "GetState")).state == 5
    for directory in ("elsewhere", "data"):
        await site.control({"router": "data0", "do": "restart", "directory": directory})
        pid = str((await site.control({"do": "status"}))["routers"]["data0"]["pid"])
        cwd = output_of("lsof", "-a", "-p", pid, "-d", "cwd", "-Fn").splitlines()[-1]
        assert cwd == f"n{Path(site.addresses.routers['data0'].work_dir).with_name(directory)}"


async def test_router_refuses(site: Site) -> None:
    """A router that refuses connections fails Configure; one that accepts again does not."""
    await site.control({"router": "data0", "do": "refuse"})
    with pytest.raises(AssertionError, match="Connection refused"):
        await make_ready(site)
    await site.control({"router": "data0", "do": "accept"})
    await make_ready(site)
