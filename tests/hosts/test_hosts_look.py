"""Reading what a host says about its data routers, and telling these apart: no process, no network."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.look import Directory, Look, Process, data_port, parse
from ioc.hosts.routers import find_routers
from ioc.hosts.sockets import Socket
from tests.hosts.rig import site

BOOT = b"1a2b3c4d-0000-4000-8000-000000000000\n"
LINUX = b"""Last login: Sun Nov 22 on console
@begin
@boot
1a2b3c4d-0000-4000-8000-000000000000
@process 911
parent 1
start 169797
here yes
@directory process 911
at /data/0 a
run no
@process 912
parent 1
start 169799
socket 1003
link
 2f 78
here yes
@directory process 912
path
 2f 64 61 74 61 2f ff 0a 0a
graw 0 0
map auto_home 100 200 -3      101% /System/Volumes/Data/home
run yes
unwritable rmdir: failed to remove './.no such directory': Read-only file system
@process 913
parent 1
user 501
@arguments
 ARGUMENTS
@process 911
socket 1001
socket 1002
@sockets
tcp 00000000:B3B3 00000000:0000 0A 0 1001 00000000:00000001
tcp6 0000000000000000FFFF00003C29A8C0:B3B5 0000000000000000FFFF00000129A8C0:C74E 01 0 1002 00000000:0000001F
udp 0100007F:B3B7 00000000:0000 07 0 1003 00000000:00000000
tcp 00000000:0016 00000000:0000 0A 0 77 00000000:00000000
@directory given 1
reason ls: cannot access '/gone/.': No such file or directory
@listing /data/0 a
graw 3 2147483650
@listing /data/0 a
/dev/sda1         264212084 12378632  83122632      13% /mnt/my 50% disk
@end
""".replace(b"ARGUMENTS", (BOOT + b"data_router\0" + BOOT + b"d\0" + BOOT + b"\0").hex(" ").encode())

MACOS = b"""@begin
@processes
  501     1 S    Fri Nov 27 09:09:09 2026     /Users/at tpc/GET/bin/dataRouter
  777     1 S    Fri Nov 27 09:09:10 2026     /usr/sbin/dataRouterHelper
  778     1 Z    Fri Nov 27 09:09:10 2026     dataRouter
@commands
   501 /x/dataRouter 127.0.0.1:46003 10.0.0.1:46005 TCP
