"""The commands of ``attpc-ioc`` that end by themselves: output, exit codes, errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from ioc import __version__
from ioc.cli.main import main
from ioc.topology.load import load

EXAMPLE = Path(__file__).parents[2] / "topology.yaml"


def call(*arguments: object, answers: str = "") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=answers)


def test_version() -> None:
    """--version says the version and ends with 0."""
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"attpc-ioc, version {__version__}\n")


@pytest.mark.parametrize("command", ["", "run", "demo", "check", "pvs", "init", "screens", "runs", "runs list"])
def test_help(command: str) -> None:
    """--help and -h of every command explain it on stdout and end with 0."""
    for option in ("--help", "-h"):
        result = call(*command.split(), option)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: {' '.join(['main', *command.split()])}")
        assert len(result.stdout.splitlines()) > 4
        assert result.stderr == ""


@pytest.mark.parametrize("command", ["", "runs"])
def test_help_imports_no_command(command: str) -> None:
    """What lists commands does not wait for what only they need, such as pydantic, paramiko and the SSH hosts."""
    script = "import sys; from ioc.cli.main import main; main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert modules.isdisjoint({"pydantic", "paramiko", "caproto", "zeep", "asyncio", "ioc.cli.gather", "ioc.hosts"})


@pytest.mark.parametrize("name", ["main", "runs"])
def test_help_says_of_each_command_what_the_command_says(name: str) -> None:
    """The list of commands is as click writes it with all of them imported."""
    group = main if name == "main" else main.get_command(click.Context(main), name)
    assert isinstance(group, click.Group)
    ours, clicks = (click.HelpFormatter(width=400) for _ in range(2))
    group.format_commands(click.Context(group), ours)
    click.Group.format_commands(group, click.Context(group), clicks)
    assert ours.getvalue() == clicks.getvalue()


WRONG_USAGE = [
    ("nope",),
    ("run", "--foo"),
    ("run", "--log-level", "loud"),
    ("check", "extra"),
    ("demo", "--speed", "0"),
    ("init", "--cobos", "0"),
    ("init", "--cobos", "200", "--experiment", "e"),
    ("runs", "nope"),
    ("demo", "--speed", "nan"),
    ("demo", "--directory", ""),
    ("check", "--topology", ""),
    ("screens", "--output", ""),
    ("archiver", "--output", ""),
    ("runs", "list", "--database", ""),
    ("runs", "export", "--output", ""),
    ("runs", "show", "1_0"),
    ("runs", "show", "\u0663"),
    ("runs", "show", "1e3"),
    ("runs", "plot", "9" * 30),
    ("browse", "--port", "80_01"),
    ("web", "--port", "80_01"),
    ("web", "--login-header", "two words"),
    ("runs", "edit", "0", "--database", "x", "--class", "two\nlines"),
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """Wrong usage ends with 2 and says in one line on stderr what is wrong and where help is."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("--help)")


NASTY = [
    "",
    "-",
    "--",
    ".",
    "/proc",
    "/dev/null",
    "/dev/full",
    "nowhere/x",
    "two\nlines",
    "\udcff",
    "x" * 5000,
    "a\0b",
    "nan",
]
COMMANDS = [
    *(("check", "--topology"), ("pvs", "--topology"), ("screens", "--topology"), ("archiver", "--topology")),
    *(("screens", "--output"), ("archiver", "--output"), ("demo", "--speed"), ("run", "--log-level")),
    *(
        ("runs", "list", "--database"),
        ("runs", "list", "--experiment"),
        ("runs", "show"),
        ("runs", "edit", "0", "--set"),
    ),
    *(("runs", "export", "--since"), ("runs", "export", "--statistic"), ("runs", "export")),
    *(("runs", "export", "--format"), ("runs", "samples", "0", "--observable"), ("browse", "--database")),
    *(("init", "--output"), ("init", "--cobos"), (), ("runs",)),
]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: ascii(value[:8]))
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_whatever_is_typed_is_answered_in_one_line(
    command: tuple[str, ...], value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that can stand on the command line gives a traceback: it works, or there is one line and 1 or 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "topology.yaml").write_bytes(EXAMPLE.read_bytes())
    result = call(*command, value)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in {0, 1, 2}
    if result.exit_code and "Usage: " not in result.stderr:  # the help, where there is no command
        lines = [line for line in result.stderr.splitlines() if not line.startswith("Name of the experiment")]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")


