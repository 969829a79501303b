"""Phoebus in front of a simulated detector; both stay for all tests of a file, since Phoebus takes long to start."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ioc.sim import send_command
from ioc.topology.load import load
from tests.epics import LOOPBACK, Epics
from tests.phoebus import extras, large
from tests.phoebus.display_runtime import TARGET, DisplayRuntime, MissingError, build, display_runtime, until
from tests.phoebus.pages import ROOT
from tests.phoebus.tables import FAILED, FAULTY, FAULTY_ROUTER, GAS, IDLE, PREPARING, READY, RUNNING, TITLE

TOPOLOGY = load(ROOT / "topology.yaml")
PREFIX = TOPOLOGY.prefix
SERVERS = [server.name for server in TOPOLOGY.ecc_servers]
_STEPS = ("Describe", "Prepare", "Configure")


class Detector:
    """A simulated detector with the real IOC in front of it: that of the example topology, if not said otherwise."""

    def __init__(
        self, epics: Epics, process: subprocess.Popen[bytes], control_port: int, database: Path, prefix: str = PREFIX
    ) -> None:
        self._epics = epics
        self._prefix = prefix
        self._process = process
        self._control_port = control_port
        self._database = database

    def text(self, pv: str) -> str:
        """Return a text, or the name of a state, as EPICS base reads it."""
        result = self._epics.caget("-w", "30", "-S", "-t", self._prefix + pv, timeout=60)
        assert result.returncode == 0, result.stderr
        escaped = result.stdout.removesuffix("\n")
        return escaped.encode().decode("unicode_escape").encode("latin-1").decode()

    def number(self, pv: str) -> float:
        """Return a number."""
        return float(self._epics.caget("-w", "30", "-t", "-n", self._prefix + pv, timeout=60).stdout)

    def put(self, pv: str, value: str) -> None:
        """Put a text and wait until it is stored."""
        result = self._epics.caput("-c", "-w", "30", "-S", self._prefix + pv, value, timeout=60)
        assert result.returncode == 0, f"{pv}: {result.stderr}"

    def puts(self, pv: str, result: str = "%") -> list[tuple[str, str]]:
        """Return how each put to a PV ended that ended so, and why it was not done, as the run database has it."""
        with contextlib.closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT result, message FROM puts WHERE pv = ? AND result LIKE ? ORDER BY id",
                (self._prefix + pv, result),
            )
            return [(ended, message) for ended, message in rows]

    def command(self, name: str) -> None:
        """Carry out a command to its end."""
        result = self._epics.caput("-c", "-w", "60", self._prefix + name, "1", timeout=90)
        assert result.returncode == 0, f"{name}: {self.text('Message')} | {self.text('Run:Message')}"

    def idle(self) -> None:
        """Bring all servers to Idle, with no run open."""
        if self.text("Run:State") == "Running":
            self.command("Run:Stop")
        until(lambda: self.text("Run:State") in ("Stopped", "Failed"), 120, "the end of the run")
        while (state := self.text("State")) != "Idle":
            lone = [server for server in SERVERS if state == "Mixed" and self.text(f"ECC:{server}:State") != "Idle"]
            for command in [f"ECC:{server}:Reset" for server in lone] or ["Reset"]:
                self.command(command)

    def files_at_rest(self) -> None:
        """Wait until the files of the faulty router have been at rest for as long as Organize requires."""
        seconds = TOPOLOGY.runs.silent_seconds + 2 * TOPOLOGY.polling.routers
        until(lambda: time.time() - self.changed_at(f"Router:{FAULTY_ROUTER}:StagedMB") > seconds, 60, "files at rest")

    def changed_at(self, pv: str) -> float:
        """Return the time stamp of a PV."""
        _, day, clock, *_ = self._epics.caget("-w", "30", "-a", self._prefix + pv, timeout=60).stdout.split()
        return datetime.fromisoformat(f"{day} {clock}").timestamp()

    def name_an_observable(self) -> None:
        """Have something to add."""
        for name in ("Pv", "Units", "Label", "Comment"):
            self.put(f"Obs:New:{name}", "")
        self.put("Obs:New:Name", "humidity")

    def idle_after_a_run(self) -> None:
        """Bring all servers to Idle, when there has been a run."""
        if self.number("Run:Number") < 0:
            self.running()
        self.idle()

    def ready(self) -> None:
        """Bring all servers to Ready."""
        if self.text("State") != "Ready":
            self.idle()
            for step in _STEPS:
                self.command(step)

    def running(self) -> None:
        """Start a run."""
        if self.text("Run:State") != "Running":
            self.ready()
            self.command("Run:Start")

    @contextlib.contextmanager
    def preparing(self, server: str) -> Generator[None]:
        """Let a server prepare for as long as this lasts; it ends with a new start of the server."""
        self.idle()
        self.command("Describe")
        self.simulate({"ecc": server, "do": "delay", "operation": "Prepare", "seconds": 3600})
        assert self._epics.caput("-w", "30", self._prefix + "Prepare", "1", timeout=60).returncode == 0
        until(lambda: self.text(f"ECC:{server}:Transition") == "Preparing", 120, "Preparing")
        yield
        self.simulate({"ecc": server, "do": "restart"})
        until(lambda: self.text("Busy") == "Done", 120, "the end of Prepare")
        until(lambda: self.text(f"ECC:{server}:State") == "Idle", 120, f"{server} is Idle again")

    @contextlib.contextmanager
    def failed(self, server: str) -> Generator[None]:
        """Kill an ECC server in a run."""
        self.running()
        self.simulate({"ecc": server, "do": "kill"})
        until(lambda: self.text(f"ECC:{server}:Online") != "Online", 120, "the loss")
        yield

    def situation(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Bring everything into one of `SITUATIONS`, in which it then stays."""
        if name == PREPARING:
            return self.preparing(FAULTY)
        if name == FAILED:
            return self.failed(FAULTY)
        {IDLE: self.idle, READY: self.ready, RUNNING: self.running}[name]()
        return contextlib.nullcontext()

    def simulate(self, command: dict[str, object]) -> None:
        """Carry out a command of the simulator."""
        asyncio.run(send_command(self._control_port, command))

    def end(self) -> None:
        """End everything, as Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)


@pytest.fixture(scope="module")
def own_epics() -> Iterator[Epics]:
    with Epics() as epics:
        yield epics


@pytest.fixture(scope="module")
def without() -> frozenset[str]:
    """Build everything; return the parts of Phoebus beside the display runtime that are not at hand."""
    TARGET.mkdir(exist_ok=True)
    outcome = TARGET / "outcome.txt"
    try:
        missing = build()
    except MissingError as error:
        outcome.write_text(f"not tried: {error}\n")
        pytest.skip(str(error))
    parts = f", without {', '.join(sorted(missing))}" if missing else ""
    outcome.write_text(f"tried in 5.0.5{parts}; pictures in tests/phoebus/target/pictures\n")
    return missing


@contextlib.contextmanager
def simulated(topology: Path, epics: Epics, directory: Path, prefix: str) -> Generator[Detector]:
    """Run the detector of a topology; its log is in `TARGET`, called as the prefix."""
    with (TARGET / f"detector-{prefix.removesuffix(':')}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "tests/phoebus/detector.py", str(topology), str(directory)],
            cwd=ROOT,
            env=epics.environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    port = process.stdout.readline()
    detector = Detector(epics, process, int(port or 0), directory / "runs.db", prefix)
    try:
        assert port, f"the detector ended at once: {log.name} says why"
        assert process.stdout.readline() == b"ready\n"
        yield detector
    finally:
        detector.end()
        process.stdout.close()


@pytest.fixture(scope="module")
def detector(without: frozenset[str], own_epics: Epics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    with simulated(ROOT / "topology.yaml", own_epics, tmp_path_factory.mktemp("detector"), PREFIX) as detector:
        yield detector


@pytest.fixture(scope="module")
def large_epics() -> Iterator[Epics]:
    with Epics() as epics:
        yield epics


@pytest.fixture
def large_folder(tmp_path: Path) -> Path:
    """The folder with topology and screens of the large detector."""
    return tmp_path


@pytest.fixture
def large_detector(runtime: DisplayRuntime, large_epics: Epics, large_folder: Path) -> Iterator[Detector]:
    topology = large.write_topology(large_folder)
    data = large_folder / "data"
    data.mkdir()
    with simulated(topology, large_epics, data, large.PREFIX) as detector:
        yield detector


@pytest.fixture
def extra_folder(tmp_path: Path) -> Path:
    """The folder with topology and screens of the detector with everything that the example leaves out."""
    return tmp_path


@pytest.fixture
def extra_detector(runtime: DisplayRuntime, large_epics: Epics, extra_folder: Path) -> Iterator[Detector]:
    topology = extras.write_topology(extra_folder)
    data = extra_folder / "data"
    (data / f"{extras.LOGBOOK}.md").mkdir(parents=True)  # it cannot be written: entries wait
    with simulated(topology, large_epics, data, extras.PREFIX) as detector:
        yield detector


@pytest.fixture(scope="module")
def after_a_run(detector: Detector) -> Detector:
    """Return the detector, in Idle, when there has been a run."""
    detector.idle_after_a_run()
    return detector


@pytest.fixture(scope="module")
def runtime(
    without: frozenset[str], own_epics: Epics, large_epics: Epics, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DisplayRuntime]:
    settings = {
        "org.phoebus.pv.ca/addr_list": f"{LOOPBACK}:{own_epics.server_port} {LOOPBACK}:{large_epics.server_port}",
        "org.phoebus.pv.ca/auto_addr_list": "false",
        "org.phoebus.pv.ca/server_port": str(own_epics.server_port),
        "org.phoebus.pv.ca/repeater_port": str(own_epics.repeater_port),
        "org.phoebus.pv.pva/epics_pva_addr_list": LOOPBACK,
        "org.phoebus.pv.pva/epics_pva_auto_addr_list": "false",
        "org.phoebus.pv.pva/epics_pva_broadcast_port": own_epics.env["EPICS_PVA_BROADCAST_PORT"],
        # On a busy machine a page with many rows takes minutes, not the 5 s of the default.
        "org.csstudio.display.builder.representation/embedded_timeout": "600000",
    }
    with display_runtime(tmp_path_factory.mktemp("user"), settings) as runtime:
        yield runtime


@pytest.fixture
def phoebus(runtime: DisplayRuntime) -> Iterator[DisplayRuntime]:
    """Phoebus, of which a test expects that it logs no warning."""
    runtime.faults()
    yield runtime
    assert runtime.faults() == []


@pytest.fixture(scope="module")
def pictures() -> Path:
    folder = ROOT / "tests/phoebus/target/pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def enter(after_a_run: Detector) -> Iterator[Callable[[str], None]]:
    """Return what brings everything into one of `SITUATIONS`, in which it then stays until the next one is wanted."""
    detector, now = after_a_run, ""
    with contextlib.ExitStack() as stack:

        def enter(situation: str) -> None:
            nonlocal now
            if situation != now:
                now = ""
                stack.close()
                stack.enter_context(detector.situation(situation))
                detector.put(TITLE, "alpha source, 370 Torr")
                detector.put(GAS, "He + 10 % CO2")
                now = situation

        yield enter
