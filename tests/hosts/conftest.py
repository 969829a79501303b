"""Fixtures for the tests of hosts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
from collections.abc import AsyncIterator, Iterator

import paramiko
import pytest

from tests.hosts.rig import DataRouters, Hosts
from tests.sshd import SshServer


def threads_of_hosts() -> list[threading.Thread]:
    """Return the threads that hosts and their connections own."""
    return [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, paramiko.Transport) or thread.name.startswith(("look-", "host-", "close-", "aside-"))
    ]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    yield
    deadline = time.monotonic() + 30
    while left := threads_of_hosts():
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server that no test harms."""
    with SshServer(tmp_path_factory.mktemp("shared-sshd")) as server:
        yield server


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server for one test, which may harm it."""
    with SshServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
async def own_hosts(sshd: SshServer) -> AsyncIterator[Hosts]:
    """Makes hosts reached by the SSH server of this test."""
    hosts = Hosts(sshd)
    yield hosts
    await hosts.close()


@pytest.fixture(params=["ssh", "local"])
async def hosts(request: pytest.FixtureRequest) -> AsyncIterator[Hosts]:
    """Makes hosts of either kind: what is tested with this holds for both."""
    made = Hosts(request.getfixturevalue("shared_sshd") if request.param == "ssh" else None)
    yield made
    await made.close()


@pytest.fixture
def data_routers(tmp_path: pathlib.Path) -> Iterator[DataRouters]:
    """Starts dataRouter processes."""
    routers = DataRouters(tmp_path)
    yield routers
    routers.stop()


@pytest.fixture
async def local_hosts() -> AsyncIterator[Hosts]:
    """Makes hosts on this machine."""
    hosts = Hosts(None)
    yield hosts
    await hosts.close()


@pytest.fixture
def other_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory on another file system than `tmp_path`, if this machine has one that can be written."""
    for place in ("/dev/shm", "/run", "/var/tmp", str(pathlib.Path.home())):
        directory = pathlib.Path(place) / f"attpc-ioc-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            directory.mkdir()
            if directory.stat().st_dev != tmp_path.stat().st_dev:
                break
            directory.rmdir()
    else:
        pytest.fail("there is no second file system to test with")
    yield directory
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()
