"""Facts of routers from real processes called dataRouter."""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ioc.errors import PeerError
from ioc.hosts.look import SCRIPT, parse
from ioc.hosts.transport import ENVIRONMENT, fed_to_sh
from ioc.model import RouterFacts
from ioc.sim.ports import free_port
from ioc.topology.schema import DataRouter
from tests.epics import eventually
from tests.hosts.rig import DataRouters, Hosts, put, site
from tests.sshd import SshServer

TOOLS = ("sh", "awk", "sed", "grep", "ls", "od", "tr", "df", "tail", "cat", "sleep", "readlink", "rmdir")


RUN = "e18008/run_0012"


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
    assert one.run_directory == two.run_directory == "e18008/run_0012"
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


async def facts_of(hosts: Hosts, *sites: DataRouter) -> dict[str, RouterFacts]:
    """Look with a host that has never looked before, as after a restart."""
    return dict(await hosts(*sites).router_facts(RUN))


@pytest.mark.parametrize("told", [False, True])
async def test_a_router_with_a_source(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path, told: bool):
    """A router that listens no more, because a source is connected, is online all the same."""
    port = data_routers.start(tmp_path, told=told)
    before = (await facts_of(hosts, site(port=port)))["data0"]
    source = data_routers.connect(port)
    during = (await facts_of(hosts, site(port=port)))["data0"]
    assert before.online
    assert (during.online, during.work_dir) == (True, str(tmp_path))
    assert source.send("CoBo0_AsAd0", "data").startswith("CoBo0_AsAd0_")
    source.close()
    data_routers.connect(port).close()  # it listens again, and serves the next
    assert before.process == during.process != ""
    assert before.asked_at <= before.answered_at <= during.asked_at <= time.monotonic()
    assert before.read_at <= during.read_at <= time.time()


