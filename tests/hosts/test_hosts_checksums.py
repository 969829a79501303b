"""Checksums that a host computes of its files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from ioc.errors import PeerError
from ioc.hosts import MachineHost
from ioc.hosts.checksums import NoProgramError
from ioc.hosts.transport import shown
from ioc.model import Checksum, Found
from tests.epics import eventually
from tests.hosts.rig import Hosts
from tests.sshd import ROOT, SshServer

NAMES = (
    b"plain.graw",
    b"-leading",
    b"new\nline",
    b"back\\slash",
    b"\\x41",
    b"\xff\xfe.graw",
    b"a 'b' \"c\" $d `e` *",
    b" ",
)
LONG = 200 * 1024**3
"""Bytes of a sparse file whose checksum takes far longer than a test."""


async def sums(
    host: MachineHost, *paths: bytes, algorithm: str = "", sizes: dict[str, int] | None = None
) -> list[Checksum]:
    """Return the checksums of these files."""
    found: list[Checksum] = []

    async def record(result: Checksum) -> None:
        found.append(result)

    await host.checksums([shown(path) for path in paths], record, algorithm=algorithm, sizes=sizes or {})
    return found


def long_file(directory: pathlib.Path) -> bytes:
    """Make a file that takes long to read."""
    path = directory / "long.graw"
    with path.open("wb") as file:
        file.truncate(LONG)
    return os.fsencode(path)


def readers(path: bytes) -> list[int]:
    """Return the processes that have a file open; any process and any open file may vanish during the look."""
    return [pid for pid in psutil.pids() if path in open_files(pid)]


def open_files(pid: int) -> list[bytes]:
    """Return what a process has open, as far as it stays open during the look."""
    found: list[bytes] = []
    with contextlib.suppress(OSError):
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.fsencode(descriptor.readlink()))
    return found


def named(path: bytes, end: str) -> list[psutil.Process]:
    """Return the processes that have a file open and whose name ends so."""
    found: list[psutil.Process] = []
    for each in readers(path):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(each)
            if process.name().endswith(end):
                found.append(process)
    return found


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    await eventually(condition, timeout=90)


@pytest.fixture
def stubs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A directory whose programs are found first on this machine."""
    directory = tmp_path_factory.mktemp("programs")
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def stub(directory: pathlib.Path, name: str, text: str) -> None:
    """Put a shell script in place of a program."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("algorithm", ["", "sha256", "xxh128"])
async def test_files_of_any_name_have_their_checksum(hosts: Hosts, tmp_path: pathlib.Path, algorithm: str) -> None:
    """The checksum of each file is that of its content, whatever its name, in the order asked for."""
    paths = [os.fsencode(tmp_path) + b"/" + name for name in NAMES]
    for number, path in enumerate(paths):
        pathlib.Path(os.fsdecode(path)).write_bytes(b"content %d\n" % number * 1000)
    try:
        found = await sums(hosts(), *paths, algorithm=algorithm)
    except NoProgramError:
        assert algorithm == "xxh128"
        pytest.skip("xxhsum is not installed")
    assert [(each.path, each.found, each.size) for each in found] == [
        (shown(path), Found.Whole, 10_000) for path in paths
    ]
    for path, each in zip(paths, found, strict=True):
        kind, _, digits = each.text.partition(":")
        assert kind == algorithm or not algorithm
        if kind == "sha256":
            assert digits == hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest()
        else:
            assert len(digits) == 32
    assert len({each.text for each in found}) == len(found)


async def test_what_is_not_that_file_any_more_is_told(hosts: Hosts, tmp_path: pathlib.Path) -> None:
    """A missing file, one of another size, a directory, a link, a pipe and an unreadable file have no checksum."""
    good = tmp_path / "good"
    good.write_bytes(b"0123456789")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    # Reading the memory of a process at address 0 is an input/output error, also for root.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        cases = {
            str(good): Found.Whole,
            str(tmp_path / "missing"): Found.Missing,
            str(tmp_path / "no" / "such"): Found.Missing,
            str(tmp_path / "directory"): Found.OtherKind,
            str(tmp_path / "link"): Found.OtherKind,
            str(tmp_path / "pipe"): Found.OtherKind,
            f"/proc/{process.pid}/mem": Found.Unreadable,
        }
        for algorithm in ("", "sha256"):
            found = await sums(hosts(), *map(os.fsencode, cases), algorithm=algorithm)
            assert {each.path: each.found for each in found} == cases
        (short,) = await sums(hosts(), os.fsencode(good), sizes={str(good): 11})
        assert (short.found, short.size, short.text) == (Found.OtherSize, 10, "")
        process.communicate()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_file_that_another_user_forbids_is_unreadable_and_not_missing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Permissions of a file and of a directory above it make a file unreadable; they do not make it missing."""
    directory = tmp_path_factory.mktemp("private")
    for above in (directory, *directory.parents[:-1]):
        above.chmod(above.stat().st_mode | 0o755)
    (directory / "file").touch(mode=0o600)
    (directory / "closed").mkdir(mode=0o700)
    (directory / "closed" / "file").touch()
    script = (ROOT / "ioc/hosts/checksums.sh").read_text()
    words = " ".join(f"{directory}/{name} ''" for name in ("file", "closed/file", "missing"))
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=f"{script}\nmain sha256 {words} </dev/null 2>/dev/null\n",
        capture_output=True,
        text=True,
        check=True,
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
    )
    assert done.stdout.split("\n")[1:-1] == [
        *("@file 0", "unreadable", "@file 1", "unreadable", "@file 2", "missing", "@end")
    ]


