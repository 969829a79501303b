"""Safe copies when something is killed, full, hangs or answers rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ioc.archive import errand
from ioc.model import ArchiveState
from tests.archive.conftest import needs_rsync
from tests.archive.copies_rig import Bench
from tests.epics import eventually
from tests.sshd import SshServer


def programs(text: str) -> list[psutil.Process]:
    """The processes whose arguments contain a text."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and any(text in word for word in process.cmdline()):
                found.append(process)
    return found


@needs_rsync
async def test_killed_at_any_step(local_bench: Bench) -> None:
    """After each kill -9, what is called as a data file is whole, what is verified is there, and the next goes on."""
    bench = local_bench
    run = await bench.disk.run()
    content = {b"%d.graw" % number: os.urandom(400_000) for number in range(2)}
    for name, data in content.items():
        await bench.disk.file(run, data, name)
    await bench.store.close()
    kills, whole = 0, dict[bytes, bytes]()
    for step in range(1, 30):
        command = (sys.executable, "-m", "tests.archive.copying", str(bench.disk.database))
        process = await asyncio.create_subprocess_exec(*command, str(bench.tmp_path / "there"), str(step))
        code = await process.wait()
        await eventually(lambda: not programs(str(bench.tmp_path)))
        whole = {path.rpartition(b"/")[2]: data for path, data in bench.there().items() if path.endswith(b".graw")}
        assert whole.items() <= content.items()
        verified = bench.disk.sql(
            "SELECT files.path FROM file_copies JOIN files ON id = file_id WHERE state = 'verified'"
        )
        assert {path.rpartition("/")[2].encode() for (path,) in verified} <= whole.keys()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    assert whole == content
    assert not [path for path in bench.there() if not path.endswith(b".graw")]


@needs_rsync
async def test_a_killed_rsync(bench: Bench) -> None:
    """The copy fails, is tried again, goes on from what is there, and is verified."""
    run = await bench.disk.run()
    await bench.disk.file(run, os.urandom(3_000_000))
    async with bench.at_work(bench.destination("directory", bandwidth_mbps=8)) as working:
        await working.until(lambda: working.copies.status("safe").rate > 0)
        for process in programs(str(bench.tmp_path)):
            with contextlib.suppress(psutil.Error):
                if process.name() == "rsync":
                    process.kill()
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Failed)
        assert "rsync" in working.copies.status("safe").message or "status" in working.copies.status("safe").message
        await working.until(lambda: bench.disk.copies() == [("verified", "")])


@pytest.fixture
def small_disk(local_bench: Bench) -> Iterator[Path]:
    """A disk of 1 MB, mounted where the copies go."""
    place = local_bench.tmp_path / "there"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user cannot mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@needs_rsync
async def test_a_full_destination(local_bench: Bench, small_disk: Path) -> None:
    """It fails with the reason, other destinations are served, and it is completed when there is space."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, os.urandom(2_000_000))
    (local_bench.tmp_path / "other").mkdir()
    other = local_bench.destination("directory", "other", there=local_bench.tmp_path / "other")
    async with local_bench.at_work(local_bench.destination("directory"), other) as working:
        await working.until(lambda: "No space left" in working.copies.status("safe").message)
        await working.until(lambda: ("verified", "") in local_bench.disk.copies())
        assert not list(small_disk.rglob("*.graw"))
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")] * 2)


def instead_of_ssh(bench: Bench, sshd: SshServer, script: str) -> None:
    """Let the program ``ssh`` of the router's host be another one."""
    program = Path(sshd.environment["PATH"].partition(":")[0]) / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Permission denied (publickey).' >&2; exit 255", "Permission denied (publickey)."),
        ("cat >/dev/null; echo rubbish", "rubbish"),
        ("cat >/dev/null; echo ready; echo more", "ready"),
        ("head -c 100000000 /dev/urandom", ""),
    ],
)
@needs_rsync
async def test_a_destination_that_refuses_or_answers_rubbish(
    bench: Bench, sshd: SshServer, script: str, reason: str
) -> None:
    """It is Failed with what it said; a file is never called verified."""
    instead_of_ssh(bench, sshd, script)
    run = await bench.disk.run()
    await bench.disk.file(run, b"abc")
    async with bench.at_work(bench.destination("ssh")) as working:
        await working.until(lambda: working.copies.status("safe").state is ArchiveState.Failed)
        assert reason in working.copies.status("safe").message
    assert [state for state, _ in bench.disk.copies()] == ["failed"]


@needs_rsync
async def test_a_destination_that_hangs(bench: Bench, sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program is ended with its children after a while; the next destination is served."""
    monkeypatch.setattr(errand, "SILENT_SECONDS", 1.0)
    instead_of_ssh(bench, sshd, f"sh -c 'sleep 1000; echo' {bench.tmp_path}")
    (bench.tmp_path / "other").mkdir()
    run = await bench.disk.run()
    await bench.disk.file(run, b"abc")
    other = bench.destination("directory", "other", there=bench.tmp_path / "other")
    async with bench.at_work(bench.destination("ssh"), other, pauses=(5.0, 5.0)) as working:
        await working.until(lambda: "no progress for 1 s" in working.copies.status("safe").message)
        await working.until(lambda: ("verified", "") in bench.disk.copies())
    await eventually(lambda: not programs(str(bench.tmp_path)))


@needs_rsync
async def test_without_a_program_for_checksums_there_the_copy_is_read_back(
    bench: Bench, sshd: SshServer, tmp_path: Path
) -> None:
    """A copy is compared all the same, and a wrong one found."""
    programs_there = tmp_path / "few"
    programs_there.mkdir()
    for name in ("sh", "mkdir", "mv", "cat", "stat", "sync", "uname", "rsync", "nice"):
        (programs_there / name).symlink_to(shutil.which(name) or "/nowhere")
    script = (
        f"cd /; for last; do :; done; few='PATH={programs_there}'\n"
        "case $last in *'/bin/sh -s') sed \"s|^PATH=.*|$few|\" | /bin/sh -s ;;"
        f' *) exec /usr/bin/ssh -F {sshd.directory}/ssh_config "$@" ;; esac'
    )
    instead_of_ssh(bench, sshd, script)
    run = await bench.disk.run()
    await bench.disk.file(run, b"abc")
    await bench.disk.file(run, b"changed since", b"bad.graw", checksum="sha256:" + "1" * 64)
    async with bench.at_work(bench.destination("ssh")) as working:
        await working.until(lambda: sorted(state for state, _ in bench.disk.copies()) == ["failed", "verified"])
    assert "but must be sha256:1111" in bench.disk.copies()[1][1]
