"""``attpc-ioc observables`` as a process, with a running IOC beside it."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_cli_demo import TOPOLOGY as DEMO
from tests.cli.test_cli_run import COMMAND, Ioc, topology
from tests.epics import Epics


class Shell:
    """Runs the command on one topology file, in the network of a test's IOC."""

    def __init__(self, epics: Epics, file: Path) -> None:
        self.epics = epics
        self.file = file

    def start(self, *arguments: str | bytes) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "observables", *arguments, "--topology", self.file],
            env=self.epics.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | bytes) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def value(self, pv: str) -> str:
        done = self.epics.caget("-t", pv)
        return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture
def shell(epics: Epics, tmp_path: Path) -> Shell:
    return Shell(epics, topology(tmp_path))


@pytest.fixture
def ioc(shell: Shell, tmp_path: Path) -> Iterator[Ioc]:
    """An IOC that runs with the same file."""
    running = Ioc(shell.epics, tmp_path / "stderr")
    running.start("run", "--topology", shell.file)
    running.until_it_serves()
    yield running
    running.close()


def test_from_the_file_to_the_pvs(shell: Shell, ioc: Ioc) -> None:
    """Each command changes the file and the running IOC, and says both; other lines stay."""
    rest = [line for line in shell.file.read_text().splitlines() if "observables" not in line]
    code, out, err = shell.run("add", "hv", "--units", "kV", "--label", "High voltage")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"{shell.file}: hv is added after gas", "reloaded by the IOC (T:IOC:Reload)"]
    assert shell.value("T:Obs:hv:Value.EGU") == "kV"
    code, out, err = shell.run("change", "hv", "--units", "V", "--label", "")
    assert "hv: label from High voltage to nothing, units from kV to V" in out
    assert shell.value("T:Obs:hv:Value.EGU") == "V"
    assert "hv is moved, now as the first" in shell.run("move", "hv", "--before", "gas")[1]
    assert [row["name"] for row in json.loads(shell.run("list", "--json")[1])] == ["hv", "gas"]
    assert "is unchanged: it already has these values" in shell.run("move", "hv", "--before", "gas")[1]
    assert "gas is retired; the run database keeps its data" in shell.run("retire", "gas")[1]
    assert shell.epics.absent("T:Obs:gas:Connected")
    with contextlib.closing(sqlite3.connect(shell.file.with_name("runs.db"))) as database:
        retired = "SELECT name FROM observables WHERE retired_at IS NOT NULL AND name = 'gas'"
        ioc.until(lambda: database.execute(retired).fetchall())
    assert [line for line in shell.file.read_text().splitlines() if "observables" not in line] == rest


def test_what_the_ioc_refuses_is_shown(shell: Shell, ioc: Ioc) -> None:
    """The file is changed, the IOC does not take it: both are said, with the IOC's reason, and the exit code is 1."""
    shell.file.write_text(shell.file.read_text().replace("database: runs.db", "database: nowhere/runs.db"))
    code, out, err = shell.run("add", "hv")
    assert code == 1
    assert "hv is added" in out
    [line] = err.splitlines()
    assert "was changed, but the IOC does not use it: T:IOC:Reload: topology not reloaded, nothing changed" in line
    assert "nowhere/runs.db', but must be in an existing directory" in line


def test_an_ioc_with_another_file_is_told_apart(shell: Shell, ioc: Ioc, tmp_path: Path) -> None:
    """An IOC with the same prefix that reads another file has reloaded that one: the command says so."""
    other = tmp_path / "copy.yaml"
    other.write_text(shell.file.read_text())
    code, _, err = Shell(shell.epics, other).run("add", "hv")
    assert code == 1
    assert "has no observable hv: its topology is another file" in err


def test_who_may_not_reload_is_told(shell: Shell, tmp_path: Path) -> None:
    """A put that the access rules deny is named as that, not by an older message."""
    shell.file.write_text(shell.file.read_text() + "access: [{pvs: '*:Reload', write: false}, {write: true}]\n")
    ioc = Ioc(shell.epics, tmp_path / "stderr")
    try:
        ioc.start("run", "--topology", shell.file)
        ioc.until_it_serves()
        code, _, err = shell.run("add", "hv")
        assert code == 1
        assert "T:IOC:Reload: this user and host may not write it (`access` in the topology)" in err
    finally:
        ioc.close()


def test_an_ioc_that_dies_meanwhile(shell: Shell, ioc: Ioc) -> None:
    """If the IOC is killed while the command waits for it, the command ends with a sentence."""
    before = shell.file.read_text()
    ioc.signal(signal.SIGSTOP)
    with shell.start("add", "hv") as process:
        ioc.until(lambda: shell.file.read_text() != before)
        ioc.signal(signal.SIGKILL)
        out, err = process.communicate(timeout=90)
    assert "hv is added" in out
    assert "not reloaded: no IOC answers" in out or "the IOC stopped answering" in err
    assert "Traceback" not in err


