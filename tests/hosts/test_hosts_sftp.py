"""Files over SFTP where the server is not as it should be."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.hosts import MachineHost
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import reason_and_file
from ioc.model import ConfigChoice, RunId
from tests.hosts.rig import Hosts, Records, contents, ecc_server, put, site
from tests.sshd import SFTP_SERVERS, SSHD, SshServer

pytestmark = pytest.mark.skipif(SSHD is None, reason="the stand-in for OpenSSH has no such options")

RUN = RunId("e18008", 12)
EXTERNAL = next((path for path in SFTP_SERVERS if pathlib.Path(path).exists()), "/usr/lib/openssh/sftp-server")


@contextlib.asynccontextmanager
async def hosts_of(directory: pathlib.Path, **options: Any) -> AsyncIterator[tuple[Hosts, SshServer]]:
    """Make hosts of a server with options of its own."""
    with SshServer(directory, **options) as server:
        hosts = Hosts(server)
        try:
            yield hosts, server
        finally:
            await hosts.close()


def test_a_command_that_reads_nothing(sshd_directory: pathlib.Path):
    """A forced command that ends before it has read a long script is heard: its output says why."""
    with SshServer(sshd_directory, ForceCommand="echo This account is closed") as server:
        transport = SshTransport("127.0.0.1", server.settings(), timeout=20.0)
        try:
            said = transport.run("main() { :; }", [b"x" * 16_000_000], timeout=20.0)
        finally:
            transport.close()
    assert said == b"This account is closed\n"


@pytest.fixture
def sshd_directory() -> Iterator[pathlib.Path]:
    """A directory for a server, with a short name."""
    with tempfile.TemporaryDirectory() as directory:
        yield pathlib.Path(directory)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        # sshd runs an external sftp-server by the login shell, whose scripts run first
        (
            {"Subsystem": f"sftp echo Welcome to mini3; {EXTERNAL}"},
            "most likely a login script of the user prints text",
        ),
        ({"Subsystem": f"sftp printf 'x'; {EXTERNAL}"}, "a login script of the user prints text"),
        ({"Subsystem": "sftp exit 0"}, "its sshd must offer SFTP"),
        ({"Subsystem": "sftp /nonexistent/sftp-server"}, "its sshd must offer SFTP"),
        ({"Subsystem": "other /bin/true"}, "its sshd must offer SFTP"),
        ({"Subsystem": f"sftp {EXTERNAL} -R"}, "SFTP on .* is read-only: .* must run without -R"),
        ({"ForceCommand": "internal-sftp"}, "a login over SSH must run commands.*ForceCommand"),
        ({"ForceCommand": "echo This account is closed"}, "must run commands.*This account is closed"),
        ({"ForceCommand": "true"}, "must run commands"),
    ],
)
async def test_sftp_is_tried_before_a_run(
    sshd_directory: pathlib.Path, tmp_path: pathlib.Path, options: dict[str, str], problem: str
):
    """The look fails with what is to be done, each time with the same words, so that no run is taken."""
    async with hosts_of(sshd_directory, **options) as (hosts, _):
        host = hosts(site(work_dir=tmp_path))
        failures = []
        for _ in range(2):
            with pytest.raises(PeerError, match=problem) as failed:
                await host.router_facts(RUN.directory)
            failures.append(str(failed.value))
    assert failures[0] == failures[1]
    assert "127.0.0.1" in failures[0]


async def test_a_real_login_script_that_prints(sshd_directory: pathlib.Path, tmp_path: pathlib.Path):
    """With a real bash that reads a real .bashrc, the look says so; with the script mended, it works."""
    script = sshd_directory / "rc"
    script.write_text("echo Welcome\n")
    shell = f"bash --rcfile {script} -ic"
    async with hosts_of(sshd_directory, Subsystem=f"sftp {shell} {EXTERNAL} 2>/dev/null") as (hosts, _):
        host = hosts(site(work_dir=tmp_path))
        with pytest.raises(PeerError, match="login script"):
            await host.router_facts(RUN.directory)
        script.write_text("")
        assert (await host.router_facts(RUN.directory))["data0"].clean


@pytest.mark.parametrize("sessions", [1, 2])
async def test_few_sessions(sshd_directory: pathlib.Path, tmp_path: pathlib.Path, sessions: int):
    """Where sshd allows one session or two, three routers are filed and looked at, on one connection; only slower."""
    names = [f"data{i}" for i in range(3)]
    for name in names:
        (tmp_path / name).mkdir()
        put(tmp_path / name, {b"%d.graw" % i: b"1" for i in range(10)})
    async with hosts_of(sshd_directory, MaxSessions=sessions) as (hosts, server):
        host = hosts(*(site(name, i + 1, tmp_path / name) for i, name in enumerate(names)), filing_timeout=60.0)
        assert not (await host.router_facts(RUN.directory))["data0"].clean
        filings = [asyncio.ensure_future(host.file_run(name, RUN, Records())) for name in names]
        while not all(filing.done() for filing in filings):
            assert (await host.router_facts(RUN.directory))["data0"].work_dir
        reports = [filing.result() for filing in filings]
        assert [(report.problem, len(report.files)) for report in reports] == [("", 10)] * 3
        assert (await host.router_facts(RUN.directory))["data0"].clean
        assert server.logins() == 1


async def test_few_sessions_are_passed_on(sshd_directory: pathlib.Path, tmp_path: pathlib.Path):
    """Threads that share one session hand it on instead of beginning another for each file."""
    names = [f"data{i}" for i in range(4)]
    for name in names:
        (tmp_path / name).mkdir()
        put(tmp_path / name, {b"%d.graw" % i: b"1" for i in range(60)})
    async with hosts_of(sshd_directory, MaxSessions=2, LogLevel="VERBOSE") as (hosts, server):
        host = hosts(*(site(name, i + 1, tmp_path / name) for i, name in enumerate(names)), filing_timeout=100.0)
        await host.router_facts(RUN.directory)
        reports = await asyncio.gather(*(host.file_run(name, RUN, Records()) for name in names))
        assert all(report.complete for report in reports)
        begun = (server.directory / "sshd.log").read_text().count("Starting session: subsystem 'sftp'")
    assert 0 < begun < 60, "of 240 files"


async def test_no_session_at_all(sshd_directory: pathlib.Path, tmp_path: pathlib.Path):
    """Where sshd allows none, the message names the option."""
    async with hosts_of(sshd_directory, MaxSessions=0) as (hosts, _):
        with pytest.raises(PeerError, match=r"refuses another SSH session .MaxSessions in its sshd_config"):
            await hosts(site(work_dir=tmp_path), ssh_timeout=10.0).router_facts(RUN.directory)


async def test_a_server_that_drops_connections(sshd_directory: pathlib.Path, tmp_path: pathlib.Path):
    """A server that is too busy to take every connection (MaxStartups) is tried again until it does."""
    async with hosts_of(sshd_directory, MaxStartups="1:60:2") as (hosts, _):
        several = [hosts(site(work_dir=tmp_path)) for _ in range(6)]

        async def works(host: MachineHost) -> object:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(PeerError):
                    return await host.router_facts(RUN.directory)
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

        await asyncio.gather(*map(works, several))


async def test_sessions_that_nobody_uses_are_closed(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """Each SFTP session is a process on the host; one that nobody uses is ended by the next look."""
    monkeypatch.setattr("ioc.hosts.ssh.IDLE_SECONDS", 0.0)
    host = own_hosts(site(work_dir=tmp_path))
    await host.router_facts(RUN.directory)
    for _ in range(3):
        await host.file_run("data0", RUN, Records())
        assert sshd.sessions() > 0
        await host.router_facts(RUN.directory)
        deadline = time.monotonic() + 60
        while sshd.sessions():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_the_words_of_the_server(shared_sshd: SshServer, tmp_path: pathlib.Path):
    """What SFTP refuses without a number is told in the server's words, never as Python's ``[Errno None]``."""
    transport = SshTransport("127.0.0.1", shared_sshd.settings(), 10.0)
    (tmp_path / "a").mkdir()
    put(tmp_path, {b"file": b""})
    path = bytes(tmp_path)
    for refused in (
        lambda: transport.make_directory(path + b"/a"),
        lambda: transport.make_directory(path + b"/file/b"),
        lambda: transport.make_directory(b"/proc/x"),
        lambda: transport.remove(path + b"/a"),
        lambda: transport.write(path + b"/a", b""),
        lambda: transport.list_directory(path + b"/file"),
        lambda: transport.read_end(path + b"/a", 5),
    ):
        with pytest.raises(OSError, match=r".*") as error:
            await asyncio.to_thread(refused)
        text = reason_and_file(error.value)
        assert "Errno" not in text
        assert "None" not in text
        assert text.startswith((str(tmp_path), "/proc/x"))
        assert text.rpartition(": ")[2] in ("Failure", "No such file", "Not a directory")
    transport.close()


async def test_the_words_of_the_server_reach_the_report(hosts: Hosts, tmp_path: pathlib.Path):
    """A directory that the file system refuses is named in reports and errors, with a reason in words."""
    host = hosts(site(work_dir="/proc"), servers=(ecc_server("CoBo0", tmp_path, "/proc/backups"),))
    put(tmp_path, {b"describe-a.xcfg": b"", b"configure-a.xcfg": b""})
    report = await host.file_run("data0", RUN, Records())
    with pytest.raises(PeerError) as refused:
        await host.backup_configs("CoBo0", RUN, ConfigChoice("a", "a", "a"))
    for text, directory in ((report.problem, "/proc/e18008"), (str(refused.value), "/proc/backups")):
        assert directory in text
        assert "Errno" not in text
        assert "None" not in text
    assert not report.complete
    assert contents(tmp_path).keys() == {b"describe-a.xcfg", b"configure-a.xcfg"}
