"""The units and agents of a topology: accepted by systemd, started by a real one, and by a shell as launchd would."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.app.units import command_of, replace_files, unit_files
from ioc.errors import Refused
from ioc.topology.load import EXAMPLE, load, parse
from ioc.topology.schema import Topology, Units

COMMAND = ("/opt/attpc ioc/bin/attpc-ioc", "run", "--topology", "/srv/100% $HOME/topology.yaml")
TELL = Path(__file__).with_name("tell_arguments.py")
"""Writes its working directory, arguments and environment as JSON into a file."""
NEEDS_SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def example(**changes: Any) -> Topology:
    """The example of a full AT-TPC whose routers have working directories."""
    topology = load(EXAMPLE)
    routers = tuple(each.model_copy(update={"work_dir": "~/data dir"}) for each in topology.data_routers)
    return topology.model_copy(update={"data_routers": routers, **changes})


def written(topology: Topology, units: Units, folder: Path, command: tuple[str, ...] = COMMAND) -> Path:
    """Write the files as the command does."""
    environment = {"EPICS_CAS_INTF_ADDR_LIST": "10.0.0.1 10.0.0.2", "HOME": "/nowhere", "EPICS_X": 'a"b\\c%h$d'}
    for name, text in unit_files(topology, units, command, "/srv/at tpc", environment).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_each_machine_gets_the_units_of_its_programs(tmp_path: Path) -> None:
    """One folder for each host and one for the IOC."""
    folder = written(example(), "systemd", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [*(f"192.168.41.{n}" for n in range(60, 72)), "ioc"]
    assert sorted(path.name for path in (folder / "192.168.41.71").iterdir()) == [
        "attpc-ecc-MuTAnT.service",
        "attpc-logs-192.168.41.71.service",
        "attpc-logs-192.168.41.71.timer",
        "attpc-rotate-logs-192.168.41.71.sh",
        "attpc-router-mutant.service",
        "install.sh",
    ]
    ioc = (folder / "ioc" / "attpc-ioc.service").read_text()
    for line in ("RestartPreventExitStatus=2", "Restart=always", "StartLimitBurst=10", "WorkingDirectory=/srv/at tpc"):
        assert line in ioc.splitlines()
    assert "/nowhere" not in ioc


@NEEDS_SYSTEMD
def test_systemd_accepts_every_unit(tmp_path: Path) -> None:
    """systemd-analyze verify finds nothing to say."""
    command = ("/bin/true", "--option", 'odd "word" 100% $HOME')
    topology = example()
    topology = topology.model_copy(
        update={
            section: tuple(each.model_copy(update={"command": command}) for each in getattr(topology, section))
            for section in ("ecc_servers", "data_routers")
        }
    )
    units = [path for path in written(topology, "systemd", tmp_path, command).rglob("*.[st]*") if path.suffix != ".sh"]
    machines = {path.parent for path in units}
    assert len(units) == 12 * 4 + 1
    for machine in (tmp_path / "ioc", tmp_path / "192.168.41.71"):
        assert machine in machines
        files = [path for path in units if path.parent == machine]
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", *files],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_UNIT_PATH": f"{machine}:"},
        )
        ours = [line for line in done.stderr.splitlines() if "attpc" in line]
        assert (done.returncode, ours) == (0, []), done.stderr


def test_every_agent_is_a_property_list_that_launchd_takes(tmp_path: Path) -> None:
    """The keys that launchd needs, of the right types; what the shell is given can be parsed."""
    agents = list(written(example(), "launchd", tmp_path).rglob("*.plist"))
    assert len(agents) == 12 * 3 + 2
    for path in agents:
        agent = plistlib.loads(path.read_bytes())
        assert agent["Label"] == path.stem
        shell, option, script = agent["ProgramArguments"]
        assert (shell, option) == ("/bin/sh", "-c")
        subprocess.run([shell, "-n", option, script], check=True)
        assert all(isinstance(value, str) for value in agent["EnvironmentVariables"].values())
        if not path.stem.startswith("attpc-logs-"):
            assert agent["KeepAlive"] == {"SuccessfulExit": False}
            assert agent["RunAtLoad"] is True
            assert agent["ThrottleInterval"] >= 10
    ioc = plistlib.loads((tmp_path / "ioc" / "attpc-ioc.plist").read_bytes())
    assert ioc["EnvironmentVariables"]["EPICS_CAS_INTF_ADDR_LIST"] == "10.0.0.1 10.0.0.2"


def test_every_script_can_be_parsed(tmp_path: Path) -> None:
    """install.sh, the rotation, and that for procServ."""
    for units in ("systemd", "launchd"):
        for script in written(example(), units, tmp_path / units).rglob("*.sh"):
            subprocess.run(["sh", "-n", script], check=True)
    line = (tmp_path / "systemd" / "ioc" / "procserv.sh").read_text()
    told = subprocess.run(
        ["sh", "-c", line.replace("exec env", f"exec env {sys.executable} {TELL} /dev/stdout")],
        capture_output=True,
        text=True,
        check=True,
    )
    arguments = json.loads(told.stdout)["arguments"]
    assert "EPICS_CAS_INTF_ADDR_LIST=10.0.0.1 10.0.0.2" in arguments
    assert tuple(arguments[-len(COMMAND) :]) == COMMAND
    assert arguments[arguments.index("-c") + 1] == "/srv/at tpc"


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x3FF, exclude_categories=("C", "Z")), min_size=1) | (
    st.sampled_from(["~", "~/a b", "%h", "$HOME", "$$", "a'b", 'a"b', "\\", "a\\x20b", "; rm", "*", "-", "${X}", "a b"])
)


@settings(max_examples=30, deadline=None)
@given(words=st.lists(WORDS, min_size=1, max_size=5))
def test_an_agent_gives_every_word_to_the_program_as_it_is(
    words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Odd words, and ``~`` at the beginning of one, in the working directory and with the log of the topology."""
    home = tmp_path_factory.mktemp("home")
    topology = one(home, (sys.executable, str(TELL), str(home / "told"), *words), units="launchd")
    files = unit_files(topology, "launchd", ("x",), "/", {})
    script = plistlib.loads(files["127.0.0.1/attpc-ecc-C0.plist"].encode())["ProgramArguments"]
    subprocess.run(script, check=True, env={"HOME": str(home), "PATH": os.environ["PATH"]})
    told = json.loads((home / "told").read_text())
    assert told["directory"] == str(home / "wörk dir")
    assert told["arguments"] == [expanded(word, home) for word in words]
    assert (home / "log file").read_text() == "hello\n"


