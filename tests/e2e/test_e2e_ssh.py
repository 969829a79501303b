"""The same over real SSH: facts, filing, backups and logs, and what happens when sshd dies in a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.plant import ROUTERS, SERVERS, Plant
from tests.epics import Epics
from tests.sshd import SshServer


@pytest.fixture
def sshd(tmp_path: Path) -> SshServer:
    directory = tmp_path / "ssh"
    directory.mkdir()
    return SshServer(directory)


@pytest.fixture
async def remote(tmp_path: Path, epics: Epics, sshd: SshServer) -> AsyncIterator[Plant]:
    """A plant whose hosts are all reached through one SSH server, Ready."""
    with sshd:
        async with Plant(tmp_path, epics, ssh=sshd.settings().model_dump()) as plant:
            await plant.to_ready()
            yield plant


async def test_a_run_over_ssh_survives_the_death_of_sshd(remote: Plant, sshd: SshServer) -> None:
    """Files of a run whose SSH server died before Stop stay where they are, and are filed when it is back, unasked."""
    assert await remote.put("Run:Start"), await remote.text("Run:Message")
    await remote.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    sshd.stop()
    await remote.until("Router:rn:Online", "Offline")
    assert await remote.severity("Router:rn:FileCount") == "INVALID"
    assert await remote.get("Run:State") == "Running"
    assert not await remote.put("Run:Stop")
    assert [await remote.get(f"ECC:{name}:State") for name in SERVERS] == ["Ready"] * len(SERVERS)
    assert await remote.get("Run:State") == "Filing"
    message = await remote.text("Run:Message")
    assert all(f"router {name} is not filed" in message for name in ROUTERS)
    sshd.start()
    await remote.until("Router:rn:Online", "Online")
    await remote.until_closed()
    files = remote.query("SELECT path, bytes FROM files")
    assert {path.partition("/routers/")[2]: size for path, size in files} == remote.graw_files()
    assert all("/e99/run_0000/" in path for path, _ in files)


async def test_log_files_are_fetched_over_ssh(remote: Plant) -> None:
    """RefreshLog shows the end of the log file of a server and of a router."""
    assert await remote.put("ECC:North:RefreshLog")
    assert "Configure" in await remote.text("ECC:North:Log")
    assert await remote.put("Router:rn:RefreshLog")
    assert await remote.text("Router:rn:Log")
