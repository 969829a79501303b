"""The installed command as a process: what it says on stderr, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlite_utils import Database

from ioc.rundb.migrations import migrate
from ioc.rundb.writing import open_for_writing
from ioc.sim.ports import free_port
from tests.epics import LOOPBACK, Epics

COMMAND = Path(sys.executable).parent / "attpc-ioc"
EXAMPLE = Path(__file__).parents[2] / "topology.yaml"
EVENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR|CRITICAL) \S+: \S.*")


def topology(directory: Path, **replaced: str) -> Path:
    """A small installation of which nothing is there."""
    text = f"""
prefix: "{replaced.get("prefix", "T:")}"
experiment: e1
database: {replaced.get("database", "runs.db")}
ssh: local
ecc_servers: [{{name: CoBo0, role: cobo, host: {LOOPBACK}, port: {free_port()}}}]
data_routers: [{{name: data0, host: {LOOPBACK}, port: {free_port()}}}]
data_sources: [{{id: "CoBo[0]", ecc_server: CoBo0, data_routers: [data0]}}]
polling: {{ecc: 0.2, routers: 0.2}}
observables: [{{name: gas, type: string}}]
"""
    path = directory / "topology.yaml"
    path.write_text(text)
    return path


class Ioc:
    """``attpc-ioc`` with some arguments; ends with the test."""

    def __init__(self, epics: Epics, log: Path) -> None:
        self._epics = epics
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: object) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, *map(str, arguments)],
                env=self._epics.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Under nohup, SIGHUP is ignored, which the IOC respects.
                preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
            )

    def ends(self, timeout: float = 60) -> int:
        assert self._process is not None
        return self._process.wait(timeout)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def until(self, condition: Callable[[], object], timeout: float = 60) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not condition():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def until_it_serves(self) -> None:
        self.until(lambda: any("serves e1" in line for line in self.lines()))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def ioc(epics: Epics, tmp_path: Path) -> Iterator[Ioc]:
    """The command, not yet started."""
    running = Ioc(epics, tmp_path / "stderr")
    yield running
    running.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(ioc: Ioc, tmp_path: Path, number: int) -> None:
    """SIGINT, SIGTERM and SIGHUP end the IOC with 0 within seconds; every event is one line that journald can take."""
    ioc.start("run", "--topology", topology(tmp_path))
    ioc.until_it_serves()
    ioc.until(lambda: any("CoBo0" in line for line in ioc.lines()))
    ioc.signal(number)
    assert ioc.ends() == 0
    assert [line for line in ioc.lines() if not EVENT.fullmatch(line)] == []


def test_signals_in_plenty_do_not_break_the_end(ioc: Ioc, tmp_path: Path) -> None:
    """Impatience (many signals) does not cut the end short."""
    ioc.start("run", "--topology", topology(tmp_path))
    ioc.until_it_serves()
    for _ in range(5):
        with contextlib.suppress(ProcessLookupError):
            ioc.signal(signal.SIGTERM)
    assert ioc.ends() == 0
    assert [line for line in ioc.lines() if not EVENT.fullmatch(line)] == []


def test_a_refused_put_is_one_line(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """A refusal is one line on stderr and one entry of Log:Lines, with who asked; so is a put that is malformed."""
    ioc.start("run", "--topology", topology(tmp_path))
    ioc.until_it_serves()
    for name in ("ECC:CoBo0", "Router:data0"):
        ioc.until(lambda name=name: any(name in line for line in ioc.lines()))
    # A line is on stderr a moment before the PVs have it.
    ioc.until(lambda: int(epics.caget("-t", "T:Log:Errors").stdout) >= 2)
    for pv, value, told in (
        ("T:Run:Stop", "1", "nothing to stop"),
        ("T:ECC:CoBo0:ConfigIndex", "3.5", "a whole number"),
        ("T:ECC:CoBo0:ConfigIndex", "3", "configuration number is 3"),
    ):
        before = len(ioc.lines())
        shown = int(epics.caget("-t", "T:Log:Errors").stdout)
        done = epics.caput("-c", pv, value)
        assert "failed" in (done.stdout + done.stderr).lower()
        ioc.until(lambda told=told: any(told in line for line in ioc.lines()))
        log = epics.caget("-t", "-S", "T:Log:Lines").stdout
        errors = int(epics.caget("-t", "T:Log:Errors").stdout)
        lines = ioc.lines()[before:]
        # dataRouters of other tests come and go on this machine, of which the IOC tells.
        new = [line for line in lines if "ioc.run: Router:data0: " not in line]
        assert shown <= errors <= shown + len(lines) - len(new)
        assert len(new) == 1, new
        assert "127.0.0.1" in new[0]
        assert EVENT.fullmatch(new[0])
        assert log.count(told) == 1, log


def test_a_quiet_log_level_still_fills_the_database(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """--log-level decides about stderr only: the database and the PVs of the log have what is not shown there."""
    ioc.start("run", "--topology", topology(tmp_path), "--log-level", "error")
    ioc.until(lambda: "ECC server" in epics.caget("-w", "1", "-t", "-S", "T:Run:BlockedBy").stdout)
    ioc.until(lambda: "has not been read" not in epics.caget("-t", "-S", "T:Run:BlockedBy").stdout)
    epics.caput("-c", "T:Run:Stop", "1")
    ioc.until(lambda: "nothing to stop" in epics.caget("-t", "-S", "T:Log:Lines").stdout)
    ioc.signal(signal.SIGTERM)
    assert ioc.ends() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as db:
        assert db.execute("SELECT count(*) FROM events WHERE message LIKE '%nothing to stop%'").fetchone()[0] >= 1
    assert [line for line in ioc.lines() if " INFO " in line or " WARNING " in line] == []


def test_a_tcp_port_in_use(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """If another IOC has the TCP port, any other is taken, as EPICS base does, and clients find it."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, epics.server_port))
        taken.listen()
        ioc.start("run", "--topology", topology(tmp_path))
        ioc.until_it_serves()
        assert epics.caget("-t", "T:Run:NextNumber").stdout.strip() == "0"


