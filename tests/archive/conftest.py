"""Fixtures of the tests of safe copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ioc.hosts import MachineHost
from ioc.rundb import SqliteRunStore
from tests.archive.copies_rig import Bench, Disk, ssh_program
from tests.archive.s3 import S3Server
from tests.hosts.rig import Hosts, site
from tests.sshd import SSHD, SshServer

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def store(database: Path) -> AsyncIterator[SqliteRunStore]:
    opened = await SqliteRunStore.open(database)
    yield opened
    await opened.close()


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """An SSH server that is both router's host and destination ``dest``."""
    directory = tmp_path_factory.mktemp("sshd")
    server = SshServer(directory)
    path = f"{ssh_program(directory, server)}:{os.environ['PATH']}"
    server.environment["PATH"] = path
    monkeypatch.setenv("PATH", path)
    with server:
        yield server


@pytest.fixture
def s3(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 server that rclone on this machine knows as ``s3:``."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # rclone 1.60 cannot work with it
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with server:
        yield server


@pytest.fixture(params=["ssh", "local"])
async def host(request: pytest.FixtureRequest, sshd: SshServer) -> AsyncIterator[MachineHost]:
    """The host of the routers data0 and data1, by SSH and this machine."""
    if request.param == "ssh" and SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    made = Hosts(sshd if request.param == "ssh" else None)
    yield made(site("data0"), site("data1"))
    await made.close()


@pytest.fixture
async def local_host() -> AsyncIterator[MachineHost]:
    """This machine, with the routers data0 and data1."""
    made = Hosts(None)
    yield made(site("data0"), site("data1"))
    await made.close()


@pytest.fixture
def bench(tmp_path: Path, store: SqliteRunStore, database: Path, host: MachineHost) -> Bench:
    """For hosts of either kind."""
    (tmp_path / "there").mkdir()
    return Bench(tmp_path, store, Disk(tmp_path / "disk", store, database, host.name), host)


@pytest.fixture
def local_bench(tmp_path: Path, store: SqliteRunStore, database: Path, local_host: MachineHost) -> Bench:
    """For this machine."""
    (tmp_path / "there").mkdir()
    return Bench(tmp_path, store, Disk(tmp_path / "disk", store, database, local_host.name), local_host)


needs_s3 = pytest.mark.skipif(
    shutil.which("rclone") is None or find_spec("moto") is None, reason="rclone or moto is not installed"
)
KINDS = [
    pytest.param("directory", marks=needs_rsync),
    pytest.param("ssh", marks=needs_rsync),
    pytest.param("rclone", marks=needs_rclone),
]