def home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A home with all the SSH files that the example names."""
    ssh = folder / "home" / ".ssh"
    ssh.mkdir(parents=True)
    for name in ("id_ed25519", "known_hosts", "config"):
        (ssh / name).touch()
    monkeypatch.setenv("HOME", str(ssh.parent))
    return ssh


def test_check_a_good_topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """check of a file without fault says how much there is and ends with 0."""
    home(monkeypatch, tmp_path)
    result = call("check", "--topology", EXAMPLE)
    assert result.exit_code == 0
    assert "is fine: 12 ECC servers, 12 data routers, 12 data sources" in result.stdout
    assert result.stderr == ""


def test_check_says_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is strange is a line each on stderr, with file and line; the end is 0 all the same."""
    (home(monkeypatch, tmp_path) / "id_ed25519").unlink()
    path = tmp_path / "topology.yaml"
    path.write_text(EXAMPLE.read_text().replace("transition: 180", "transition: 5"))
    result = call("check", "--topology", path)
    assert result.exit_code == 0
    assert f"{path} can be used, with 2 warnings: 12 ECC servers" in result.stdout
    numbers = {line.split(":")[0]: n for n, line in enumerate(path.read_text().splitlines(), 1)}
    key, transition = result.stderr.splitlines()
    assert key.startswith(f"warning: {path}:{numbers['ssh']}: ssh.key is '{tmp_path}/home/.ssh/id_ed25519', but should")
    assert transition.startswith(f"warning: {path}:{numbers['timeouts']}: timeouts.transition is 5")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_database_that_cannot_be(command: str, tmp_path: Path) -> None:
    """A directory as the database is a fault of the topology, named with its line beside the others."""
    path = tmp_path / "topology.yaml"
    path.write_text(EXAMPLE.read_text().replace("database: runs.db", "database: nowhere/runs.db\nnope: 1"))
    result = call(command, "--topology", path)
    assert (result.exit_code, result.stdout) == (2, "")
    database, unknown = result.stderr.splitlines()
    assert "database is 'nowhere/runs.db', but must be in an existing directory" in database
    assert "nope is not a known key" in unknown
    assert call("pvs", "--topology", EXAMPLE).exit_code == 0, "what only reads needs no database"


TOPOLOGY_COMMANDS = [
    *("check", "pvs", "run", "screens", "archiver", "browse", "web"),
    *("runs list", "runs show 0", "runs export", "runs samples 0", "runs plot 0", "runs diff 0 1"),
    "runs edit 0 --title x",
]


@pytest.mark.parametrize("command", [*TOPOLOGY_COMMANDS, "demo"])
def test_a_missing_topology(command: str, tmp_path: Path) -> None:
    """A file that is not there ends with 2 and one line, which says how to get one."""
    result = call(*command.split(), "--topology", tmp_path / "nowhere.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {tmp_path}/nowhere.yaml: does not exist: "
        "`attpc-ioc init` writes one from a few answers, `--topology FILE` names another\n"
    )


@pytest.mark.parametrize("command", TOPOLOGY_COMMANDS)
def test_an_empty_directory(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is, every command that needs a topology says what to do, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    result = call(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("error: topology.yaml: does not exist")
    assert "attpc-ioc init" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["check", "pvs", "run", "demo"])
def test_a_broken_topology(command: str, tmp_path: Path) -> None:
    """All faults of a file are said, a line each with file and line number, and the end is 2."""
    document = yaml.safe_load(EXAMPLE.read_text())
    document["prefix"] = "A B"
    document["ecc_servers"][1]["name"] = document["ecc_servers"][0]["name"]
    document["data_routers"][0]["port"] = 99999
    document["surprise"] = 1
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(document, sort_keys=False))
    result = call(command, "--topology", broken)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) >= 4
    assert all(line.startswith(f"error: {broken}:") for line in lines)
    for fault in ("prefix", "CoBo0", "99999", "surprise"):
        assert any(fault in line for line in lines), fault


def test_the_list_of_pvs() -> None:
    """pvs and pvs --json list the same PVs, with type, access and description."""
    text = call("pvs", "--topology", EXAMPLE)
    described = json.loads(call("pvs", "--json", "--topology", EXAMPLE).stdout)
    assert text.exit_code == 0
    rows = [line.split(maxsplit=1) for line in text.stdout.splitlines()]
    assert [name for name, _ in rows] == [pv["name"] for pv in described]
    by_name = {pv["name"]: pv for pv in described}
    assert by_name["ATTPC:Run:Start"] == {
        "name": "ATTPC:Run:Start",
        "type": "command",
        "writable": True,
        "units": "",
        "description": "Start a run of the whole system",
        "states": ["Done", "Busy"],
    }
    assert by_name["ATTPC:State"]["states"][0] == "Off"
    assert by_name["ATTPC:Router:data0:DiskFreeGB"]["units"] == "GB"
    assert any(
        line.startswith("ATTPC:Run:Start ") and line.endswith("W  Start a run of the whole system")
        for line in text.stdout.splitlines()
    )


