"""``attpc-ioc check --live`` on real hosts (OpenSSH), simulated servers and routers, and peers that hang."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ioc.app.live_report import Doubt, Judge
from ioc.errors import PeerError
from ioc.sim import ConfigNames, ObservablePlan, RouterPlan, ServerPlan, Site, SitePlan
from ioc.sim.ports import free_port
from tests.e2e.plant import Plant
from tests.epics import Epics
from tests.sshd import SshServer

COMMAND = Path(sys.executable).parent / "attpc-ioc"
HOSTS = 12
SECONDS = 10.0
"""The whole may take this long, whatever hangs."""


@dataclass
class Result:
    code: int
    text: str
    errors: list[str]
    seconds: float

    def row(self, what: str, machine: str = "") -> str:
        """The line of one check in the table of a machine, which begins with its address."""
        part = self.text.partition(f"\n{machine}\n")[2] if machine else self.text
        found = [line.strip() for line in part.splitlines() if f"  {what}  " in line]
        assert found, (what, self.text)
        return " ".join(found[0].split())


class Hosts:
    """Hosts at 127.0.1.1 and so on, each with an ECC server and a router; one sshd stands for all of them."""

    def __init__(self, directory: Path, epics: Epics, sshd: SshServer, site: Site) -> None:
        self.directory, self.epics, self.sshd, self.site = directory, epics, sshd, site
        self.topology: dict[str, Any] = {
            "prefix": "LV:",
            "experiment": "e99",
            "database": str(directory / "runs.db"),
            "ecc_servers": [self._server(number) for number in range(HOSTS)],
            "data_routers": [self._router(number) for number in range(HOSTS)],
            "data_sources": [
                {"id": f"CoBo[{number}]", "ecc_server": f"C{number}", "data_routers": [f"r{number}"]}
                for number in range(HOSTS)
            ],
            "ssh": sshd.settings().model_dump(),
            "runs": {"min_disk_free_gb": 0.01},
            "observables": [{"name": "pressure", "pv": "SIM:gas:pressure", "units": "Torr"}],
        }

    def _server(self, number: int) -> dict[str, Any]:
        return {
            "name": f"C{number}",
            "role": "cobo",
            "host": address(number),
            "port": self.site.addresses.servers[f"C{number}"].port,
            "config": {"describe": "plain", "prepare": "p1", "configure": "p1"},
            "config_root": self.site.addresses.config_root,
            "config_backup_root": str(self.directory / "backups"),
        }

    def _router(self, number: int) -> dict[str, Any]:
        return {"name": f"r{number}", "host": address(number), "port": self.site.addresses.routers[f"r{number}"].port}

    def check(self) -> Result:
        """Run the installed command."""
        file = self.directory / "topology.yaml"
        file.write_text(yaml.safe_dump(self.topology, sort_keys=False))
        environment = {
            **self.epics.environment(),
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{self.site.addresses.ca_port}",
            "EPICS_PVAS_SERVER_PORT": str(free_port()),
        }
        return run_check(file, environment)


def address(number: int) -> str:
    return f"127.0.1.{number + 1}"


def run_check(file: Path, environment: dict[str, str]) -> Result:
    began = time.monotonic()
    done = subprocess.run(
        [COMMAND, "check", "--live", "--topology", file],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Result(done.returncode, done.stdout, done.stderr.splitlines(), time.monotonic() - began)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """One server on all addresses of this machine."""
    server = SshServer(tmp_path_factory.mktemp("live-sshd"))
    server.address = "0.0.0.0"
    key = Path(f"{server.host_key}.pub").read_text().strip()
    server.known_hosts.write_text(f"[127.0.1.*]:{server.port} {key}\n")
    with server:
        yield server


@pytest.fixture
async def hosts(tmp_path: Path, epics: Epics, sshd: SshServer) -> AsyncIterator[Hosts]:
    """Twelve hosts of which all is well."""
    plan = SitePlan(
        directory=str(tmp_path / "site"),
        servers=tuple(
            ServerPlan(f"C{number}", (f"CoBo[{number}]",), asads=1, host=address(number)) for number in range(HOSTS)
        ),
        routers=tuple(RouterPlan(f"r{number}", host=address(number)) for number in range(HOSTS)),
        observables=(ObservablePlan("SIM:gas:pressure", "float", "Torr", 100, 900),),
        configs=ConfigNames(describe=("plain",), prepare=("p1",), configure=("p1",)),
    )
    async with Site(plan) as site:
        yield Hosts(tmp_path, epics, sshd, site)


def tree(directory: Path) -> list[str]:
    """Every name below a directory, without the log of the simulator."""
    return sorted(str(path) for path in directory.rglob("*") if not path.name.endswith(".log"))


async def test_a_good_installation_passes_and_is_not_changed(hosts: Hosts) -> None:
    """Twelve hosts of which all is well: exit code 0, every check is "ok", and no file or state is another one."""
    (hosts.directory / "topology.yaml").touch()
    before = tree(hosts.directory), await hosts.site.control({"do": "status"})
    result = hosts.check()
    assert (result.code, result.errors) == (0, []), result.text
    assert result.seconds < SECONDS
    assert "0 failed, 0 with a warning" in result.text
    for what, text in {
        "database": "will create",
        "Channel Access": "free",
        "PVAccess": "free",
        "observables": "all 1 PVs answer",
    }.items():
        assert text in result.row(what), result.text
    for number in range(HOSTS):
        for what in ("SSH", "SFTP", "clock", f"disk of r{number}", f"directory of r{number}", f"backups of C{number}"):
            assert result.row(what, address(number)).startswith("ok ")
        assert "plain/p1/p1 among them" in result.row(f"ECC server C{number}", address(number))
        assert "describe-plain.xcfg" in result.row(f"files of C{number}", address(number))
        assert "works in " in result.row(f"router r{number}", address(number))
    after = tree(hosts.directory), await hosts.site.control({"do": "status"})
    assert after == before


@pytest.fixture
def hanging() -> Iterator[int]:
    """A port of every address that accepts connections and never says a word."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("0.0.0.0", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server that lets everybody in and then does nothing."""
    server = SshServer(tmp_path_factory.mktemp("slow-sshd"), ForceCommand="sleep 60")
    server.address = "0.0.0.0"
    key = Path(f"{server.host_key}.pub").read_text().strip()
    server.known_hosts.write_text(f"[127.0.1.*]:{server.port} {key}\n")
    with server:
        yield server