@lsof
p501
cdataRouter
f4
PTCP
n*:46003
TST=LISTEN
TQR=0
TQS=0
f5
PTCP
n192.168.41.60:46005->192.168.41.1:51022
TST=ESTABLISHED
TQR=31
TQS=0
f6
PTCP
n[::1]:46009->[::1]:51022
TST=CLOSE_WAIT
f7
PUDP
n*:46007
f8
PUDP
n*:*
p777
cdataRouterHelper
f4
PTCP
n*:9999
TST=LISTEN
@directories
@directory process 501
at /Volumes/data0
run no
inode 7
name /Volumes/data0
@listing /Volumes/data0
graw 0 0
@listing /Volumes/data0
/dev/disk1s1   488245288  10485760 203423744     5%    /Volumes/data 0
@listing /Volumes/data0
node 7
@end
"""

A = Directory(b"/a", 0, 0, 10, 20, run_dir_exists=False)
B = Directory(b"/b", 2, 5, 10, 20, run_dir_exists=True)
LISTENING, CONNECTED = True, False


def test_answer_of_linux():
    """Sockets by their inode, directories with odd names and figures are read; so is the start of the process."""
    look = parse(LINUX)
    first, second, third = look.processes
    assert (first.pid, first.started, first.lost) == (911, "1a2b3c4d:169797", "")
    assert first.sockets == (Socket("", 46003, LISTENING), Socket("192.168.41.60", 46005, CONNECTED))
    assert [each.unread for each in first.sockets] == [0, 31], "a listener has connections in its queue, no data"
    assert first.directory == Directory(
        b"/data/0 a", 3, 2147483650, 83122632 * 1024, 264212084 * 1024, run_dir_exists=False
    )
    assert second.sockets == (Socket("127.0.0.1", 46007, LISTENING),)
    assert second.directory == Directory(
        b"/data/\xff\n", 0, 0, 0, 100 * 1024, run_dir_exists=True, unwritable="its file system is read-only"
    )
    assert (third.sockets, third.directory, third.started) == ((), None, "")
    assert look.given == {}


def test_answer_of_macos():
    """macOS gives the whole path of the command, names with spaces in it, and zombies; lsof gives states."""
    (router,) = parse(MACOS).processes
    assert (router.pid, router.started) == (501, "Fri Nov 27 09:09:09 2026")
    assert router.sockets == (
        Socket("", 46003, LISTENING),
        Socket("192.168.41.60", 46005, CONNECTED),
        Socket("::1", 46009, CONNECTED),
        Socket("", 46007, LISTENING),
    )
    assert [each.unread for each in router.sockets] == [0, 31, 0, 0]
    assert data_port(router.arguments) == 46005
    assert router.directory == Directory(
        b"/Volumes/data0", 0, 0, 203423744 * 1024, 488245288 * 1024, run_dir_exists=False
    )


@pytest.mark.parametrize(
    ("link", "more", "place", "lost"),
    [
        (b"/data (deleted)", "", b"/data", ("was deleted", "")),
        (b"/", "", b"/", ("is gone: its file system was unmounted, or another one was mounted over it", "")),
        (
            b"/data",
            "reason ls: cannot access 'x': Permission denied\n",
            b"/data",
            ("", "Permission denied"),
        ),
        (b"/data", "reason ls: x: Stale file handle\n", b"/data", ("", "Stale file handle")),
    ],
)
def test_what_became_of_a_directory(link: bytes, more: str, place: bytes, lost: tuple[str, str]):
    """A directory that cannot be used is told for what it is."""
    answer = f"@begin\n@boot\nx\n@process 5\nlink\n {link.hex()}\n@directory process 5\n{more}\n@end\n"
    (process,) = parse(answer.encode()).processes
    assert (process.place, process.directory) == (place, None)
    assert (process.lost, process.unreadable) == lost


def test_a_directory_that_goes_during_the_look():
    """One that could be entered but not listed is said to be gone, not to belong to another user."""
    gone = "is gone: it was deleted, or its file system unmounted"
    answer = b"@begin\n@boot\nx\n@process 5\nhere yes\n@directory process 5\nat /data\nrun no\n@end\n"
    (process,) = parse(answer).processes
    assert (process.place, process.directory, process.lost, process.unreadable) == (b"/data", None, gone, "")
    of_macos = MACOS.replace(b"@listing /Volumes/data0\ngraw 0 0\n", b"")
    (process,) = parse(of_macos).processes
    assert (process.directory, process.lost) == (None, "was deleted or moved away")


@given(st.integers(0, len(LINUX) - 1), st.binary(max_size=20))
def test_an_answer_cut_off_is_an_error(length: int, noise: bytes):
    """An answer that is not complete, whatever it ends with, is an error and never half the facts."""
    answer = LINUX[:length] + noise
    if b"\n@end\n" not in answer + b"\n":
        with pytest.raises(PeerError, match=r"did not finish|ran none"):
            parse(answer)


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        (("dataRouter", "192.168.41.60:46003", "192.168.41.60:46005", "TCP", "FrameStorage"), 46005),
        (("dataRouter", ":46003", ":46007"), 46007),
        (("python", "-I", "router.py", "127.0.0.1:0", "127.0.0.1:0"), None),
        (("dataRouter", "192.168.41.60:46003"), None),
        (("dataRouter",), None),
        ((), None),
    ],
)
def test_the_port_a_router_was_told(arguments: tuple[str, ...], port: int | None):
    """The data port is the second of two ends that stand side by side; without one it is not known."""
    assert data_port(arguments) == port


def process(
    pid: int,
    *ports: int,
    directory: Directory | None = None,
    connected: tuple[int, ...] = (),
    told: int = 0,
    **more: Any,
) -> Process:
    sockets = [Socket("", port, LISTENING) for port in ports]
    sockets += [Socket("10.0.0.1", port, CONNECTED) for port in connected]
    arguments = ("dataRouter", "10.0.0.1:3", f"10.0.0.1:{told}") if told else ()
    return Process(pid, tuple(sockets), directory, arguments=arguments, **more)


AT_A, AT_B = process(1, directory=A), process(2, directory=B)
AT_A_5, AT_B_5 = process(1, 5, directory=A), process(2, 5, directory=B)
TWO = [site("a", 5), site("b", 6)]


@pytest.mark.parametrize(
    ("processes", "given_directories", "sites", "expected"),
    [
        ([process(1, 5), process(2, 6)], {}, [site("a", 6), site("b", 5)], {"a": 2, "b": 1}),
        ([process(1, 3, 5)], {}, [site("a", 5)], {"a": 1}),
        ([AT_A, AT_B], {0: B, 1: A}, [site("a", 1, "/b"), site("b", 2, "/a")], {"a": 2, "b": 1}),
        ([AT_A_5, AT_B_5], {0: B, 1: A}, [site("a", 5, "/b"), site("b", 5, "/a")], {"a": 2, "b": 1}),
        ([process(1)], {}, [site("a", 5)], {"a": 1}),
        ([process(1, told=5)], {}, [site("a", 5)], {"a": 1}),
        ([process(1, told=6)], {}, [site("a", 5)], {"a": None}),
        ([process(1, 9)], {}, [site("a", 5)], {"a": None}),
        ([process(1)], {}, TWO, {"a": None, "b": None}),
        ([process(1), process(2)], {}, [site("a", 5)], {"a": None}),
        ([process(1, 5), process(2, 5)], {}, [site("a", 5)], {"a": None}),
        ([process(1, 5), process(2)], {}, TWO, {"a": 1, "b": None}),
        ([], {}, [site("a", 5)], {"a": None}),
        # with a source
        ([process(1, 3, connected=(5,))], {}, [site("a", 5)], {"a": 1}),
        ([process(1, 3, connected=(5,)), process(2, 4, connected=(6,))], {}, TWO, {"a": 1, "b": 2}),
        ([process(1, 3, connected=(5,)), process(2, 4, 6)], {}, TWO, {"a": 1, "b": 2}),
        # a chance port that is another router's
        ([process(1, 3, connected=(5,)), process(2, 4, 6, connected=(5,))], {}, TWO, {"a": 1, "b": 2}),
        ([process(1, 4, 6, connected=(5,))], {}, TWO, {"a": None, "b": 1}),
        ([process(1, 4, connected=(5, 6))], {}, TWO, {"a": None, "b": None}),
        ([process(1, 4, connected=(5, 6), told=6)], {}, TWO, {"a": None, "b": 1}),
        ([process(1, 4, connected=(5,), told=7)], {}, TWO, {"a": None, "b": None}),
        ([process(1, 3, connected=(5,)), process(2, 4, connected=(5, 6), told=6)], {}, TWO, {"a": 1, "b": 2}),
        ([process(1, 3, connected=(5,)), process(2, 4, connected=(5, 6))], {}, TWO, {"a": 1, "b": 2}),
        ([process(1, 3, connected=(5,), told=5), process(2, 4, connected=(5, 6))], {}, TWO, {"a": 1, "b": 2}),
        # a child has the sockets of its parent; a program that starts the router has none
        ([process(1, 3, 5), process(2, 3, 5, parent=1)], {}, [site("a", 5)], {"a": 1}),
        ([process(1), process(2, 3, 5, parent=1)], {}, [site("a", 5)], {"a": 2}),
    ],
)  # fmt: skip
def test_routers_are_told_apart(
    processes: list[Process], given_directories: dict[int, Directory], sites: list, expected: dict[str, int | None]
):
    """A router is what listens on its port, else what has a connection there, else what works in its work_dir."""
    for order in (processes, processes[::-1]):
        findings = find_routers(Look(tuple(order), given_directories), sites, "mini3")
        assert {name: finding.process and finding.process.pid for name, finding in findings.items()} == expected


OFF = "no dataRouter of router data3 runs on mini3 (port 5): start it"


@pytest.mark.parametrize(
    ("look", "router", "problem"),
    [
        (Look((process(7, 5),), {}), site("data3", 5), r"working directory of router data3 \(process 7 on mini3\)"),
        (Look((process(7, 9),), {}), site("data3", 5), f"^{re.escape(OFF)}$"),
        (Look((), {}), site("data3", 5), f"^{re.escape(OFF)}$"),
        (Look((), {}), site("data3", 5, "/gone"), f"^{re.escape(OFF)}; its work_dir /gone .* must be a directory"),
        (Look((process(7, 5, directory=A),), {0: B}), site("data3", 5, "/b"), "works in /a on mini3, .*/b"),
        (Look((process(7, 5), process(8, 5)), {}), site("data3", 5), "several .* use port 5 .processes 7 and 8"),
        (Look((process(7, 5, directory=A), process(8, 9)), {}), site("data3", 5), "^$"),
        (Look((process(7, 5, directory=A),), {}), site("data3", 5), "^$"),
        (
            Look((process(7, 5, lost="was deleted", place=b"/a"),), {0: A}),
            site("data3", 5, "/a"),
            "/a. on mini3 was del",
        ),
    ],
)
def test_what_is_not_known_is_said(look: Look, router, problem: str):
    """The problem names the router, its host, what it is and what must be done."""
    assert re.search(problem, find_routers(look, [router], "mini3")["data3"].problem)


@given(st.integers(2, 15))
def test_a_dead_router_has_one_sentence_however_many_run_beside_it(number: int):
    """The sentence about a dead router does not grow with its neighbours."""
    look = Look(tuple(process(pid, 100 + pid) for pid in range(1, number)), {})
    assert find_routers(look, [site("data3", 5)], "mini3")["data3"].problem == OFF


def test_a_router_whose_directory_is_not_known_is_not_clean():
    """Without a working directory nothing is known to be clean."""
    facts = find_routers(Look((process(7, 5),), {}), [site("data3", 5)], "mini3")["data3"].facts(
        "e20/run_0000", 1.0, 2.0, 2.0
    )
    assert facts.online
    assert not facts.clean


def test_a_dead_router_is_judged_by_its_work_dir():
    """The files that a router left in its work_dir count although no process runs."""
    facts = find_routers(Look((), {0: B}), [site("data3", 46005, "/b")], "mini3")["data3"].facts(
        "e20/run_0000", 1.0, 2.0, 2.0
    )
    assert (facts.online, facts.work_dir, facts.file_count, facts.clean) == (False, "/b", 2, False)
