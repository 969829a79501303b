"""The examples of the pages do what the pages show."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from ioc.hooks.document import document, variables
from ioc.model import DocumentState, HookPoint, RunClass, RunId, RunRecord
from ioc.sim import Site
from ioc.topology.load import load
from tests.epics import BINARIES, Epics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FIRST_RUN = DOCS / "tutorials" / "first-run.md"
PROGRAMS = Path(sys.executable).parent
PORT = "40123"
"""The port of the fault control, as the tutorial has it."""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language, also those in a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]


def matches(shown: str, printed: str) -> bool:
    """Whether what was printed is what the page shows, in which ``...`` stands for anything."""
    pattern = ".*".join(map(re.escape, shown.split("...")))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@dataclass(frozen=True)
class Shell:
    """A terminal beside a running demonstration."""

    folder: Path
    environment: dict[str, str]
    fault_port: str

    def wait(self, state: str, *pvs: str) -> None:
        """Wait until all these PVs have a state."""
        deadline = time.monotonic() + 60
        while set((shown := self.run(f"caget -t {' '.join(pvs)}")).split()) != {state}:
            assert time.monotonic() < deadline, f"{pvs} are {shown}"
            time.sleep(0.1)

    def run(self, command: str) -> str:
        """Run one command of a page in the folder and return what it prints."""
        command = command.replace(".venv/bin", str(PROGRAMS)).replace(PORT, self.fault_port)
        command = re.sub(r"^attpc-ioc", str(PROGRAMS / "attpc-ioc"), command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout


@pytest.fixture
def shell(epics: Epics, tmp_path: Path) -> Iterator[Shell]:
    """A terminal beside ``attpc-ioc demo``, which is quick, with EPICS base's tools on its path."""
    environment = epics.environment(PATH=f"{BINARIES}:{os.environ['PATH']}")
    log = tmp_path / "log"
    with log.open("w") as stderr:
        demo = subprocess.Popen(
            [PROGRAMS / "attpc-ioc", "demo", "--speed", "20"],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    with demo:
        try:
            assert demo.stdout is not None
            assert any("Ctrl-C ends everything." in line for line in demo.stdout), log.read_text()
            deadline = time.monotonic() + 60
            while not (said := re.search(r"ioc\.sim\.control (\d+)", log.read_text())):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            shell = Shell(tmp_path, environment, said[1])
            shell.wait("Idle", "ATTPC:State")
            shell.wait("Online", *(f"ATTPC:Router:data{number}:Online" for number in range(11)))
            yield shell
        finally:
            demo.send_signal(signal.SIGINT)
            try:
                demo.wait(60)
            finally:
                demo.kill()


def test_the_tutorials(shell: Shell) -> None:
    """Each command of the first run prints what the page shows, and the analysis reads that run."""
    session = "".join(blocks(FIRST_RUN, "console"))
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        if "ECC:CoBo3:Online" in command:
            shell.wait("Offline", "ATTPC:ECC:CoBo3:Online")
        printed = shell.run(command)
        assert matches(shown, printed), f"{command} printed:\n{printed}"
        if '"restart"' in command:
            shell.wait("Idle", "ATTPC:ECC:CoBo3:State")
    program = "".join(blocks(DOCS / "tutorials" / "first-analysis.md", "python"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shell.folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("run 0: my first run, ")


def test_a_shift_without_phoebus(shell: Shell) -> None:
    """Each command prints what the page shows, from the first look to the end of a run."""
    shutil.copy(ROOT / "topology.yaml", shell.folder)
    session = "".join(blocks(DOCS / "how-to" / "without-phoebus.md", "console"))
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        printed = shell.run(command)
        assert matches(shown, printed), f"{command} printed:\n{printed}"


def test_the_page_about_pvaccess(shell: Shell) -> None:
    """pvget and pvput print what the page shows; its programs read the tables and the run, and end it."""
    page = DOCS / "how-to" / "pvaccess.md"
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks(page, "console")), re.MULTILINE):
        printed = shell.run(command)
        assert matches(shown, printed), f"{command} printed:\n{printed}"
    for step in ("Describe", "Prepare", "Configure", "Run:Start"):
        shell.run(f"caput -c -w 50 ATTPC:{step} 1")
    plain, with_pandas, following, ending = blocks(page, "python")
    expected = {
        plain: r"0 by pvput pressure \[Torr\] \d{3}\.\d+",
        **({with_pandas: "run_number"} if find_spec("pandas") else {}),
    }
    for program, shown in expected.items():
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=shell.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(shown, done.stdout)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", following],
        env=shell.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert any(line == "0 Running by pvput\n" for line in process.stdout)
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(60) == 0
    done = subprocess.run(
        [sys.executable, "-c", ending], env=shell.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match("by ophyd-async .*'CoBo0': 'Running'", done.stdout)
    assert shell.run("caget -t ATTPC:Run:State").strip() == "Stopped"


def test_the_first_steps_of_the_readme(shell: Shell) -> None:
    """Every command but those that install and watch works, up to the line that shows a refusal."""
    steps = next(block for block in blocks(ROOT / "README.md", "sh") if "ATTPC:Describe" in block)
    printed = ""
    for line in steps.splitlines():
        if line and not line.startswith("camonitor"):
            printed = shell.run(line)
    assert "my first run  complete" in printed


@pytest.mark.timeout(300)
def test_the_page_about_automatic_runs(shell: Shell) -> None:
    """Its sequence and its plan take their first run, with the title that the page shows."""
    page = DOCS / "how-to" / "automatic-runs.md"
    sequence, check, start = blocks(page, "sh")
    (plan,) = blocks(page, "yaml")
    (shell.folder / "night.yaml").write_text(plan)
    (shell.folder / "topology.yaml").write_text((ROOT / "topology.yaml").read_text())
    stop, off, empty = re.findall(r"`(caput [^`]*)`", page.read_text())
    for step in ("Describe", "Prepare", "Configure"):
        shell.run(f"caput -c -w 50 ATTPC:{step} 1")
    for line in sequence.splitlines():
        if not line.startswith("camonitor"):
            shell.run(line)
    shell.wait("Running", "ATTPC:Auto:State")
    assert shell.run("caget -t -S ATTPC:Run:Title").strip() == "alpha source 1"
    shell.run(stop)
    assert "3 runs: at most 1.6 h of data" in shell.run(f".venv/bin/{check.strip()}")
    assert "started" in shell.run(f".venv/bin/{start.strip()}")
    shell.wait("Running", "ATTPC:Auto:State")
    assert shell.run("caget -t ATTPC:Run:Class ATTPC:Obs:target_gas:Value").split() == ["Pulser", "He:CO2"]
    shell.run(off)
    shell.run(empty)
    assert shell.run("caget -t -S ATTPC:Auto:Plan ATTPC:Auto:Message").strip() == "no plan"


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_the_parts_of_a_topology_fit_the_example(page: Path, tmp_path: Path) -> None:
    """What a page adds to lists and changes in ``topology.yaml`` leaves a topology without errors."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    for block in blocks(page, "yaml"):
        part = yaml.safe_load(block)
        for key, value in part.items() if isinstance(part, dict) else ():  # a list is a plan of runs
            document[key] = document.get(key, []) + value if isinstance(value, list) else value
    document["database"] = str(tmp_path / Path(document["database"]).name)
    changed = tmp_path / "topology.yaml"
    changed.write_text(yaml.safe_dump(document, sort_keys=False))
    assert load(changed).prefix == "ATTPC:"


def test_the_script_of_a_hook(tmp_path: Path) -> None:
    """The script of the page refuses a start while its file exists, with the sentence that the page shows."""
    page = DOCS / "how-to" / "hooks.md"
    (script,) = blocks(page, "bash")
    (shown,) = blocks(page, "text")
    flag = tmp_path / "attpc-no-beam"
    file = tmp_path / "beam"
    file.write_text(script.replace("/tmp/attpc-no-beam", str(flag)))
    file.chmod(0o755)
    environment = {**os.environ, "ATTPC_RUN": "0"}
    assert subprocess.run([file], env=environment, check=False).returncode == 0
    flag.touch()
    done = subprocess.run([file], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert shown.strip().endswith(f"exit status 1: {done.stdout.strip()}".replace(str(flag), "/tmp/attpc-no-beam"))


def test_the_document_of_a_hook() -> None:
    """The page shows every key of the document, and every variable."""
    page = DOCS / "how-to" / "hooks.md"
    (shown,) = blocks(page, "json")
    record = RunRecord(RunId("e18008", 12), DocumentState.Complete, RunClass.Beam, "alpha source", 0.0)
    told = document(HookPoint.AfterFiling, "notes", record)
    assert list(json.loads(shown)) == list(json.loads(told))
    assert all(f"| `{each.partition('=')[0]}` |" in page.read_text() for each in variables(told))


async def test_the_example_of_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epics: Epics) -> None:
    """The plan in docs/simulator.md makes a site, and its server can be killed."""
    (example,) = blocks(DOCS / "simulator.md", "python")
    before, _, after = example.partition("async with")
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(before, names)
    async with Site(names["plan"]) as site:
        assert "Site(plan) as site" in after
        assert site.addresses.servers["CoBo0"].port
        (command,) = re.findall(r"site\.control\((\{.*\})\)", after)
        await site.control(yaml.safe_load(command))


def test_every_example_of_a_shell_names_commands_that_exist() -> None:
    """The subcommands of attpc-ioc in all shell examples are those that the program has."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    examples = [block for page in pages for language in ("sh", "console") for block in blocks(page, language)]
    commands = {found for block in examples for found in re.findall(r"attpc-ioc ((?:runs )?[a-z][a-z-]*)", block)}
    help_texts = subprocess.run(
        [PROGRAMS / "attpc-ioc", "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    help_texts += subprocess.run(
        [PROGRAMS / "attpc-ioc", "runs", "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    missing = {each for each in commands if not re.search(rf"^  {each.split()[-1]} ", help_texts, re.MULTILINE)}
    assert missing == set()