def test_a_udp_port_in_use(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """If a program that is no IOC has the port for searches, the IOC ends with 1 and one line that names the port."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, epics.server_port))
        ioc.start("run", "--topology", topology(tmp_path))
        assert ioc.ends() == 1
    [line] = [line for line in ioc.lines() if " INFO " not in line]
    assert line.startswith("error: ")
    assert str(epics.server_port) in line


def test_a_reload_that_hangs_does_not_hold_up_the_end(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """A topology file that hangs when it is opened, as on a dead file system: SIGTERM ends the IOC in time with 0."""
    path = topology(tmp_path)
    ioc.start("run", "--topology", path)
    ioc.until_it_serves()
    path.unlink()
    os.mkfifo(path)
    epics.caput("T:IOC:Reload", "1")
    ioc.until(lambda: epics.caget("-t", "T:IOC:Reload").stdout.strip() == "Busy")
    asked = time.monotonic()
    ioc.signal(signal.SIGTERM)
    ioc.signal(signal.SIGINT)
    assert ioc.ends() == 0
    assert time.monotonic() - asked < 5
    assert [line for line in ioc.lines() if not EVENT.fullmatch(line)] == []


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program has the file locked."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@pytest.mark.parametrize("version", [None, 2])
def test_a_database_that_is_locked_at_the_start(ioc: Ioc, epics: Epics, tmp_path: Path, version: int | None) -> None:
    """The PVs are served and say so; when the lock is gone the IOC goes on, also with a file of an older version.

    It ends in time with 0 while it still waits.
    """
    path, database = topology(tmp_path), tmp_path / "runs.db"
    with contextlib.closing(open_for_writing(database, create=True, busy_seconds=1).conn) as connection:
        migrate(Database(connection), str(database), target=version)
    with locked(database):
        ioc.start("run", "--topology", path)
        ioc.until_it_serves()
        assert "is locked by another program" in epics.caget("-S", "-t", "T:IOC:DatabaseMessage").stdout
        assert "has not been read yet" in epics.caget("-S", "-t", "T:Run:BlockedBy").stdout
        assert epics.caput("-c", "T:Run:Start", "1").stdout
        assert epics.caput("-c", "T:Obs:gas:Value", "P10").stdout
        asked = time.monotonic()
        ioc.signal(signal.SIGTERM)
        assert ioc.ends() == 0
        assert time.monotonic() - asked < 5
        ioc.start("run", "--topology", path)
        ioc.until_it_serves()
    ioc.until(lambda: "has not been read yet" not in epics.caget("-S", "-t", "T:Run:BlockedBy").stdout, timeout=5)
    ioc.until(lambda: epics.caget("-S", "-t", "T:IOC:DatabaseMessage").stdout.strip() == "")
    epics.caput("-c", "T:Obs:gas:Value", "P10")
    ioc.until(lambda: epics.caget("-t", "T:Obs:gas:Value").stdout.strip() == "P10")


def test_a_file_that_turns_out_to_be_another_programs(ioc: Ioc, tmp_path: Path) -> None:
    """A file that could not be looked into when the IOC started ends it with 1 and one line when it can."""
    database = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
    with locked(database):
        ioc.start("run", "--topology", topology(tmp_path))
        ioc.until_it_serves()
    assert ioc.ends() == 1
    assert [line for line in ioc.lines() if "is the database of another program" in line and line.startswith("error: ")]


@pytest.mark.parametrize("database", ["nowhere/runs.db", "topology.yaml", "."])
def test_a_database_that_cannot_be(ioc: Ioc, tmp_path: Path, database: str) -> None:
    """A database in a directory that is not there, or that is another file, ends the IOC with 2 and one line."""
    path = topology(tmp_path, database=database)
    ioc.start("run", "--topology", path)
    assert ioc.ends() == 2
    [line] = ioc.lines()
    assert line.startswith(f"error: {path}:4: database is '{database}', but must be")


def test_what_is_strange_is_logged(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """run logs the warnings of check, at the start and at a reload, and goes on."""
    path = topology(tmp_path)
    strange = f"{path.read_text()}timeouts: {{transition: 5}}\n"
    path.write_text(strange)
    ioc.start("run", "--topology", path)
    ioc.until_it_serves()
    warning = f"WARNING ioc.cli.main: {path}:11: timeouts.transition is 5.0, but should be at least 121 seconds"
    assert [line for line in ioc.lines() if warning in line]
    path.write_text(strange.replace("database: runs.db", "database: /"))
    assert epics.caput("-c", "T:IOC:Reload", "1").returncode != 0
    ioc.until(lambda: any("topology not reloaded" in line and "must be a file" in line for line in ioc.lines()))
    path.write_text(f"# moved down\n{strange}")
    epics.caput("-c", "T:IOC:Reload", "1")
    ioc.until(lambda: any(":12: timeouts.transition" in line for line in ioc.lines()))
    assert "timeouts.transition" in epics.caget("-t", "-S", "T:Log:Lines").stdout


def test_a_second_ioc_on_the_same_database(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """The second IOC on a database ends with 1, naming the process that has it."""
    path = topology(tmp_path)
    ioc.start("run", "--topology", path)
    ioc.until_it_serves()
    with Epics() as other:
        done = subprocess.run(
            [COMMAND, "run", "--topology", path],
            env=other.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "in use by another IOC (process" in line


def test_an_environment_that_makes_no_sense(ioc: Ioc, epics: Epics, tmp_path: Path) -> None:
    """A port that is none ends the IOC with 1, naming the variable."""
    epics.env["EPICS_CAS_SERVER_PORT"] = "many"
    ioc.start("run", "--topology", topology(tmp_path))
    assert ioc.ends() == 1
    [line] = [line for line in ioc.lines() if " INFO " not in line]
    assert "EPICS_CAS_SERVER_PORT is 'many'" in line


@pytest.mark.parametrize(("directory", "said"), [("file/demo", "cannot be created"), ("/proc", "cannot be used")])
def test_a_demo_that_cannot_write(ioc: Ioc, tmp_path: Path, directory: str, said: str) -> None:
    """A directory that cannot be created or written to ends the demo with 1 and one line."""
    (tmp_path / "file").write_text("")
    ioc.start("demo", "--topology", EXAMPLE, "--directory", tmp_path / directory)
    assert ioc.ends() == 1
    [line] = [line for line in ioc.lines() if line.startswith("error: ")]
    assert said in line
    assert "Traceback" not in "".join(ioc.lines())