async def test_hosts_that_hang_are_named_and_delay_nobody(hosts: Hosts, hanging: int, slow: SshServer) -> None:
    """sshd, its shell, ECC server hang or are dead on half of the hosts: each is a failure, within ten seconds."""
    servers, routers = hosts.topology["ecc_servers"], hosts.topology["data_routers"]
    dead = free_port()
    for number, change in enumerate(({"port": hanging}, {"port": dead}, slow.settings().model_dump())):
        servers[number]["ssh"], routers[number]["ssh"] = dict(change), dict(change)
    for number, port in ((0, hanging), (3, hanging), (4, dead)):
        servers[number]["port"] = port
    routers[5]["port"] = dead
    hosts.topology["timeouts"] = {"ssh": 60, "state": 60}
    result = hosts.check()
    assert result.code == 1
    assert result.seconds < SECONDS, result.text
    for number, what in ((0, "SSH"), (1, "SSH"), (2, "SSH"), *((n, f"ECC server C{n}") for n in (0, 3, 4))):
        assert result.row(what, address(number)).startswith("FAILED"), result.text
    assert "no dataRouter of router r5 runs" in result.row("router r5", address(5))
    assert result.row("SSH", address(6)).startswith("ok")
    assert len([line for line in result.errors if line.startswith("error:")]) == 7, result.errors


