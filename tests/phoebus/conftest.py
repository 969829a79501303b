"""Phoebus in front of a simulated detector; both stay for all tests of a file, since Phoebus takes long to start."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioc.sim import send_command
from ioc.topology.load import load
from tests.epics import LOOPBACK, Epics
from tests.phoebus.display_runtime import ROOT, TARGET, DisplayRuntime, MissingError, build, display_runtime, until

PREFIX = load(ROOT / "topology.yaml").prefix
_STEPS = ("Describe", "Prepare", "Configure")


class Detector:
    """The simulated detector of the example topology with the real IOC in front of it."""

    def __init__(self, epics: Epics, process: subprocess.Popen[bytes], control_port: int) -> None:
        self._epics = epics
        self._process = process
        self._control_port = control_port

    def text(self, pv: str) -> str:
        """Return a text, or the name of a state, as EPICS base reads it."""
        result = self._epics.caget("-S", "-t", PREFIX + pv)
        assert result.returncode == 0, result.stderr
        escaped = result.stdout.removesuffix("\n")
        return escaped.encode().decode("unicode_escape").encode("latin-1").decode()

    def put(self, pv: str, value: str) -> None:
        """Put a text and wait until it is stored."""
        result = self._epics.caput("-c", "-S", PREFIX + pv, value)
        assert result.returncode == 0, f"{pv}: {result.stderr}"

    def command(self, name: str) -> None:
        """Carry out a command to its end."""
        result = self._epics.caput("-c", "-w", "60", PREFIX + name, "1", timeout=90)
        assert result.returncode == 0, f"{name}: {result.stderr}"

    def idle(self) -> None:
        """Bring all servers to Idle, with no run open."""
        if self.text("Run:State") == "Running":
            self.command("Run:Stop")
        until(lambda: self.text("Run:State") in ("Stopped", "Failed"), 60, "the end of the run")
        while self.text("State") != "Idle":
            self.command("Reset")

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

    def fail(self, server: str) -> None:
        """Kill an ECC server."""
        asyncio.run(send_command(self._control_port, {"ecc": server, "do": "kill"}))

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
def built() -> None:
    try:
        build()
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def detector(built: None, own_epics: Epics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    directory = tmp_path_factory.mktemp("detector")
    with (TARGET / "detector.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "tests/phoebus/detector.py", "topology.yaml", str(directory)],
            cwd=ROOT,
            env=own_epics.environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    detector = Detector(own_epics, process, int(process.stdout.readline()))
    try:
        assert process.stdout.readline() == b"ready\n"
        yield detector
    finally:
        detector.end()
        process.stdout.close()


@pytest.fixture(scope="module")
def runtime(built: None, own_epics: Epics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DisplayRuntime]:
    settings = {
        "org.phoebus.pv.ca/addr_list": LOOPBACK,
        "org.phoebus.pv.ca/auto_addr_list": "false",
        "org.phoebus.pv.ca/server_port": str(own_epics.server_port),
        "org.phoebus.pv.ca/repeater_port": str(own_epics.repeater_port),
        # On a busy machine a page with many rows takes longer than the 5 s of the default.
        "org.csstudio.display.builder.representation/embedded_timeout": "60000",
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