def test_init_writes_a_topology_that_is_fine(tmp_path: Path) -> None:
    """init asks what it must know; what it writes passes check; it overwrites nothing."""
    output = tmp_path / "new.yaml"
    result = call("init", "--output", output, answers="e23\n3\ny\nn\n10.0.0.60\n10.0.1.60\n")
    assert result.exit_code == 0, result.stderr
    topology = load(output)
    assert topology.experiment == "e23"
    assert [server.host for server in topology.ecc_servers] == ["10.0.0.60", "10.0.0.61", "10.0.0.62", "10.0.0.63"]
    assert call("check", "--topology", output).exit_code == 0
    before = output.read_text()
    again = call("init", "--output", output, answers="e24\n\n\n\n\n\n")
    assert (again.exit_code, again.stdout) == (1, ""), "it asks nothing first"
    assert again.stderr.splitlines() == [f"error: {output} exists and is not overwritten: choose another file"]
    assert output.read_text() == before


def test_init_asks_again_with_the_reason(tmp_path: Path) -> None:
    """An impossible answer is refused at once, and asked for again; the dialogue goes on to observables and access."""
    output = tmp_path / "new.yaml"
    asked = (
        *("a/b", "e23"),  # experiment
        *("0", "many", "3"),  # CoBos
        *("maybe", "y", "n"),
        *("ecc.lab", "10.0.0.253", "10.0.0.60"),
        "10.0.1.60",
        *("a b", "daq"),  # SSH user
        *("configs", "/configs"),
        "~/copies",
        *("10.0.0.5/24", "10.0.0.0/24"),
        *("gas pressure", "pressure", "GAS P", "GAS:P", "complex", "float", "millibars", "mbar", "Gas"),
        *("pressure", "gas", "", "enum", "string", "", "", ""),
    )
    result = call("init", "--output", output, answers="\n".join(asked) + "\n")
    assert result.exit_code == 0, result.stderr
    for reason in (
        "experiment is 'a/b', but must be 1 to 100 printable characters",
        "is not in the range 1<=x<=100",
        "the first ECC server address is 'ecc.lab', but must be an IPv4 address",
        "the last of 4 would end in 256",
        "ssh.username is 'a b', but must be the name of an account",
        "defaults.ecc_servers.config_root is 'configs', but must be a path on that host",
        "is '10.0.0.5/24', but must be 10.0.0.0/24 for the whole network",
        "observables[0].name is 'gas pressure', but must be 1 to 30 of",
        "observables[0].pv is 'GAS P', but must be a PV name",
        "observables[0].units is 'millibars', but must have at most 8 characters",
        "observables[1].name is 'pressure', but must be another name",
        "'enum' is not one of 'float', 'integer', 'string'",
    ):
        assert reason in result.output, reason
    topology = load(output)
    assert topology.ssh.username == "daq"  # type: ignore[union-attr]
    assert {(each.config_root, each.config_backup_root) for each in topology.ecc_servers} == {("/configs", "~/copies")}
    assert [(each.name, each.pv, each.type.value, each.units, each.label) for each in topology.observables] == [
        ("pressure", "GAS:P", "float", "mbar", "Gas"),
        ("gas", None, "string", "", ""),
    ]
    assert topology.access is not None
    assert topology.access[0].hosts == ("127.0.0.1", "10.0.0.0/24")
    assert call("check", "--topology", output).exit_code == 0


def test_init_asks_nothing_if_the_first_six_are_given(tmp_path: Path) -> None:
    """A script needs no input; what it does not give is left out of the file."""
    options = ("--experiment", "e", "--cobos", "2", "--no-mutant", "--one-ecc-server-each")
    addresses = ("--first-ecc", "10.0.0.1", "--first-router", "10.0.0.1", "--ssh-user", "local")
    result = call("init", "--output", tmp_path / "t.yaml", *options, *addresses)
    assert (result.exit_code, result.output.count("\n")) == (0, 1), result.output
    topology = load(tmp_path / "t.yaml")
    assert (topology.ssh, topology.access, topology.observables) == ("local", None, ())


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"--ssh-user": "a b"}, "a b"),
        ({"--config-root": "configs"}, "configs"),
        ({"--writers": "here"}, "here"),
        ({"--first-ecc": "somewhere"}, "somewhere"),
        ({"--first-router": "10.0.0.250"}, "10.0.0.250"),
        ({"--experiment": "a/b"}, "experiment"),
        ({"--prefix": "A B"}, "prefix"),
    ],
)
def test_init_with_an_impossible_answer(tmp_path: Path, answers: dict[str, str], said: str) -> None:
    """An answer that cannot be used is wrong usage, named in one line; nothing is written."""
    given = {
        "--experiment": "e",
        "--cobos": "11",
        "--first-ecc": "10.0.0.1",
        "--first-router": "10.0.0.1",
        **answers,
    }
    options = [word for pair in given.items() for word in pair]
    result = call("init", "--output", tmp_path / "t.yaml", "--mutant", "--one-ecc-server-each", *options)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_init_without_answers_is_aborted(tmp_path: Path) -> None:
    """End of input instead of an answer ends with 1."""
    result = call("init", "--output", tmp_path / "t.yaml")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: aborted"
