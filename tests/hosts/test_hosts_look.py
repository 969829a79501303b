"""Reading what a host says about its data routers, and telling these apart: no process, no network."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.facts import find_routers
from ioc.hosts.look import Directory, Look, Process, parse
from tests.hosts.rig import site

LINUX = b"""Last login: Sun Nov 22 on console
@processes
  911 Ssl  /opt/get/bin/dataRouter
  912 S    dataRouter
  913 Z    dataRouter <defunct>
  914 S    dataRouterGui
  915 Z+   dataRouter
@ports
p911
cdataRouter
n*:46003
n192.168.41.60:46005
n192.168.41.60:46005->192.168.41.1:51022
p912
cdataRouter
n[::1]:46007
n*:46015
p914
cdataRouterGui
n*:9999
@directory process 911
path 2f646174612f3020610a
graw 3 2147483650
disk /dev/sda1         264212084 12378632  83122632      13% /mnt/my 50% disk
run no
@directory process 912
path 2f646174612fff0a0a
graw 0 0
disk map auto_home 100 200 -3      101% /System/Volumes/Data/home
run yes
@directory given 1
@end
"""

MACOS = b"""@processes
  501 S    /Users/at tpc/GET/bin/dataRouter
  777 S    /usr/sbin/dataRouterHelper
