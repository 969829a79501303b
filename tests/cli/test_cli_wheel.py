"""What is published: the source distribution, and the program as it is installed from a wheel made of that.

The wheel is used away from the checkout, in an empty directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ioc
from tests.epics import Epics

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", ".github", "benchmarks", "docs", "ioc", "opi", "tests")
FILES = (
    *("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "topology.yaml", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("SECURITY.md", "Makefile", "requirements-ci.txt", ".gitignore", ".pre-commit-config.yaml"),
)
"""Of the checkout, what the source distribution is made of."""
MADE = shutil.ignore_patterns("__pycache__", "target", "reference", "*.egg-info")
"""What builds and tests leave in the folders."""
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


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
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=MADE)
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made without a network."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made of the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    options = ["--no-deps", "--no-index", "--no-build-isolation", "-w", folder]
    subprocess.run([*PIP, "wheel", *options, unpacked], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: before the editable package on the path, beside its dependencies."""
    target = tmp_path_factory.mktemp("installed") / "target"
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", target, wheel], check=True)
    return target


@pytest.fixture
def installed(target: Path, tmp_path: Path) -> Installed:
    """The program and a directory with nothing in it."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return Installed(target, empty)


def test_the_source_distribution_is_the_whole_checkout(source: Path, sdist: Path) -> None:
    """Documents, tests and screens are in it, and its name has the version."""
    assert sdist.name == f"attpc_ioc-{ioc.__version__}.tar.gz"
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    there = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    left_out = {name for name in there - packed if ".egg-info/" not in name}
    assert left_out == set()


def test_the_wheel_is_the_package(source: Path, wheel: Path) -> None:
    """It has the package with its data files, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {str(file.relative_to(source)) for file in (source / "ioc").rglob("*") if file.is_file()}


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
    """demo simulates the example that is in the wheel, whose PVs can be read, and the commands that it names work."""
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
            program = f"{installed.target}/bin/attpc-ioc "
            named = [line.partition(program)[2] for line in said.splitlines() if program in line]
            runs, web, screens = [shlex.split(line, comments=True) for line in named]
            assert installed.run(*runs)[1].startswith("Experiment e18008\n")
            assert installed.run(*screens)[0] == 0
            assert (installed.empty / "demo-data" / "opi" / "main.bob").exists()
            with installed.start(*web, "--port", "0", epics=epics) as page:
                assert page.stdout is not None
                assert page.stdout.readline().startswith("ATTPC: is at http://127.0.0.1:")
                page.send_signal(signal.SIGINT)
            demo.send_signal(signal.SIGINT)
            _, stderr = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert demo.returncode == 0, stderr
    assert "There is no topology.yaml here" in stderr
    assert (installed.empty / "demo-data" / "runs.db").exists()
