"""``attpc-ioc up``, ``down`` and ``status``: which unit of which host is asked, over SSH and here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ioc.app.programs import act
from ioc.errors import Refused
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from ioc.sim.ports import free_port
from ioc.topology.schema import Topology
from tests.fake_manager import FakeManager
from tests.sshd import SshServer

COMMAND = Path(sys.executable).parent / "attpc-ioc"
STATUS = "[ \"$2\" != show ] || echo 'LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=7'"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    made = FakeManager(tmp_path, monkeypatch)
    made.does(STATUS)
    return made


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("programs-sshd")) as server:
        yield server


@pytest.fixture
def topology(tmp_path: Path, sshd: SshServer) -> Topology:
    """Two ECC servers and a router behind SSH, and a router that is started by other means."""
    host = {"host": "127.0.0.1"}
    own = {**host, "ssh": sshd.settings().model_dump()}
    return Topology.model_validate(
        {
            "experiment": "e1",
            "database": str(tmp_path / "runs.db"),
            "ssh": "local",
            "ecc_servers": [
                {"name": "C0", "role": "cobo", "units": "systemd", **own},
                {"name": "C1", "role": "cobo", "units": "systemd", "port": 8084, **own},
            ],
            "data_routers": [
                {"name": "r0", "units": "systemd", "work_dir": "/", **own},
                {"name": "by-hand", "port": 46006, **host},
            ],
            "data_sources": [
                {"id": "CoBo[0]", "ecc_server": "C0", "data_routers": ["r0"]},
                {"id": "CoBo[1]", "ecc_server": "C1", "data_routers": ["by-hand"]},
            ],
        }
    )


def asked(manager: FakeManager, action: str) -> list[str]:
    words = [call.split() for call in manager.calls]
    return [each[2].removesuffix(".service") for each in words if each[1] == action]


async def test_all_are_started_and_the_ioc_last(topology: Topology, manager: FakeManager) -> None:
    """Each unit once; what has no unit is left alone; the states are shown."""
    outcomes = await act(topology, "start", ())
    started = asked(manager, "start")
    assert sorted(started[:-1]) == ["attpc-ecc-C0", "attpc-ecc-C1", "attpc-router-r0"]
    assert started[-1] == "attpc-ioc"
    assert [each.name for each in outcomes] == ["r0", "C0", "C1", "ioc"]
    assert {each.text for each in outcomes} == {"active (running), process 7"}
    assert not any(each.failed for each in outcomes)


async def test_the_ioc_is_stopped_first(topology: Topology, manager: FakeManager) -> None:
    """It would report everything that ends."""
    await act(topology, "stop", ())
    assert asked(manager, "stop")[0] == "attpc-ioc"
    assert len(asked(manager, "stop")) == 4


async def test_only_what_is_named(topology: Topology, manager: FakeManager) -> None:
    """Names of servers, routers, and of the IOC."""
    await act(topology, "stop", ("C1",))
    await act(topology, "status", ("ioc",))
    assert asked(manager, "stop") == ["attpc-ecc-C1"]
    assert manager.calls[-1].split()[-1] == "attpc-ioc.service"


@pytest.mark.parametrize(
    ("name", "reason"), [("C7", "there is no C7"), ("by-hand", "by-hand has no units in the topology")]
)
async def test_what_cannot_be_meant_is_refused(
    topology: Topology, manager: FakeManager, name: str, reason: str
) -> None:
    """And nothing else that was named is done."""
    with pytest.raises(Refused, match=reason):
        await act(topology, "stop", ("C0", name))
    assert manager.calls == []


async def test_nothing_of_an_open_run_is_stopped(topology: Topology, manager: FakeManager) -> None:
    """But the IOC alone may be: its run goes on. Starting is always possible."""
    store = SqliteRunStore(Path(topology.database))
    await store.start()
    await store.reserve_run("e1", "", RunClass.Testing, "")
    await store.close()
    for names in ((), ("C0",), ("r0", "ioc")):
        with pytest.raises(Refused, match="is starting: stop it"):
            await act(topology, "stop", names)
    assert manager.calls == []
    await act(topology, "stop", ("ioc",))
    await act(topology, "start", ("C0",))
    assert asked(manager, "stop") == ["attpc-ioc"]


async def test_a_host_that_is_away_does_not_stop_the_others(topology: Topology, manager: FakeManager) -> None:
    """It is named as a failure, the others are done."""
    away = topology.ecc_servers[0]
    assert away.ssh is not None
    assert away.ssh != "local"
    away = away.model_copy(update={"ssh": away.ssh.model_copy(update={"port": free_port()})})
    servers = (away, *topology.ecc_servers[1:])
    outcomes = await act(topology.model_copy(update={"ecc_servers": servers}), "start", ())
    assert [each.name for each in outcomes if each.failed] == ["C0"]
    assert sorted(asked(manager, "start")) == ["attpc-ecc-C1", "attpc-ioc", "attpc-router-r0"]


def test_the_commands_exist_and_say_what_is_wrong(tmp_path: Path) -> None:
    """A wrong name is exit code 1 and one line; units are written where asked."""
    file = tmp_path / "topology.yaml"
    host = {"host": "127.0.0.1"}
    topology = {
        "experiment": "e1",
        "ssh": "local",
        "units": "systemd",
        "ecc_servers": [{"name": "C0", "role": "cobo", **host}],
        "data_routers": [{"name": "r0", "work_dir": "/data", **host}],
        "data_sources": [{"id": "CoBo[0]", "ecc_server": "C0", "data_routers": ["r0"]}],
    }
    file.write_text(yaml.safe_dump(topology))
    for command in ("up", "down", "status"):
        done = subprocess.run([COMMAND, command, "--topology", file, "C7"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == "error: there is no C7 in the topology, but it must be one of C0, ioc, r0\n"
    folder = tmp_path / "units"
    command = [COMMAND, "units", "--for", "launchd", "--topology", file, "--directory", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(path.name for path in (folder / "ioc").iterdir()) == [
        *("attpc-ioc.plist", "attpc-logs-ioc.plist", "attpc-rotate-logs-ioc.sh", "install.sh", "procserv.sh"),
    ]
    assert (folder / "127.0.0.1" / "attpc-ecc-C0.service").exists()
    assert (folder / "127.0.0.1" / "install.sh").stat().st_mode & 0o111
    assert f"files in {folder}: 127.0.0.1, ioc" in done.stdout


def site(file: Path, *names: str, host: str = "127.0.0.1", **changes: object) -> None:
    """Write a topology of these ECC servers and a router."""
    topology = {
        "experiment": "e1",
        "ssh": "local",
        "ecc_servers": [
            {"name": name, "role": "cobo", "host": host, "port": 8083 + number} for number, name in enumerate(names)
        ],
        "data_routers": [{"name": "r0", "work_dir": "/data", "host": host}],
        "data_sources": [
            {"id": f"CoBo[{number}]", "ecc_server": name, "data_routers": ["r0"]} for number, name in enumerate(names)
        ],
    }
    file.write_text(yaml.safe_dump({**topology, **changes}))


def test_units_of_earlier_names_go(tmp_path: Path) -> None:
    """A folder has what belongs to the topology, and the user's own files; one without programs removes the rest."""
    file, folder = tmp_path / "topology.yaml", tmp_path / "units"

    def write() -> str:
        command = [COMMAND, "units", "--for", "systemd", "--topology", file, "--directory", folder]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    site(file, "C0", "C1", units="systemd")
    write()
    machine = folder / "127.0.0.1"
    (machine / "attpc-notes.service").write_text("of the user")
    site(file, "C0", "D1", units="systemd")
    write()
    assert sorted(path.name for path in machine.iterdir()) == [
        *("attpc-ecc-C0.service", "attpc-ecc-D1.service", "attpc-notes.service", "attpc-router-r0.service"),
        "install.sh",
    ]
    site(file, "C0", host="localhost", units="systemd")
    said = write()
    assert sorted(path.name for path in machine.iterdir()) == ["attpc-notes.service", "install.sh"]
    assert "no longer has programs: 127.0.0.1; its install.sh removes their units there" in said