@ports
p501
cdataRouter
n*:46005
n*:*
@directory process 501
path 2f566f6c756d65732f64617461300a
graw 0 0
disk /dev/disk1s1   488245288  10485760 203423744     5%    /Volumes/data 0
run no
@end
"""

PROC = b"""@processes
31 S dataRouter
32 S dataRouter
@sockets
p31
s1001
s1002
p32
s1003
@listening
0100007F:B3B5 1001
00000000000000000000000000000000:B3B7 1003
00000000:0016 77
@directory process 31
path 2f610a
graw 1 10
disk none
run no
@end
"""

A = Directory(b"/a", 0, 0, 10, 20, run_dir_exists=False)
B = Directory(b"/b", 2, 5, 10, 20, run_dir_exists=True)


def test_answer_of_linux():
    """Listening ports of any protocol, directories with odd names and disk figures are read; zombies are no routers."""
    look = parse(LINUX)
    first, second = look.processes
    assert (first.pid, first.ports) == (911, {46003, 46005})
    assert first.directory == Directory(
        b"/data/0 a", 3, 2147483650, 83122632 * 1024, 264212084 * 1024, run_dir_exists=False
    )
    assert (second.pid, second.ports) == (912, {46007, 46015})
    assert second.directory == Directory(b"/data/\xff\n", 0, 0, 0, 100 * 1024, run_dir_exists=True)
    assert look.given == {}


def test_answer_of_macos():
    """macOS gives the whole path of the command, and names with spaces in it."""
    (router,) = parse(MACOS).processes
    assert (router.pid, router.ports) == (501, {46005})
    assert router.directory == Directory(
        b"/Volumes/data0", 0, 0, 203423744 * 1024, 488245288 * 1024, run_dir_exists=False
    )


def test_answer_without_lsof():
    """Sockets of a process are matched with the tables of listening sockets by their inode."""
    assert [(p.pid, p.ports) for p in parse(PROC).processes] == [(31, {46005}), (32, {46007})]
    assert parse(PROC).processes[0].directory == Directory(b"/a", 1, 10, 0, 0, run_dir_exists=False)


@given(st.integers(0, len(LINUX) - 1), st.binary(max_size=20))
def test_an_answer_cut_off_is_an_error(length: int, noise: bytes):
    """An answer that is not complete, whatever it ends with, is an error and never half the facts."""
    answer = LINUX[:length] + noise
    if b"\n@end\n" not in answer + b"\n":
        with pytest.raises(PeerError, match="not complete"):
            parse(answer)


def process(pid: int, *ports: int, directory: Directory | None = None) -> Process:
    return Process(pid, frozenset(ports), directory)


AT_A, AT_B = process(1, directory=A), process(2, directory=B)
AT_A_5, AT_B_5 = process(1, 5, directory=A), process(2, 5, directory=B)


@pytest.mark.parametrize(
    ("processes", "given_directories", "sites", "expected"),
    [
        ([process(1, 46005), process(2, 46006)], {}, [site("a", 46006), site("b", 46005)], {"a": 2, "b": 1}),
        ([process(1, 46003, 46005)], {}, [site("a", 46005)], {"a": 1}),
        ([AT_A, AT_B], {0: B, 1: A}, [site("a", 1, "/b"), site("b", 2, "/a")], {"a": 2, "b": 1}),
        ([AT_A_5, AT_B_5], {0: B, 1: A}, [site("a", 5, "/b"), site("b", 5, "/a")], {"a": 2, "b": 1}),
        ([process(1)], {}, [site("a", 46005)], {"a": 1}),
        ([process(1, 46009)], {}, [site("a", 46005)], {"a": None}),
        ([process(1)], {}, [site("a", 46005), site("b", 46006)], {"a": None, "b": None}),
        ([process(1), process(2)], {}, [site("a", 46005)], {"a": None}),
        ([process(1, 46005), process(2, 46005)], {}, [site("a", 46005)], {"a": None}),
        ([process(1, 46005), process(2)], {}, [site("a", 46005), site("b", 46006)], {"a": 1, "b": None}),
        ([], {}, [site("a", 46005)], {"a": None}),
    ],
)  # fmt: skip
def test_routers_are_told_apart(
    processes: list[Process], given_directories: dict[int, Directory], sites: list, expected: dict[str, int | None]
):
    """A router is the process on its port, else in its work_dir, else the only one if that listens nowhere."""
    findings = find_routers(Look(tuple(processes), given_directories), sites, "mini3")
    assert {name: finding.process and finding.process.pid for name, finding in findings.items()} == expected


@pytest.mark.parametrize(
    ("look", "router", "problem"),
    [
        (Look((process(7, 46005),), {}), site("data3"), r"working directory of router data3 \(process 7 on mini3\)"),
        (Look((process(7, 46009),), {}), site("data3"), "port 46005 of mini3: router data3 must be started"),
        (Look((), {}), site("data3", 46005, "/gone"), "work_dir /gone of router data3 must be a directory on mini3"),
        (
            Look((process(7, 46005, directory=A),), {0: B}),
            site("data3", 46005, "/b"),
            "works in /a on mini3, .*/b",
        ),
        (Look((process(7, 46005), process(8, 46005)), {}), site("data3"), "several dataRouters on mini3 .* 46005"),
        (Look((process(7, 46005, directory=A), process(8, 46009)), {}), site("data3"), "^$"),
        (Look((), {}), site("data3"), "^$"),
        (Look((process(7, 46005, directory=A),), {}), site("data3"), "^$"),
    ],
)
def test_what_is_not_known_is_said(look: Look, router, problem: str):
    """The problem names the router, its host, what it is and what it must be; a router that is just off has none."""
    assert re.search(problem, find_routers(look, [router], "mini3")["data3"].problem)


def test_a_router_whose_directory_is_not_known_is_not_clean():
    """Without a working directory nothing is known to be clean."""
    facts = find_routers(Look((process(7, 46005),), {}), [site("data3")], "mini3")["data3"].facts(1.0)
    assert facts.online
    assert not facts.clean


def test_a_dead_router_is_judged_by_its_work_dir():
    """The files that a router left in its work_dir count although no process runs."""
    facts = find_routers(Look((), {0: B}), [site("data3", 46005, "/b")], "mini3")["data3"].facts(1.0)
    assert (facts.online, facts.work_dir, facts.file_count, facts.clean) == (False, "/b", 2, False)


def test_a_router_is_not_blamed_for_its_neighbour():
    """That another router of the host runs is no problem of the one that does not."""
    look = Look((process(7, 46005, directory=A),), {})
    findings = find_routers(look, [site("data0", 46005), site("data1", 46006)], "mini3")
    assert (findings["data1"].process, findings["data1"].problem) == (None, "")