async def test_it_ends_in_the_middle_of_a_file_when_it_is_cancelled(hosts: Hosts, tmp_path: pathlib.Path) -> None:
    """The programs on the host are gone; what was being read has no result, what was read before has."""
    path, host = long_file(tmp_path), hosts()
    first = tmp_path / "first"
    first.write_bytes(b"1")
    found: list[Checksum] = []

    async def record(result: Checksum) -> None:
        found.append(result)

    task = asyncio.create_task(host.checksums([str(first), shown(path)], record))
    await until(lambda: found and readers(path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not readers(path))
    assert [each.path for each in found] == [str(first)]


async def test_it_ends_when_the_host_is_closed(hosts: Hosts, tmp_path: pathlib.Path) -> None:
    """An IOC that ends leaves no program behind."""
    path, host = long_file(tmp_path), hosts()
    task = asyncio.create_task(sums(host, path))
    await until(lambda: readers(path))
    await host.close()
    with pytest.raises(PeerError):
        await task
    await until(lambda: not readers(path))


async def test_a_program_that_is_killed_is_no_result(hosts: Hosts, tmp_path: pathlib.Path) -> None:
    """kill -9 of the program: the file is not called unreadable; of its shell: an error, and the program ends too."""
    path, host = long_file(tmp_path), hosts()
    task = asyncio.create_task(sums(host, path))
    await until(lambda: named(path, "sum"))
    named(path, "sum")[0].kill()
    (found,) = await task
    assert (found.found, found.text) == (Found.Changing, "")
    task = asyncio.create_task(sums(host, path))
    await until(lambda: named(path, "sum"))
    named(path, "sh")[0].kill()
    with pytest.raises(PeerError, match="ended too early"):
        await task
    await until(lambda: not readers(path))


DYING = """
import asyncio, sys
from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.topology.schema import Ssh
import json
settings, path = json.loads(sys.argv[1]), sys.argv[2]
transport = SshTransport("127.0.0.1", Ssh(**settings), 10.0) if settings else LocalTransport()
host = MachineHost("host", transport, [], [], ssh_timeout=10, filing_timeout=10, settle_seconds=0)
async def record(_): pass
asyncio.run(host.checksums([path], record))
"""


@pytest.fixture(params=["ssh", "local"])
def settings(request: pytest.FixtureRequest) -> str:
    """The SSH settings of a server as JSON, or those of this machine."""
    return request.getfixturevalue("shared_sshd").settings().model_dump_json() if request.param == "ssh" else "{}"


def test_it_ends_when_the_ioc_is_killed(settings: str, tmp_path: pathlib.Path) -> None:
    """kill -9 of the process that waits ends the program on the host."""
    path = long_file(tmp_path)
    deadline = time.monotonic() + 100
    with subprocess.Popen([sys.executable, "-c", DYING, settings, shown(path)], cwd=ROOT) as process:
        try:
            while not readers(path):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
    while readers(path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


LYING = {
    "not there": "exit 127",
    "words": "echo this is no checksum",
    "another sum": "echo 00000000000000000000000000000000",
    "silent": "exit 0",
    "too old": "echo 0 >&2; exit 1",
}


@pytest.mark.parametrize("text", LYING.values(), ids=list(LYING))
async def test_a_program_that_does_not_work_is_passed_over(
    local_hosts: Hosts, stubs: pathlib.Path, tmp_path: pathlib.Path, text: str
) -> None:
    """Without a good xxhsum, the checksum is SHA-256; without any good program, that is said."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    stub(stubs, "xxhsum", text)
    digits = hashlib.sha256(b"content").hexdigest()
    assert [each.text for each in await sums(local_hosts(), os.fsencode(file))] == [f"sha256:{digits}"]
    stub(stubs, "sha256sum", text)
    assert [each.text for each in await sums(local_hosts(), os.fsencode(file))] == [f"sha256:{digits}"]  # shasum
    stub(stubs, "shasum", text)
    with pytest.raises(NoProgramError, match="install the package xxhash"):
        await sums(local_hosts(), os.fsencode(file))


RUBBISH = {
    "words": "echo rubbish",
    "another length": "echo 1234",
    "capitals": "printf '%064d\\n' 0 | tr 0 A",
    "endless": "yes | tr -d '\\n'",
    "nothing": "exit 0",
    "lines": "yes",
}


@pytest.mark.parametrize("text", RUBBISH.values(), ids=list(RUBBISH))
async def test_rubbish_is_no_checksum(
    local_hosts: Hosts, stubs: pathlib.Path, tmp_path: pathlib.Path, text: str
) -> None:
    """A program that passes its test and then prints rubbish is an error that says what it printed."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    known = hashlib.sha256(b"abc").hexdigest()
    stub(stubs, "sha256sum", f'input=$(cat); if [ "$input" = abc ]; then echo {known}; else {text}; fi')
    with pytest.raises(PeerError, match="invalid answer"):
        await sums(local_hosts(), os.fsencode(file), algorithm="sha256")


async def test_a_lost_connection_ends_it(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path) -> None:
    """A host that is lost is an error, and computes nothing any more."""
    path = long_file(tmp_path)
    task = asyncio.create_task(sums(own_hosts(), path))
    await until(lambda: readers(path))
    sshd.stop()
    with pytest.raises(PeerError):
        await task
    await until(lambda: not readers(path))
