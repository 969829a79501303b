"""Facts of routers from real processes called dataRouter."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tests.hosts.rig import DataRouters, Hosts, site
from tests.sshd import free_port

TOOLS = ("sh", "awk", "sed", "grep", "ls", "od", "tr", "df", "tail", "cat", "sleep")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
async def test_two_routers_on_one_host(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path, kind: str):
    """Each router is found by its port, with its own directory, files, disk and run directory."""
    first, second = tmp_path / "first dir", tmp_path / "sec'ond\nümlaut"
    for place in (first, second):
        place.mkdir()
    (first / "a.graw").write_bytes(b"12345")
    (first / "b c.graw").write_bytes(b"123")
    (first / "deep.graw").mkdir()
    (first / "link.graw").symlink_to("a.graw")
    (first / "other.txt").write_bytes(b"1")
    (second / "e18008/run_0012").mkdir(parents=True)
    (second / "e18008/run_0012/old.graw").write_bytes(b"1")
    port, other = data_routers.start(first, kind=kind), data_routers.start(second, kind=kind)
    facts = await hosts(site("one", port), site("two", other), site("off", free_port())).router_facts("e18008/run_0012")
    one, two, off = facts["one"], facts["two"], facts["off"]
    assert (one.online, one.work_dir, one.file_count, one.staged_bytes, one.clean) == (True, str(first), 2, 8, False)
    assert (two.online, two.work_dir, two.file_count, two.clean) == (True, str(second), 0, True)
    assert (one.run_dir_exists, two.run_dir_exists) == (False, True)
    disk = shutil.disk_usage(first)
    assert one.disk_total == pytest.approx(disk.total, rel=0.01)
    assert 0 < one.disk_free <= disk.total
    assert (off.online, off.clean) == (False, False)
    assert (one.problem, two.problem) == ("", "")


async def test_a_router_that_died_is_looked_for_where_it_worked(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """The files of a router that crashed are still counted, so that they are not forgotten."""
    port = data_routers.start(tmp_path)
    host = hosts(site(port=port))
    assert (await host.router_facts("e/run_0000"))["data0"].online
    data_routers.stop()
    (tmp_path / "left.graw").write_bytes(b"1")
    facts = (await host.router_facts("e/run_0000"))["data0"]
    assert (facts.online, facts.work_dir, facts.file_count) == (False, str(tmp_path), 1)


async def test_work_dir_below_home(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory):
    """``~`` in work_dir is the home directory on the host."""
    home = pathlib.Path.home()
    facts = (await hosts(site(work_dir="~")).router_facts("e/run_0000"))["data0"]
    assert facts.work_dir == str(home.resolve())


async def test_a_directory_that_was_removed_is_not_clean(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """A router whose working directory was deleted runs, but nothing is known of its files, and that is said."""
    place = tmp_path / "gone"
    place.mkdir()
    port = data_routers.start(place)
    place.rmdir()
    facts = (await hosts(site(port=port)).router_facts("e/run_0000"))["data0"]
    assert (facts.online, facts.work_dir, facts.clean) == (True, "", False)
    assert "cannot be told" in facts.problem


@pytest.fixture
def own_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A PATH with the usual tools, but without ps and lsof."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or "missing")
    monkeypatch.setenv("PATH", str(programs))
    return programs


async def test_without_lsof_and_ps(
    own_path: pathlib.Path, local_hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """Linux's /proc tells the same where lsof and ps are not installed."""
    place = tmp_path / "data"
    place.mkdir()
    (place / "a.graw").write_bytes(b"12345")
    port, udp = data_routers.start(place), data_routers.start(tmp_path, kind="udp")
    facts = await local_hosts(site("one", port), site("two", udp)).router_facts("e/run_0000")
    assert (facts["one"].online, facts["one"].work_dir, facts["one"].staged_bytes) == (True, str(place), 5)
    assert (facts["two"].online, facts["two"].work_dir) == (True, str(tmp_path))


async def test_with_the_tools_of_macos(own_path: pathlib.Path, local_hosts: Hosts, tmp_path: pathlib.Path):
    """Without /proc the working directory comes from lsof."""
    place = tmp_path / "my data"
    place.mkdir()
    (place / "a.graw").write_bytes(b"12345")
    nobody = 4_194_305  # above the largest process id of Linux
    (own_path / "ps").write_text(f"#!/bin/sh\necho '{nobody} S    /Users/at tpc/bin/dataRouter'\n")
    (own_path / "lsof").write_text(
        f"#!/bin/sh\necho p{nobody}\necho cdataRouter\n"
        f'case "$*" in *cwd*) echo fcwd; echo "n{place}" ;; *) echo "n*:46005" ;; esac\n'
    )
    for tool in ("ps", "lsof"):
        (own_path / tool).chmod(0o755)
    facts = (await local_hosts(site()).router_facts("e/run_0000"))["data0"]
    assert (facts.online, facts.work_dir, facts.file_count, facts.staged_bytes) == (True, str(place), 1, 5)