def expanded(word: str, home: Path) -> str:
    return f"{home}{word[1:]}" if word == "~" or word.startswith("~/") else word


def one(home: Path, command: tuple[str, ...], **changes: Any) -> Topology:
    """One ECC server with this command, all on this machine."""
    (home / "wörk dir").mkdir(exist_ok=True)
    host = {"host": "127.0.0.1", "port": 8083}
    server = {
        "name": "C0",
        "role": "cobo",
        "command": list(command),
        "work_dir": "~/wörk dir",
        "log_path": "~/log file",
    }
    return parse(
        yaml.safe_dump(
            {
                "experiment": "e1",
                "database": str(home / "runs.db"),
                "ssh": "local",
                "units": "systemd",
                "ecc_servers": [{**server, **host}],
                "data_routers": [{"name": "r0", **host, "port": 46005, "work_dir": "~/wörk dir"}],
                "data_sources": [{"id": "CoBo[0]", "ecc_server": "C0", "data_routers": ["r0"]}],
                **changes,
            },
            allow_unicode=True,
        ),
        "one.yaml",
    )


def test_the_usual_commands() -> None:
    """As the programs of the GET release of 2021 want them."""
    topology = example()
    assert command_of(topology, topology.ecc_servers[0]) == (
        *("getEccSoapServer", "--port", "8083", "--config-repo-url", "/Volumes/configs"),
    )
    router = ("dataRouter", "192.168.41.71:46003", "192.168.41.71:46005", "FDT", "FrameStorage")
    assert command_of(topology, topology.data_routers[-1]) == router


def test_what_cannot_be_started_is_refused() -> None:
    """Working directories; control ports that are another router's data port: all that is missing, with the remedy."""
    topology = load(EXAMPLE)
    first, *others = topology.data_routers
    exporters = [first.model_copy(update={"name": f"exporter{port}", "port": port}) for port in (46007, 46009)]
    topology = topology.model_copy(update={"data_routers": (first, *exporters, *others)})
    with pytest.raises(Refused) as refused:
        unit_files(topology, "systemd", COMMAND, "/", {})
    said = str(refused.value)
    for each in topology.data_routers:
        assert re.search(rf"\b{each.name}\b", said), each.name
    assert "`work_dir: /data`" in said
    assert "exporter46007 has no command, and the usual one would use the control port 46005, which is the" in said
    assert "exporter46009 has no command, and the usual one would use the control port 46007, which is the" in said


def test_one_machine_with_two_managers_is_refused() -> None:
    """Its folder has one install.sh."""
    topology = example(units="systemd")
    servers = (topology.ecc_servers[0].model_copy(update={"units": "launchd"}), *topology.ecc_servers[1:])
    with pytest.raises(Refused, match=r"192\.168\.41\.60 has both launchd and systemd"):
        unit_files(topology.model_copy(update={"ecc_servers": servers}), "systemd", COMMAND, "/", {})


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (1, 1), (2, 0), (3, 3)])
def test_launchd_does_not_repeat_an_error_in_the_configuration(tmp_path: Path, code: int, seen: int) -> None:
    """Exit code 2 of the IOC ends as a success, which is not started again; every other one as it is."""
    assert ended(ioc_agent(tmp_path, f"exit {code}"), tmp_path).wait(60) == seen