@pytest.mark.parametrize("command", ["up", "status"])
def test_what_has_no_units_is_named(tmp_path: Path, command: str) -> None:
    """Without the key `units`, only the IOC is started: the others are named, and the exit code is 1."""
    file = tmp_path / "topology.yaml"
    site(file, "C0")
    done = run(command, file)
    assert done.returncode == 1
    assert "error: left out, because the topology has no `units` for them: r0, C0" in done.stderr
    assert run(command, file, "ioc").stderr.count("left out") == 0
    written = run("units", file, "--directory", str(tmp_path / "units"))
    assert written.returncode == 0
    assert "warning: the topology has no `units` for r0, C0: `attpc-ioc up` and the PVs Restart" in written.stderr


def run(command: str, file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [COMMAND, command, "--topology", file, *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_documented_way_to_install_replaces_what_was_installed(tmp_path: Path) -> None:
    """The commands of the page, run twice with stand-ins for ssh and scp: the second time, the new units arrive."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "start-programs.md").read_text()
    [loop] = [block for block in page.split("```") if "for host in units/" in block]
    fakes, home = tmp_path / "fakes", tmp_path / "192.168.41.60"
    fakes.mkdir()
    home.mkdir()
    (fakes / "ssh").write_text(f'#!/bin/sh\ncd "{tmp_path}/${{1#*@}}" || exit\nshift\nexec sh -c "$*"\n')
    (fakes / "scp").write_text(f'#!/bin/sh\nto=${{3#*@}}\nexec cp "$1" "$2" "{tmp_path}/${{to%%:*}}/${{to#*:}}"\n')
    for fake in fakes.iterdir():
        fake.chmod(0o755)
    for folder in ("ioc", "192.168.41.60"):
        (tmp_path / "units" / folder).mkdir(parents=True)
        (tmp_path / "units" / folder / "install.sh").write_text('cat "$(dirname "$0")"/unit >>installed || true\n')
    for version in ("old", "new"):
        (tmp_path / "units" / "192.168.41.60" / "unit").write_text(f"{version}\n")
        environment = {**os.environ, "PATH": f"{fakes}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-c", loop.removeprefix("sh\n")], cwd=tmp_path, env=environment, check=True)
    assert (home / "installed").read_text() == "old\nnew\n"
