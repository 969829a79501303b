"""Programs are started and stopped through units with fixed names, over SSH and here."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import get_args

import pytest

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts import MachineHost
from ioc.hosts.units import Action
from tests.fake_manager import FakeManager
from tests.hosts.rig import Hosts

UNIT = "attpc-ecc-CoBo0"
DOMAIN = f"gui/{os.getuid()}"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    return FakeManager(tmp_path, monkeypatch)


def host(hosts: Hosts, units: str) -> MachineHost:
    return hosts(units={UNIT: units})


async def test_systemd_is_called_with_the_unit_and_nothing_else(hosts: Hosts, manager: FakeManager) -> None:
    """Restart, start and stop of the user's unit; a failed one may start again."""
    here = host(hosts, "systemd")
    await here.restart_unit(UNIT)
    await here.act("start", UNIT)
    await here.act("stop", UNIT)
    assert manager.calls == [
        f"--user reset-failed {UNIT}.service",
        f"--user restart {UNIT}.service",
        f"--user reset-failed {UNIT}.service",
        f"--user start {UNIT}.service",
        f"--user stop {UNIT}.service",
    ]


async def test_launchd_is_called_with_the_agent_and_nothing_else(hosts: Hosts, manager: FakeManager) -> None:
    """A loaded agent is restarted in place; one that is not is loaded first."""
    here = host(hosts, "launchd")
    await here.restart_unit(UNIT)
    assert manager.calls == [f"print {DOMAIN}/{UNIT}", f"kickstart -k {DOMAIN}/{UNIT}"]
    manager.does('[ "$1" != print ]')
    await here.act("start", UNIT)
    loaded = manager.calls[2:]
    assert loaded[0] == f"print {DOMAIN}/{UNIT}"
    assert loaded[1].startswith(f"bootstrap {DOMAIN} ")
    assert loaded[1].endswith(f"/Library/LaunchAgents/{UNIT}.plist")
    assert loaded[2] == f"kickstart {DOMAIN}/{UNIT}"


@pytest.mark.parametrize("units", ["systemd", "launchd"])
@pytest.mark.parametrize("action", ["restart", "start"])
async def test_a_failure_has_the_words_of_the_manager(
    hosts: Hosts, manager: FakeManager, units: str, action: Action
) -> None:
    """What it wrote, in one line."""
    manager.does("echo Unit not found. >&2; echo really; exit 5")
    with pytest.raises(PeerError, match=rf"cannot {action} {UNIT}: .*Unit not found. really"):
        await host(hosts, units).act(action, UNIT)


@pytest.mark.parametrize("units", ["systemd", "launchd"])
async def test_one_that_hangs_is_given_up(
    hosts: Hosts, manager: FakeManager, units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its time-out; the host can be asked again afterwards."""
    manager.does("exec sleep 60")
    here = host(hosts, units)
    began = time.monotonic()
    with monkeypatch.context() as hasty:
        hasty.setattr("ioc.hosts.units.SECONDS", 0.5)
        with pytest.raises(PeerTimeout, match=f"did not restart {UNIT} within 0.5 s"):
            await here.restart_unit(UNIT)
    assert time.monotonic() - began < 5
    manager.does("exit 0")
    await here.restart_unit(UNIT)


STATES = [
    ("systemd", ("LoadState=not-found", "ActiveState=inactive"), 0, "not installed"),
    (
        "systemd",
        ("LoadState=loaded", "ActiveState=active", "SubState=running", "MainPID=12", "NRestarts=3"),
        0,
        "active (running), process 12, started again 3 times",
    ),
    ("systemd", ("LoadState=loaded", "ActiveState=failed", "SubState=failed", "MainPID=0"), 0, "failed (failed)"),
    ("launchd", ("Could not find service",), 113, "not loaded"),
    ("launchd", ("gui/501/x = {", "\tstate = running", "\tpid = 77", "}"), 0, "running, process 77"),
    ("launchd", ("x = {", "\tstate = running", "\tevent = {", "\t\tstate = 1", "\t}", "}"), 0, "running"),
    ("launchd", ("x = {", "\tstate = not running", "}"), 0, "not running"),
]


@pytest.mark.parametrize("case", STATES, ids=lambda case: case[3])
async def test_the_state_in_a_few_words(
    local_hosts: Hosts, manager: FakeManager, case: tuple[str, tuple[str, ...], int, str]
) -> None:
    """From what the managers print."""
    units, said, code, state = case
    lines = "\n".join(said)
    manager.does(f"cat <<'SAID'\n{lines}\nSAID\nexit {code}")
    assert await host(local_hosts, units).act("status", UNIT) == state


async def test_no_user_systemd_is_a_failure_with_its_remedy(local_hosts: Hosts, manager: FakeManager) -> None:
    """As over SSH without linger."""
    manager.does("echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    with pytest.raises(PeerError, match=r"Failed to connect to bus.*enable-linger"):
        await host(local_hosts, "systemd").act("status", UNIT)


def test_actions_are_few() -> None:
    """Nothing else can be asked of a manager."""
    assert set(get_args(Action)) == {"start", "stop", "restart", "status"}