def test_launchd_ends_the_ioc_and_not_only_its_shell(tmp_path: Path) -> None:
    """SIGTERM goes on to the IOC, whose end is waited for."""
    agent = ioc_agent(tmp_path, "trap 'echo ended >ended; exit 0' TERM; echo >ready; while :; do sleep 0.05; done")
    process = ended(agent, tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert (tmp_path / "ended").read_text() == "ended\n"


def ioc_agent(folder: Path, script: str) -> list[str]:
    (folder / "Library" / "Logs").mkdir(parents=True)
    files = unit_files(example(), "launchd", ("sh", "-c", script), str(folder), {})
    return plistlib.loads(files["ioc/attpc-ioc.plist"].encode())["ProgramArguments"]


def ended(command: list[str], home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={"HOME": str(home), "PATH": os.environ["PATH"]})


def test_large_logs_are_rotated_while_they_are_written(tmp_path: Path) -> None:
    """Above 10 MB a log is copied and emptied; the last five stay; the program goes on writing at its end."""
    script = unit_files(one(tmp_path, ("x",)), "systemd", COMMAND, "/", {})["127.0.0.1/attpc-rotate-logs-127.0.0.1.sh"]
    log = tmp_path / "log file"
    with log.open("ab", buffering=0) as program:
        for number in range(7):
            program.write(b"%d" % number + b"x" * 10_000_001)
            subprocess.run(["sh", "-c", script], check=True, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})
            assert log.stat().st_size == 0
        program.write(b"small\n")
        subprocess.run(["sh", "-c", script], check=True, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})
    assert log.read_bytes() == b"small\n"
    kept = sorted(tmp_path.glob("log file.*"))
    assert [path.read_bytes()[:1] for path in kept] == [b"6", b"5", b"4", b"3", b"2"]


def installed(folder: Path, home: Path) -> list[str]:
    """Run install.sh with a stand-in for launchctl; returns what that was called with."""
    fakes = home / "fakes"
    fakes.mkdir(parents=True, exist_ok=True)
    (home / "calls").write_text("")
    (fakes / "launchctl").write_text(f'#!/bin/sh\necho "$*" >>{home}/calls\n')
    (fakes / "launchctl").chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{fakes}:{os.environ['PATH']}"}
    subprocess.run(["sh", folder / "install.sh"], check=True, env=environment)
    return (home / "calls").read_text().splitlines()


def test_two_folders_of_one_mac_and_a_server_that_is_renamed(tmp_path: Path) -> None:
    """Each folder rotates its own logs; what is not in a folder any more is ended and removed, and nothing else is."""
    home, folder = tmp_path / "home", tmp_path / "units"
    agents = home / "Library" / "LaunchAgents"
    home.mkdir()

    def install(name: str) -> list[str]:
        server = {"name": name, "role": "cobo", "host": "127.0.0.1", "log_path": f"~/Library/Logs/{name}.log"}
        source = {"id": "CoBo[0]", "ecc_server": name, "data_routers": ["r0"]}
        topology = one(home, ("x",), units="launchd", ecc_servers=[server], data_sources=[source])
        replace_files(folder, unit_files(topology, "launchd", COMMAND, "/", {}))
        return [*installed(folder / "ioc", home), *installed(folder / "127.0.0.1", home)]

    install("C0")
    (agents / "attpc-mine.plist").write_text("of the user")
    for machine, log in (("ioc", "attpc-ioc.log"), ("127.0.0.1", "C0.log")):
        assert log in (agents / f"attpc-rotate-logs-{machine}.sh").read_text()
        rotation = plistlib.loads((agents / f"attpc-logs-{machine}.plist").read_bytes())
        assert f"attpc-rotate-logs-{machine}.sh" in rotation["ProgramArguments"][2]
    calls = install("D0")
    assert sorted(path.name for path in agents.iterdir()) == [
        "attpc-ecc-D0.plist",
        "attpc-ioc.plist",
        "attpc-logs-127.0.0.1.plist",
        "attpc-logs-ioc.plist",
        "attpc-mine.plist",
        "attpc-rotate-logs-127.0.0.1.sh",
        "attpc-rotate-logs-ioc.sh",
        "attpc-router-r0.plist",
    ]
    domain = f"gui/{os.getuid()}"
    assert [call for call in calls if "bootout" in call and "logs" not in call] == [f"bootout {domain}/attpc-ecc-C0"]
    assert f"bootstrap {domain} {agents}/attpc-logs-ioc.plist" in calls