async def test_a_router_that_listens_no_more_after_its_source_is_deaf(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """The real one is after a TCP RST: it lives, with its control port only, and is found by its arguments."""
    port = data_routers.start(tmp_path, kind="deaf")
    place = site(port=port, work_dir=tmp_path)
    assert not (await facts_of(hosts, place))["data0"].deaf
    source = data_routers.connect(port)
    assert not (await facts_of(hosts, place))["data0"].deaf
    source.close()
    await eventually((tmp_path / "deaf").exists)
    facts = (await facts_of(hosts, place))["data0"]
    assert (facts.online, facts.deaf) == (True, True)


async def test_twelve_routers_with_sources(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """Many routers on one host, half of them with a source, are told apart after a restart."""
    places = [tmp_path / str(number) for number in range(12)]
    for place in places:
        place.mkdir()
    ports = [data_routers.start(place) for place in places]
    for port in ports[::2]:
        data_routers.connect(port)
    facts = await facts_of(hosts, *(site(f"data{i}", port) for i, port in enumerate(ports)))
    assert [facts[f"data{i}"].work_dir for i in range(12)] == list(map(str, places))


async def test_a_restart_is_another_process(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """A router that was started again has another identity; one that runs on keeps it."""
    port = data_routers.start(tmp_path)
    host = hosts(site(port=port))
    first, same = [(await host.router_facts(RUN))["data0"].process for _ in range(2)]
    data_routers.stop()
    assert (await host.router_facts(RUN))["data0"].process == ""
    data_routers.start(tmp_path, port)
    assert first == same != (await host.router_facts(RUN))["data0"].process


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("told", [False, True])
async def test_a_chance_port(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path, told: bool, connected: bool
):
    """A dataRouter whose connection to somebody begins at the port of a dead router is not taken for that."""
    dead = free_port()
    with socket.create_server(("127.0.0.1", 0)) as service:
        data_routers.start(tmp_path, dead, "outgoing", peer=service.getsockname()[1], told=told)
        port = data_routers.start(tmp_path, told=told)
        if connected:
            data_routers.connect(port)
        facts = await facts_of(hosts, site("dead", dead), site("alive", port))
    assert (facts["dead"].online, facts["alive"].online) == (False, True)


async def test_a_child_that_inherits_the_sockets(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """What a router forked holds its sockets too, but is not the router."""
    port = data_routers.start(tmp_path, kind="forking")
    facts = (await facts_of(hosts, site(port=port)))["data0"]
    assert (facts.online, facts.process.partition("@")[0]) == (True, str(data_routers.running[0].pid))


async def test_one_port_on_two_addresses(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """Routers with the same port on different addresses are told apart, with and without a source."""
    port = free_port()
    addresses = ("127.0.0.1", "127.0.0.2")
    for address in addresses:
        (tmp_path / address).mkdir()
        data_routers.start(tmp_path / address, port, address=address)
    sites = [site(f"at {address}", port).model_copy(update={"host": address}) for address in addresses]
    for connected in (False, True):
        if connected:
            data_routers.connect(port, addresses[1])
        facts = await facts_of(hosts, *sites)
        for address in addresses:
            assert facts[f"at {address}"].work_dir == str(tmp_path / address)


async def test_two_processes_on_one_port(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """If two processes may be the router, it is said which, and neither is taken for it."""
    port = free_port()
    for address in ("127.0.0.1", "127.0.0.2"):
        data_routers.start(tmp_path, port, address=address)
    facts = (await facts_of(hosts, site(port=port)))["data0"]
    first, second = (process.pid for process in data_routers.running)
    assert not facts.online
    assert f"use port {port}" in facts.problem
    assert str(first) in facts.problem
    assert str(second) in facts.problem


async def test_a_dead_router_among_many(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """The sentence about a dead router has what an operator needs, and no word of its neighbours."""
    dead = free_port()
    ports = [data_routers.start(tmp_path) for _ in range(3)]
    facts = await facts_of(hosts, site("data7", dead), *(site(f"data{i}", port) for i, port in enumerate(ports)))
    host = hosts.made[0].name
    assert facts["data7"].problem == f"no dataRouter of router data7 runs on {host} (port {dead}): start it"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_a_router_of_another_user(local_hosts: Hosts, data_routers: DataRouters, monkeypatch: pytest.MonkeyPatch):
    """A router whose descriptors are closed to us is found by the port it was told; its directory must be given."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        place = pathlib.Path(directory)
        place.chmod(0o755)
        port = data_routers.start(place, told=True, user=65533)
        monkeypatch.setattr("subprocess.Popen", partial(subprocess.Popen, user=65534))
        unknown = (await facts_of(local_hosts, site(port=port), site("other", free_port())))["data0"]
        known = (await facts_of(local_hosts, site(port=port, work_dir=place)))["data0"]
    assert (unknown.online, unknown.work_dir) == (True, "")
    assert "must belong to the SSH user, or the topology must give work_dir" in unknown.problem
    assert (known.online, known.work_dir) == (True, directory)
    assert "cannot write" in known.problem


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_connections_that_have_ended_are_not_told(data_routers: DataRouters):
    """A look at a router of root leaves out the host's ended connections, which the kernel lists as those of root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.create_server(("127.0.0.1", 0)) as server:
        port = data_routers.start(pathlib.Path(directory), told=True)
        ended = socket.create_connection(server.getsockname())
        waiting = ended.getsockname()[1]
        other, _ = server.accept()
        ended.close()  # the end that closes first waits for a minute
        other.close()
        text = fed_to_sh(SCRIPT, (RUN.encode(), b"2"))
        answer = subprocess.run(
            ["/bin/sh", "-s"], input=text, env=dict(ENVIRONMENT), capture_output=True, check=True, user=65534
        ).stdout
    assert f":{waiting:04X} " not in answer.decode(errors="replace")
    assert any(port == each.port for process in parse(answer).processes for each in process.sockets)


def delete(place: pathlib.Path) -> None:
    shutil.rmtree(place)


def replace_by_another(place: pathlib.Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


@pytest.mark.parametrize("work_dir", [False, True])
@pytest.mark.parametrize("harm", [delete, replace_by_another])
async def test_a_directory_that_was_deleted(
    hosts: Hosts,
    data_routers: DataRouters,
    tmp_path: pathlib.Path,
    harm: Callable[[pathlib.Path], None],
    work_dir: bool,
):
    """The true cause is told, and nothing is clean, even if there is another directory of that name by now."""
    place = tmp_path / "data"
    place.mkdir()
    port = data_routers.start(place)
    host = hosts(site(port=port, work_dir=place if work_dir else None))
    assert (await host.router_facts(RUN))["data0"].clean
    harm(place)
    facts = (await host.router_facts(RUN))["data0"]
    assert (facts.online, facts.work_dir, facts.clean) == (True, "", False)
    assert f"the working directory of router data0 ({place}) on {host.name} was deleted" in facts.problem


async def test_a_directory_that_was_renamed(hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path):
    """A router goes on in a directory that was moved, and is found there."""
    place = tmp_path / "data (deleted)"
    place.mkdir()
    port = data_routers.start(place)
    host = hosts(site(port=port))
    assert (await host.router_facts(RUN))["data0"].work_dir == str(place)
    place.rename(tmp_path / "moved")
    place.mkdir()
    facts = (await host.router_facts(RUN))["data0"]
    assert (facts.work_dir, facts.problem) == (str(tmp_path / "moved"), "")


@pytest.fixture
def mounted(tmp_path: pathlib.Path) -> Iterator[Callable[..., None]]:
    """Runs mount and umount in this test, where they are permitted."""
    trial = tmp_path / "trial"
    trial.mkdir()

    def command(*words: str | pathlib.Path) -> None:
        subprocess.run(words, check=True, capture_output=True)

    try:
        command("mount", "-t", "tmpfs", "none", trial)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    command("umount", trial)
    yield command
    while subprocess.run(["umount", "-l", tmp_path / "data"], capture_output=True, check=False).returncode == 0:
        pass


async def test_file_systems_that_come_and_go(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path, mounted: Callable[..., None]
):
    """A directory that cannot be written, is unmounted, or hidden by a mount: each is told for what it is."""
    place = tmp_path / "data"
    place.mkdir()
    mounted("mount", "-t", "tmpfs", "none", place)
    port = data_routers.start(place)
    host = hosts(site(port=port))
    assert (await host.router_facts(RUN))["data0"].problem == ""
    mounted("mount", "-o", "remount,ro", place)
    facts = (await host.router_facts(RUN))["data0"]
    assert (facts.online, facts.work_dir) == (True, str(place))
    assert f"cannot write into the working directory of router data0 ({place})" in facts.problem
    assert "its file system is read-only" in facts.problem
    mounted("umount", "-l", place)
    facts = (await host.router_facts(RUN))["data0"]
    assert (facts.online, facts.work_dir) == (True, "")
    assert "its file system was unmounted" in facts.problem
    data_routers.stop()
    data_routers.start(place, port)
    mounted("mount", "-t", "tmpfs", "none", place)
    facts = (await hosts(site(port=port)).router_facts(RUN))["data0"]
    assert (facts.online, facts.work_dir) == (True, "")
    assert f"({place})" in facts.problem
    assert "another one was mounted over it" in facts.problem


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    ("mode", "problem"),
    [(0o000, "cannot be read by the SSH user: Permission denied"), (0o555, "its permissions forbid it")],
)
async def test_permissions_that_were_removed(
    local_hosts: Hosts,
    data_routers: DataRouters,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    problem: str,
):
    """A directory that the user may not read, or not write, is told for what it is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        place = pathlib.Path(directory)
        shutil.chown(place, 65534)
        port = data_routers.start(place, user=65534)
        place.chmod(mode)
        with monkeypatch.context() as patch:
            patch.setattr("subprocess.Popen", partial(subprocess.Popen, user=65534))
            facts = (await facts_of(local_hosts, site(port=port)))["data0"]
        place.chmod(0o700)
    assert (facts.online, facts.work_dir) == (True, directory if mode else "")
    assert problem in facts.problem


EXPORTED = {
    "QUOTING_STYLE": "shell-escape-always",
    "TIME_STYLE": "+%s %s %s",
    "BLOCK_SIZE": "human-readable",
    "BLOCKSIZE": "1M",
    "POSIXLY_CORRECT": "1",
    "LS_COLORS": "*.graw=01",
    "LC_ALL": "de_DE.UTF-8",
    "LC_NUMERIC": "de_DE.UTF-8",
    "GREP_OPTIONS": "-v",
    "GREP_COLOR": "31",
    "CDPATH": "/:/tmp",
    "ENV": "/nonexistent/x",
    "IFS": "a/:1",
    "PS_FORMAT": "cmd",
    "TZ": "Asia/Kathmandu",
    "BASH_FUNC_awk%%": "() { echo nonsense; }",
    "BASH_FUNC_ls%%": "() { echo nonsense; }",
    "BASH_FUNC_cd%%": "() { :; }",
    "run": "/etc",
    "number": "7",
}


async def test_what_is_exported_changes_nothing(
    data_routers: DataRouters, tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """No variable that tools look at, no PATH with tools of its own and no exported function has any effect."""
    place = tmp_path / "it's data"
    place.mkdir()
    (place / "a b.graw").write_bytes(b"12345")
    port = data_routers.start(place)
    data_routers.connect(port)
    own = tmp_path / "own tools"
    own.mkdir()
    for tool in ("ls", "awk", "sed", "df", "od", "cat", "tail", "ps", "grep", "sh", "readlink"):
        (own / tool).write_text("#!/bin/sh\necho nonsense\n")
        (own / tool).chmod(0o755)
    variables = {**EXPORTED, "PATH": f"{own}:."}
    with SshServer(tmp_path_factory.mktemp("sshd"), environment=variables) as server:
        for sshd in (server, None):
            hosts = Hosts(sshd)
            with monkeypatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                facts = (await hosts(site(port=port)).router_facts(RUN))["data0"]
            await hosts.close()
            assert (facts.problem, facts.online, facts.work_dir) == ("", True, str(place))
            assert (facts.file_count, facts.staged_bytes) == (1, 5)
            assert facts.disk_total == pytest.approx(shutil.disk_usage(place).total, rel=0.01)


@pytest.mark.parametrize("shell", ["dash", "bash", "ksh", "mksh", "busybox"])
@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="there is no /proc here")
async def test_every_shell(data_routers: DataRouters, tmp_path: pathlib.Path, shell: str):
    """Any POSIX shell finds each router with its directory and files; busybox does so with its own tools."""
    program, path = shutil.which(shell), ENVIRONMENT["PATH"]
    if program is None:
        pytest.skip(f"{shell} is not installed")
    if shell == "busybox":
        path = str(tmp_path / "bin")
        pathlib.Path(path).mkdir()
        for tool in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (tmp_path / "bin" / tool).symlink_to(program)
        program = f"{path}/sh"
    places = [tmp_path / name for name in ("plain", "with space", "new\nline", "ümlaut", "it's (deleted)", "gone")]
    for i, place in enumerate(places):
        place.mkdir()
        put(place, {b"a.graw": bytes(i)})
    ports = [data_routers.start(place) for place in places]
    data_routers.connect(ports[1])
    shutil.rmtree(places[-1])
    environment = {**ENVIRONMENT, "PATH": path, "HOME": "/"}
    text = fed_to_sh(SCRIPT, (RUN.encode(), b"2", os.fsencode(tmp_path), os.fsencode(places[0]), b"/none"))
    answer = subprocess.run([program, "-s"], input=text, env=environment, capture_output=True, check=False).stdout
    look = parse(answer)
    of_port = {socket.port: process for process in look.processes for socket in process.sockets}
    for i, (port, place) in enumerate(zip(ports[:-1], places, strict=False)):
        directory = of_port[port].directory
        assert directory is not None
        assert (directory.path, directory.file_count, directory.staged_bytes) == (os.fsencode(place), 1, i)
        assert (directory.disk_total, directory.run_dir_exists) == (
            pytest.approx(shutil.disk_usage(place).total, rel=0.01),
            False,
        )
        assert "-I" in of_port[port].arguments
    assert (of_port[ports[-1]].directory, of_port[ports[-1]].lost) == (None, "was deleted")
    assert {number: directory.file_count for number, directory in look.given.items()} == {0: 0, 1: 1}


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="there is no /proc here")
async def test_a_connection_that_comes_during_the_look(data_routers: DataRouters, tmp_path: pathlib.Path):
    """A router whose listener became a connection after the tables of sockets were read is found by the connection."""
    port = data_routers.start(tmp_path)
    waits, go = tmp_path / "waits", tmp_path / "go"
    os.mkfifo(go)
    (tmp_path / "bin").mkdir()
    listing = tmp_path / "bin/ls"  # which lists the descriptors
    listing.write_text(
        f'#!/bin/sh\n[ -e "{waits}" ] || {{ : >"{waits}"; read -r _ <"{go}"; }}\nexec {shutil.which("ls")} "$@"\n'
    )
    listing.chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}/bin:{ENVIRONMENT['PATH']}", "HOME": "/"}
    look = await asyncio.create_subprocess_exec(
        "/bin/sh", "-s", env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    answer = asyncio.create_task(look.communicate(fed_to_sh(SCRIPT, (RUN.encode(), b"2"))))
    await eventually(waits.exists)
    data_routers.connect(port)
    go.write_text("now\n")
    found = [process for process in parse((await answer)[0]).processes if process.place == os.fsencode(tmp_path)]
    assert [(each.port, each.listening) for each in found[0].sockets if each.port == port] == [(port, False)]


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_as_many_programs_for_one_router_as_for_twelve(data_routers: DataRouters, tmp_path: pathlib.Path):
    """The number of programs that a look starts does not depend on the number of routers: that is what it costs."""
    tools, log, counts = tmp_path / "bin", tmp_path / "log", list[int]()
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).write_text(f'#!/bin/sh\necho {tool} >>"{log}"\nexec {shutil.which(tool)} "$@"\n')
        (tools / tool).chmod(0o755)
    directories: list[bytes] = []
    for more in (1, 11):
        for _ in range(more):
            place = tmp_path / f"data{len(directories)}"
            place.mkdir()
            directories.append(os.fsencode(place))
            data_routers.connect(data_routers.start(place))
        log.write_text("")
        text = fed_to_sh(SCRIPT, (RUN.encode(), b"2", *directories))
        environment = {**ENVIRONMENT, "PATH": str(tools), "HOME": "/"}
        answer = subprocess.run(["/bin/sh", "-s"], input=text, env=environment, capture_output=True, check=True).stdout
        assert {*directories} <= {process.place for process in parse(answer).processes}
        counts.append(len(log.read_text().split()))
    # Routers of somebody else on this machine may come meanwhile, with a directory that must be looked at alone.
    assert counts[1] < counts[0] + 11


def tools_of_macos(programs: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Make the look work without /proc, with `scripts` for ps and lsof."""
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or "missing")
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}")
        (programs / name).chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(programs))
    monkeypatch.setattr("ioc.hosts.look.SCRIPT", SCRIPT.replace("proc=/proc", "proc=/none"))


PS_OF_MACOS = """case "$*" in
  *etime*) : ;;
  *args*) echo '  501 /Users/at tpc/bin/dataRouter 127.0.0.1:46003 127.0.0.1:46005 TCP FrameStorage' ;;
  *) echo '  501     1 S    Fri Nov 27 09:09:09 2026     /Users/at tpc/bin/dataRouter' ;;
esac
"""


def lsof_of_macos(place: pathlib.Path, inode: int) -> str:
    return f"""echo p501; echo cdataRouter
case "$*" in
  *cwd*) echo fcwd; echo i{inode}; echo "n{place}" ;;
  *) printf 'f5\\nPTCP\\nn127.0.0.1:46003\\nTST=LISTEN\\nTQR=0\\nTQS=0\\n'
     printf 'f7\\nPTCP\\nn127.0.0.1:46005->127.0.0.1:51022\\nTST=ESTABLISHED\\nTQR=0\\nTQS=0\\n' ;;
esac
"""


async def test_with_the_tools_of_macos(local_hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Without /proc the working directory, the sockets and the start of the process come from lsof and ps."""
    place = tmp_path / "my data"
    place.mkdir()
    (place / "a.graw").write_bytes(b"12345")
    lsof = lsof_of_macos(place, place.stat().st_ino)
    tools_of_macos(tmp_path / "tools", monkeypatch, ps=PS_OF_MACOS, lsof=lsof)
    facts = (await local_hosts(site(port=46005)).router_facts("e/run_0000"))["data0"]
    assert (facts.online, facts.work_dir, facts.file_count, facts.staged_bytes) == (True, str(place), 1, 5)
    assert facts.process == "501@Fri Nov 27 09:09:09 2026"


@pytest.mark.skipif(not (shutil.which("lsof") and shutil.which("ps")), reason="lsof or ps is not installed")
async def test_with_real_lsof_and_ps(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """What the real tools say, asked as on macOS, is read like what /proc says."""
    monkeypatch.setattr("ioc.hosts.look.SCRIPT", SCRIPT.replace("proc=/proc", "proc=/none"))
    places = [tmp_path / name for name in ("one", "tw'o", "udp", "deleted")]
    for place in places:
        place.mkdir()
    ports = [
        data_routers.start(place, kind=kind) for place, kind in zip(places, ("tcp", "tcp", "udp", "tcp"), strict=True)
    ]
    data_routers.connect(ports[1])
    places[3].rmdir()
    host = hosts(*(site(f"data{i}", port) for i, port in enumerate(ports)))
    facts = [(await host.router_facts(RUN))[f"data{i}"] for i in range(4)]
    assert [fact.online for fact in facts] == [True] * 4
    assert [fact.work_dir for fact in facts] == [*map(str, places[:3]), ""]
    assert re.fullmatch(r"\d+@\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", facts[0].process)


@pytest.mark.parametrize("gone", [False, True])
async def test_a_directory_deleted_on_macos(
    local_hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, gone: bool
):
    """lsof shows the old name of a directory that was deleted; another one of that name is not taken for it."""
    place = tmp_path / "data"
    if not gone:
        place.mkdir()
    tools_of_macos(tmp_path / "tools", monkeypatch, ps=PS_OF_MACOS, lsof=lsof_of_macos(place, 1))
    facts = (await local_hosts(site(port=46005)).router_facts("e/run_0000"))["data0"]
    assert (facts.online, facts.work_dir) == (True, "")
    assert f"({place}) on localhost was deleted or moved away" in facts.problem


@pytest.mark.parametrize("timeout", [10.0, 0.5])
async def test_lsof_that_hangs(hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, timeout: float):
    """lsof is ended after its time and said to hang; nothing of it stays, even where we do not wait that long."""
    mark = tmp_path / "lsof.pid"
    lsof = f"echo $$ >>{mark}; exec sleep 1000\n"
    tools_of_macos(tmp_path / "tools", monkeypatch, ps=PS_OF_MACOS, lsof=lsof)
    monkeypatch.setattr("ioc.hosts.host.LSOF_SHARE", 10)
    host = hosts(site(port=46005), ssh_timeout=timeout)
    for _ in range(2):
        with pytest.raises(PeerError, match="lsof hangs there" if timeout > 1 else "a command on .* did not end"):
            await host.router_facts(RUN)
    deadline = time.monotonic() + 60
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in mark.read_text().split()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_linux_needs_no_lsof(local_hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path,
                                   monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    """Where there is /proc, neither lsof nor ps is asked."""
    (tmp_path / "data").mkdir()
    port = data_routers.start(tmp_path / "data")
    tools_of_macos(tmp_path / "tools", monkeypatch, ps="sleep 1000", lsof="sleep 1000")
    monkeypatch.setattr("ioc.hosts.look.SCRIPT", SCRIPT)
    assert (await local_hosts(site(port=port)).router_facts(RUN))["data0"].work_dir == str(tmp_path / "data")


@pytest.mark.parametrize("tool", ["ps", "lsof"])
async def test_a_tool_that_is_missing(
    local_hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tool: str
):
    """Without /proc, ps and lsof are needed; that one is missing is said instead of that no router runs."""
    scripts = {name: script for name, script in (("ps", PS_OF_MACOS), ("lsof", "true")) if name != tool}
    tools_of_macos(tmp_path / "tools", monkeypatch, **scripts)
    with pytest.raises(PeerError, match=f"install the program {tool} there"):
        await local_hosts(site(port=46005)).router_facts(RUN)


async def test_ps_that_fails(local_hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Without /proc on Linux ps lists nothing: that is said instead of that no router runs."""
    tools_of_macos(tmp_path / "tools", monkeypatch, ps="exit 1", lsof="true")
    with pytest.raises(PeerError, match="ps fails there"):
        await local_hosts(site(port=46005)).router_facts(RUN)


async def test_an_answer_that_cannot_be_read_does_not_stay_in_memory(hosts: Hosts, monkeypatch: pytest.MonkeyPatch):
    """What a host said is released with the error, not at the next garbage collection."""
    length = 2_000_000
    monkeypatch.setattr("ioc.hosts.look.SCRIPT", f"main() {{ echo @begin; head -c {length} /dev/zero | tr '\\0' x; }}")
    host = hosts(site())
    with pytest.raises(PeerError, match="did not finish"):
        await host.router_facts(RUN)  # paramiko keeps the frames of a login
    gc.disable()
    tracemalloc.start()
    try:
        with pytest.raises(PeerError, match="did not finish"):
            await host.router_facts(RUN)
        assert tracemalloc.get_traced_memory()[1] > length
        await eventually(lambda: tracemalloc.get_traced_memory()[0] < length / 2)  # the thread may still deliver it
    finally:
        tracemalloc.stop()
        gc.enable()