@pytest.fixture
async def late(sshd: SshServer) -> AsyncIterator[int]:
    """A port of every address that leads to the SSH server after 4.5 s, as if that asked DNS for our name."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(4.5)
        there = await asyncio.open_connection("127.0.0.1", sshd.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(serve, "0.0.0.0", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_slow_login_is_good_everywhere(hosts: Hosts, late: int, tmp_path: Path) -> None:
    """Twelve hosts let us in after 4.5 s: all that follows is checked too, their clocks agree, within ten seconds."""
    known = tmp_path / "known_hosts"
    key = Path(f"{hosts.sshd.host_key}.pub").read_text().strip()
    known.write_text(f"[127.0.1.*]:{late} {key}\n")
    hosts.topology["ssh"] |= {"port": late, "known_hosts": str(known)}
    result = await asyncio.to_thread(hosts.check)
    assert (result.code, result.errors) == (0, []), result.text
    assert "0 failed, 0 with a warning" in result.text
    assert result.seconds < SECONDS


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown host key": ({"ssh": {"known_hosts": "/dev/null"}}, "SSH", "is not in /dev/null"),
    "a key that is refused": ({"ssh": {"key": "OTHER"}}, "SSH", "refuses the SSH login"),
    "no configuration file": ({"server": {"config_root": "NOWHERE"}}, "files of C0", "does not exist"),
    "a folder that is a file": ({"server": {"config_backup_root": "FILE"}}, "backups of C0", "must be a directory"),
    "too little disk": ({"runs": {"min_disk_free_gb": 900000}}, "disk of r0", "but a run needs 900000 GB"),
    "no source": (
        {"observables": [{"name": "b", "pv": "NOBODY:has"}]},
        "observables",
        "1 of 1 PVs do not answer: NOBODY:has (b)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_named(hosts: Hosts, fault: str) -> None:
    """One thing is wrong: exit code 1, and the check that it belongs to says what."""
    changes, what, text = FAULTS[fault]
    (hosts.directory / "file").touch()
    at = hosts.directory
    paths = {"NOWHERE": str(at / "nowhere"), "FILE": str(at / "file"), "OTHER": str(hosts.sshd.host_key)}
    topology = hosts.topology
    for key in ("ecc_servers", "data_routers", "data_sources"):
        topology[key] = topology[key][:1]
    for key, change in changes.items():
        if isinstance(change, dict):
            known = {name: paths.get(str(value), value) for name, value in change.items()}
            (topology["ecc_servers"][0] if key == "server" else topology[key]).update(known)
        else:
            topology[key] = change
    result = hosts.check()
    assert result.code == 1
    assert result.row(what).startswith("FAILED")
    assert text in result.row(what)
    assert len([line for line in result.errors if line.startswith("error:")]) == 1, result.errors


def test_a_database_that_cannot_be_written_is_a_failure(tmp_path: Path, epics: Epics) -> None:
    """Another program holds the database: said within the time-out, and the rest is checked all the same."""
    file = small(tmp_path)
    with sqlite3.connect(tmp_path / "runs.db", isolation_level=None) as other:
        other.execute("CREATE TABLE t (x)")
        result = run_check(file, epics.environment())
        assert "is the database of another program" in result.row("database")
    other.close()
    assert result.row("SSH").startswith("ok")


def small(directory: Path) -> Path:
    """An installation of one host, of which nothing runs."""
    file = directory / "small.yaml"
    host = {"host": "127.0.0.1", "port": free_port()}
    topology = {
        "experiment": "e1",
        "ssh": "local",
        "ecc_servers": [{"name": "C0", "role": "cobo", **host}],
        "data_routers": [{"name": "r0", **host, "port": free_port()}],
        "data_sources": [{"id": "CoBo[0]", "ecc_server": "C0", "data_routers": ["r0"]}],
    }
    file.write_text(yaml.safe_dump(topology))
    return file


async def test_an_ioc_that_takes_data_is_not_disturbed(tmp_path: Path, epics: Epics) -> None:
    """In a run: the check says kindly who has ports and database, and run, file and servers go on as before."""
    async with Plant(tmp_path, epics) as plant:
        await plant.to_ready()
        assert await plant.put("Run:Start")
        await plant.until("Run:State", "Running")
        environment = {
            **epics.environment(),
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{plant.site.addresses.ca_port}",
        }
        result = await asyncio.to_thread(run_check, plant.file, environment)
        assert await plant.get("Run:State") == "Running"
        assert await plant.get("Run:Message.SEVR") == "NO_ALARM"
        for what in ("database", "Channel Access", "PVAccess"):
            assert f"in use by the running attpc-ioc (process {plant.pid})" in result.row(what), result.text
        failed = [line for line in result.errors if line.startswith("error:")]
        assert (result.code, failed) == (0, []), result.text
        assert await plant.put("Run:Stop")
        assert "complete" in await plant.text("Run:Message")
        assert await plant.get("IOC:DatabaseMessage", "-S") == ""


@pytest.mark.parametrize("error", [PeerError, Doubt])
async def test_a_finding_does_not_repeat_its_name(error: type[Exception]) -> None:
    """The table has the name of each server and router beside the sentence, which often begins with it."""

    async def check() -> str:
        raise error("ECC server C2 at 10.0.0.2:8083 is away")

    judge = Judge()
    assert [(await judge.ask(what, check(), str))[0].text for what in ("ECC server C2", "ECC server C")] == [
        "at 10.0.0.2:8083 is away",
        "ECC server C2 at 10.0.0.2:8083 is away",
    ]
