"""A laboratory of several hosts: on each sshd, an ECC server and a dataRouter; on one more the installed IOC."""

from __future__ import annotations

import contextlib
import getpass
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

from ioc.sim import ConfigNames, RouterPlan, ServerPlan, SiteAddresses, SitePlan
from tests.e2e.plant import COMMAND
from tests.epics import BINARIES
from tests.lab.network import Host, Network, environment
from tests.sshd import SSHD, SshServer, openssh

PREFIX = "L4:"
NET = "10.77.0"
IOC_ADDRESS = f"{NET}.1"
_FIRST_SITE = 11
_LOCALLY = {"EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO"}


class Machine:
    """A host of the detector: sshd, the ECC server that has the host's name, and its router, called rNAME."""

    def __init__(self, host: Host, number: int, directory: Path) -> None:
        self.host = host
        self.name = host.name
        self.router = f"r{host.name}"
        self.source = f"CoBo[{number}]"
        self.directory = directory
        directory.mkdir()
        self.sshd = SshServer(directory)
        self.sshd.address, self.sshd.port = host.address, 22
        self.sshd.trust()
        self._log = directory / "sshd.log"
        self._simulator: subprocess.Popen[str] | None = None
        self._sshd: subprocess.Popen[str]
        self.addresses: SiteAddresses

    def start(self) -> None:
        """Start all of it; `ready` waits until it is."""
        plan = SitePlan(
            directory=str(self.directory / "site"),
            servers=(ServerPlan(self.name, (self.source,), asads=1, host=self.host.address),),
            routers=(RouterPlan(self.router, host=self.host.address),),
            configs=ConfigNames(describe=("plain",), prepare=("p1",), configure=("c1", "p1")),
            speed=20.0,
        )
        self.start_sshd()
        with (self.directory / "simulator.log").open("ab") as log:
            self._simulator = self.host.start(
                *(sys.executable, "-m", "ioc.sim"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self._simulator.stdin is not None
        self._simulator.stdin.write(plan.to_json() + "\n")
        self._simulator.stdin.flush()

    def start_sshd(self) -> None:
        assert SSHD is not None
        with self._log.open("wb") as log:
            self._sshd = self.host.start(*openssh(self.sshd, SSHD), stdout=log, stderr=log)

    def signal_sshd(self, number: int) -> None:
        """Send a signal to sshd and all its sessions."""
        nsenter = psutil.Process(self._sshd.pid)
        for process in (*nsenter.children(recursive=True), nsenter):
            process.send_signal(number)

    def ready(self) -> None:
        assert self._simulator is not None
        assert self._simulator.stdout is not None
        self.addresses = SiteAddresses.from_json(self._simulator.stdout.readline())
        wait_for(lambda: "Server listening" in self._log.read_text(), 60, f"sshd of {self.name} does not listen")

    def control(self, **command: Any) -> dict[str, Any]:
        """Give the simulator a command, from its own host: also when that is cut off."""
        port = str(self.addresses.control_port)
        done = self.host.run(sys.executable, "-m", "ioc.sim.control", port, json.dumps(command))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def state(self) -> str:
        """State of the ECC server as it is, whatever the IOC knows."""
        number = self.control(do="status")["ecc"][self.name]["state"]
        return {4: "Ready", 5: "Running", 6: "Paused"}.get(number, str(number))

    def files(self) -> dict[str, int]:
        """Every .graw file of the router, with its size."""
        root = self.directory / "site" / "routers"
        return {str(path): path.stat().st_size for path in root.rglob("*.graw")}


class Lab:
    """Context manager: inside it the whole laboratory runs, and nothing of it before or after."""

    def __init__(
        self,
        directory: Path,
        *names: str,
        address: str = IOC_ADDRESS,
        variables: dict[str, str] | None = None,
        **topology: Any,
    ) -> None:
        self.directory = directory
        self.database = directory / "runs.db"
        self.log = directory / "ioc.log"
        self._names = names or ("North", "South")
        self._address = address
        self._variables = variables or {}
        self._changes = topology
        self._stack = contextlib.ExitStack()
        self._ioc: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self._stack:
            self.network = self._stack.enter_context(Network())
            self.host = self.network.host("ioc", self._address)
            self.desk = self.network.host("desk", f"{NET}.200")
            self.machines = [
                Machine(self.network.host(name, f"{NET}.{_FIRST_SITE + number}"), number, self.directory / name)
                for number, name in enumerate(self._names)
            ]
            for machine in self.machines:
                if machine is not self.machines[0]:
                    machine.sshd.let_in(self.machines[0].sshd)
                machine.start()
            for machine in self.machines:
                machine.ready()
            self.start(wait=bool(self._address))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def topology(self) -> dict[str, Any]:
        """The topology as YAML has it."""
        known_hosts = self.directory / "known_hosts"
        known_hosts.write_text("".join(machine.sshd.known_hosts.read_text() for machine in self.machines))
        ssh = {
            "username": getpass.getuser(),
            "key": str(self.machines[0].sshd.client_key),
            "known_hosts": str(known_hosts),
            "config": None,
        }
        servers, routers, sources = [], [], []
        for machine in self.machines:
            at, host = machine.addresses, machine.host.address
            server, router = at.servers[machine.name], at.routers[machine.router]
            paths = {"config_root": at.config_root, "config_backup_root": str(machine.directory / "backups")}
            config = {"describe": "plain", "prepare": "p1", "configure": "c1"}
            common = {"name": machine.name, "role": "cobo", "host": host, "port": server.port}
            servers.append(common | {"config": config, "log_path": server.log_path} | paths)
            routers.append({"name": machine.router, "host": host, "port": router.port, "log_path": router.log_path})
            sources.append({"id": machine.source, "ecc_server": machine.name, "data_routers": [machine.router]})
        return {
            "prefix": PREFIX,
            "experiment": "e99",
            "database": str(self.database),
            "ssh": ssh,
            "ecc_servers": servers,
            "data_routers": routers,
            "data_sources": sources,
            "polling": {"ecc": 0.3, "ecc_busy": 0.1, "routers": 0.5},
            "timeouts": {"state": 3, "transition": 8, "ssh": 6, "filing": 20},
            "runs": {"settle_seconds": 0.5, "min_disk_free_gb": 0.01},
            "access": [{"pvs": "*", "hosts": ["127.0.0.1", f"{NET}.0/24"], "write": True}],
            **self._changes,
        }

    def start(self, *, wait: bool = True) -> None:
        """Start the installed command and wait until it has a state."""
        file = self.directory / "lab.yaml"
        file.write_text(yaml.safe_dump(self.topology(), sort_keys=False))
        with self.log.open("ab") as log:
            command = (COMMAND, "run", "--topology", file)
            self._ioc = self.host.start(*command, stdout=log, stderr=log, env=environment(**self._variables))
        self.until("State", lambda state: state not in {"", "Unknown"}, 60) if wait else self.until("IOC:PVs", bool, 60)

    def stop(self) -> int:
        """End the IOC as its supervisor does; returns its exit code."""
        assert self._ioc is not None
        for process in psutil.Process(self._ioc.pid).children():
            process.send_signal(signal.SIGTERM)
        return self._ioc.wait(60)

    def get(self, pv: str, *options: str) -> str:
        """A PV's value as text, read on the host of the IOC, which no cable separates; empty if it is not served."""
        return self._caget(self.host, pv, *options, **_LOCALLY)

    def monitor(self, pv: str, *, host: Host | None = None) -> Path:
        """Let camonitor run on a host; what it prints is in a file."""
        printed = self.directory / f"monitor-{(host or self.host).name}-{pv.replace(':', '-')}"
        local = {} if host else _LOCALLY
        with printed.open("wb") as output:
            camonitor = (BINARIES / "camonitor", PREFIX + pv)
            (host or self.host).start(*camonitor, stdout=output, stderr=output, env=environment(**local))
        return printed

    def get_from_desk(self, pv: str, *options: str, **extra: str) -> str:
        """The same, over the network and found by broadcast."""
        return self._caget(self.desk, pv, *options, **extra)

    def _caget(self, host: Host, pv: str, *options: str, **extra: str) -> str:
        done = host.run(BINARIES / "caget", "-t", *options, PREFIX + pv, env=environment(**extra))
        return done.stdout.strip() if done.returncode == 0 else ""

    def text(self, pv: str) -> str:
        return self.get(pv, "-S")

    def severity(self, pv: str) -> str:
        return self.get(f"{pv}.SEVR")

    def put_later(self, pv: str, value: str = "1", *, host: Host | None = None) -> subprocess.Popen[str]:
        """Begin a put with callback."""
        pipe = subprocess.PIPE
        command = (BINARIES / "caput", "-c", "-w", "60", PREFIX + pv, value)
        local = {} if host else _LOCALLY
        return (host or self.host).start(*command, env=environment(**local), stdout=pipe, stderr=subprocess.STDOUT)

    def put(self, pv: str, value: str = "1", *, host: Host | None = None) -> bool:
        """Put with callback; returns whether it succeeded."""
        return succeeded(self.put_later(pv, value, host=host))

    def until(self, pv: str, wanted: str | Callable[[str], object], timeout: float = 60) -> str:
        """Wait until a PV's value is this or fulfils a condition; returns it."""
        values: list[str] = []

        def reached() -> bool:
            values[:] = [self.get(pv)]
            return bool(wanted(values[0]) if callable(wanted) else values[0] == wanted)

        with contextlib.suppress(AssertionError):
            wait_for(reached, timeout, "")
            return values[0]
        raise AssertionError(f"{PREFIX}{pv} is {values} after {timeout} s\n{self.log.read_text()[-4000:]}")

    def to_ready(self) -> None:
        """Take all servers from Idle to Ready."""
        for step in ("Describe", "Prepare", "Configure"):
            assert self.put(step), self.text("Message")
        self.until("Run:CanStart", "Yes")

    def run_with_data(self) -> None:
        """Start a run and wait until every router has written."""
        assert self.put("Run:Start"), self.text("Run:Message")
        for machine in self.machines:
            self.until(f"Router:{machine.router}:FileCount", lambda count: int(count or 0) >= 1)

    def query(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Ask the run database as a physicist would, while the IOC writes."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute(sql, arguments).fetchall()

    def filed(self) -> dict[str, int]:
        """The files of all runs that the database knows, by their paths."""
        return dict(self.query("SELECT path, bytes FROM files"))

    def files(self) -> dict[str, int]:
        """The files that there are."""
        return {path: size for machine in self.machines for path, size in machine.files().items()}


def succeeded(put: subprocess.Popen[str]) -> bool:
    """Wait for a put; returns whether it succeeded."""
    output, _ = put.communicate(timeout=65)
    return put.returncode == 0 and "failed" not in output.lower()


def wait_for(condition: Callable[[], object], timeout: float, otherwise: str) -> None:
    """Wait until a condition is true, and fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
