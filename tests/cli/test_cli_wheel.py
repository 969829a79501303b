"""The program as it is installed from a wheel: away from the checkout, in an empty directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.epics import Epics

ROOT = Path(__file__).parents[2]
PARTS = ("ioc", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "topology.yaml")
"""Of the checkout, what a wheel is made of."""


class Installed:
    """The program of the wheel, in an empty directory."""

    def __init__(self, target: Path, empty: Path) -> None:
        self.target = target
        self.empty = empty

    def start(self, *arguments: str, epics: Epics | None = None) -> subprocess.Popen[str]:
        environment = dict(os.environ) if epics is None else epics.environment()
        return subprocess.Popen(
            [sys.executable, "-P", self.target / "bin" / "attpc-ioc", *arguments],
            cwd=self.empty,
            env={**environment, "PYTHONPATH": str(self.target)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout, stderr


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: before the editable package on the path, beside its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "target", wheel], check=True)
    return folder / "target"


@pytest.fixture
def installed(target: Path, tmp_path: Path) -> Installed:
    """The program and a directory with nothing in it."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return Installed(target, empty)


def test_the_wheel_has_its_own_example(installed: Installed) -> None:
    """It is the wheel that runs, and its example is that of the root."""
    code, stdout, _ = installed.run("--version")
    assert (code, stdout.split(",")[0]) == (0, "attpc-ioc")
    example = installed.target / "ioc" / "topology" / "example.yaml"
    assert not example.is_symlink()
    assert example.read_bytes() == (ROOT / "topology.yaml").read_bytes()
    assert installed.run("check", "--topology", str(example))[0] == 0


def test_an_empty_directory(installed: Installed) -> None:
    """check and run say what to do there, and init does it."""
    for command in ("check", "run"):
        code, stdout, stderr = installed.run(command)
        assert (code, stdout, len(stderr.splitlines())) == (2, "", 1)
        assert "attpc-ioc init" in stderr
    answers = ("--experiment", "e1", "--cobos", "2", "--no-mutant", "--one-ecc-server-each")
    addresses = ("--first-ecc", "10.0.0.1", "--first-router", "10.0.0.1")
    assert installed.run("init", *answers, *addresses)[0] == 0
    assert installed.run("check")[0] == 0


def test_the_demo_in_an_empty_directory(installed: Installed, epics: Epics) -> None:
    """demo simulates the example that is in the wheel, whose PVs can be read."""
    with installed.start("demo", "--speed", "20", "--log-level", "error", epics=epics) as demo:
        try:
            assert demo.stdout is not None
            said = ""
            while "Ctrl-C ends everything." not in said:
                line = demo.stdout.readline()
                assert line, demo.communicate()
                said += line
            assert "12 ECC servers, 12 data routers" in said
            assert epics.caget("-t", "ATTPC:IOC:Simulated").stdout.strip() == "Simulated"
            demo.send_signal(signal.SIGINT)
            _, stderr = demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert demo.returncode == 0, stderr
    assert "There is no topology.yaml here" in stderr
    assert (installed.empty / "demo-data" / "runs.db").exists()