def test_without_an_ioc(shell: Shell) -> None:
    """The file is changed, and the output says that nobody has reloaded it."""
    code, out, _ = shell.run("add", "hv")
    assert code == 0
    assert "not reloaded: no IOC answers for T:IOC:Reload" in out
    code, out, _ = shell.run("retire", "hv", "--no-reload")
    assert code == 0
    assert "the IOC has not been asked to reload it (--no-reload)" in out


def test_an_empty_value_removes_any_key(shell: Shell) -> None:
    """As --help says, for each option of change; the file is then as before, and add takes an empty value as none."""
    assert shell.run("add", "hv", "--no-reload")[0] == 0
    before = shell.file.read_text()
    values = {
        "--pv": "A:B",
        "--type": "integer",
        "--units": "V",
        "--label": "High voltage",
        "--comment": "inlet",
        "--deadband": "0.5",
        "--max-rate": "2",
    }
    given = [word for option in values.items() for word in option]
    empty = [word for option in values for word in (option, "")]
    assert shell.run("change", "hv", *given, "--no-reload")[0] == 0
    assert shell.file.read_text() != before
    for option in values:
        code, out, err = shell.run("change", "hv", option, "", "--no-reload")
        assert (code, err) == (0, ""), option
        assert option.removeprefix("--").replace("-", "_") in out
    assert shell.file.read_text() == before
    assert shell.run("retire", "hv", "--no-reload")[0] == 0
    assert shell.run("add", "hv", *empty, "--no-reload")[0] == 0
    assert shell.file.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "gas"), 2, "observables[1].name is 'gas', but must be another name"),
        (("add", "a b", "--units", "kilometres"), 2, "is unchanged: with this change it would have errors"),
        (("add", "hv", "--before", "gas", "--after", "gas"), 2, "only one of --before and --after"),
        (("add", "hv", "--type", "complex"), 2, "complex"),
        (("change", "gas"), 2, "nothing to change: give at least one of --pv, --type"),
        (("change", "gsa", "--units", "V"), 1, "there is no observable 'gsa'; did you mean 'gas'?"),
        (("move", "gas"), 2, "one of --before and --after must be given"),
        (("add", "hv", "--label", b"\xff"), 1, "label has bytes that are not UTF-8, but must be text"),
        (("add", "hv", "--deadband", "nan"), 2, "nan"),
        (("add", "hv", "--deadband", "inf"), 2, "deadband is .inf, but must be a finite number"),
        (("retire", "hv"), 1, "there is no observable 'hv'"),
    ],
)
def test_refusals(shell: Shell, arguments: tuple[str | bytes, ...], code: int, said: str) -> None:
    """What cannot be done changes nothing and is named; no traceback."""
    before = shell.file.read_bytes()
    result, _, err = shell.run(*arguments)
    assert (result, said in err) == (code, True), err
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert shell.file.read_bytes() == before


def test_killed_between_write_and_reload(shell: Shell, ioc: Ioc) -> None:
    """If the command is killed while it waits for the IOC, the file is whole, and the next reload takes it."""
    before = shell.file.read_text()
    ioc.signal(signal.SIGSTOP)
    with shell.start("add", "hv", "--units", "kV") as process:
        ioc.until(lambda: shell.file.read_text() != before)
        process.send_signal(signal.SIGKILL)
    ioc.signal(signal.SIGCONT)
    assert "name: hv" in shell.file.read_text()
    assert shell.epics.caput("-c", "T:IOC:Reload", "1").returncode == 0
    assert shell.value("T:Obs:hv:Value.EGU") == "kV"


def test_an_ioc_killed_after_add_has_written(shell: Shell, ioc: Ioc) -> None:
    """Killed as soon as the file is new, the IOC starts with a whole file and records the observable."""
    before = shell.file.read_text()
    assert shell.epics.caput("-c", "-S", "T:Obs:New:Name", "hv").returncode == 0
    shell.epics.caput("T:Obs:New:Add", "1")
    ioc.until(lambda: shell.file.read_text() != before)
    ioc.signal(signal.SIGKILL)
    ioc.ends()
    ioc.start("run", "--topology", shell.file)
    ioc.until_it_serves()
    ioc.until(lambda: shell.value("T:Obs:hv:Connected") == "Yes")


def test_the_demo_has_a_file_of_its_own(epics: Epics, tmp_path: Path) -> None:
    """In the demo Add works as well; a file of somebody else keeps its mode."""
    file = tmp_path / "demo.yaml"
    file.write_text(DEMO)
    file.chmod(0o640)
    ioc, shell = Ioc(epics, tmp_path / "stderr"), Shell(epics, file)
    try:
        ioc.start("demo", "--topology", file, "--directory", tmp_path / "demo", "--speed", "20")
        ioc.until_it_serves()
        assert epics.caput("-c", "-S", "D:Obs:New:Name", "energy").returncode == 0
        assert epics.caput("-c", "D:Obs:New:Add", "1").returncode == 0
        assert shell.value("D:Obs:energy:Connected") == "Yes"
        assert file.read_text() == DEMO + "  - {name: energy}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
    finally:
        ioc.close()
