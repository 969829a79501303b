"""The loader: what it accepts, and every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.errors import ConfigurationError, Problem
from ioc.model import ConfigChoice, LinkType, Role, ValueType
from ioc.topology.load import load, parse

EXAMPLE = Path(__file__).parents[2] / "topology.yaml"

GOOD = """\
prefix: "T:"
experiment: e1
database: runs.db
ecc_servers:
  - {name: CoBo0, role: cobo, host: 10.0.0.1}
  - name: MuTAnT
    role: mutant
    host: 10.0.0.2
    config: {describe: d, prepare: p, configure: c}
data_routers:
  - {name: data0, host: 10.0.0.1}
  - {name: trigger, host: 10.0.0.2, port: 46007, type: FDT}
data_sources:
  - {id: "CoBo[0]", ecc_server: CoBo0, data_routers: [data0]}
  - {id: "Mutant[master]", ecc_server: MuTAnT, data_routers: [trigger]}
order:
  start: [cobo, mutant]
ssh:
  username: attpc
polling: {ecc: 1}
runs: {require: [pressure], settle_seconds: 0}
observables:
  - {name: pressure, pv: "GAS:P", type: float}
  - {name: target_gas, type: string}
access:
  - {pvs: "*", hosts: [127.0.0.1], write: true}
"""


def problems_of(text: str) -> list[tuple[int, str]]:
    """Line and text of every problem."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "t.yaml")
    assert all(problem.file == "t.yaml" for problem in caught.value.problems)
    return [(problem.line, problem.text) for problem in caught.value.problems]


def outcome(text: str) -> tuple[Problem, ...]:
    """The problems of a text; none if it loads. Any other error goes through."""
    try:
        parse(text, "t.yaml")
    except ConfigurationError as error:
        return error.problems
    return ()


def test_good_file_becomes_the_model() -> None:
    """A correct file loads, with defaults where it says nothing."""
    topology = parse(GOOD, "t.yaml")
    assert topology.ecc_servers[0].port == 8083
    assert topology.ecc_servers[1].role is Role.MuTAnT
    assert topology.ecc_servers[1].config is not None
    assert topology.ecc_servers[1].config.choice == ConfigChoice("d", "p", "c")
    assert topology.data_routers[1].type is LinkType.FDT
    assert topology.order.stop == (Role.MuTAnT, Role.CoBo)
    assert topology.polling.ecc == 1.0
    assert topology.observables[1].type is ValueType.String
    assert topology.timeouts.transition == 180
    assert topology.runs.silent_seconds == 10


def test_example_is_a_full_attpc() -> None:
    """The example at the root loads and has the names that the demo shows."""
    topology = load(EXAMPLE)
    assert [server.name for server in topology.ecc_servers] == [*(f"CoBo{n}" for n in range(11)), "MuTAnT"]
    assert [router.name for router in topology.data_routers] == [*(f"data{n}" for n in range(11)), "mutant"]
    assert {router.type for router in topology.data_routers[:11]} == {LinkType.TCP}
    assert topology.data_routers[11].type is LinkType.FDT
    assert topology.runs.require == ("pressure",)
    assert {o.name for o in topology.observables if o.pv} == {"pressure", "b_field", "v_thgem", "v_mm", "v_cathode"}


# (what is replaced, by what, line, part of the message)
BROKEN = [
    # values
    ('prefix: "T:"', 'prefix: "T T"', 1, "prefix is 'T T', but must be 1 to 20 of A-Z a-z 0-9 _ : -"),
    ('prefix: "T:"', "prefix: 12", 1, "prefix is 12, but must be text (put it in quotes)"),
    ("experiment: e1", "experiment: 18008", 2, "experiment is 18008, but must be text (put it in quotes)"),
    ("experiment: e1", "experiment: true", 2, "experiment is true, but must be text (put it in quotes)"),
    ("experiment: e1", "experiment: 018008", 2, "experiment is 018008, but must be text (put it in quotes)"),
    ("experiment: e1", "experiment: a/b", 2, "experiment is 'a/b', but must be 1 to 100 printable characters"),
    ("experiment: e1", "experiment:\n  a/b", 3, "experiment is 'a/b', but must be"),
    ("experiment: e1", "experiment:", 2, "experiment is empty, but must be text"),
    ("experiment: e1\n", "", 1, "the file has no 'experiment', but must have one"),
    ("database: runs.db", 'database: ""', 3, "database is '', but must be a path on this machine"),
    ("name: CoBo0, role", 'name: "CoBo[0]", role', 5, "ecc_servers[0].name is 'CoBo[0]', but must be 1 to 30 of A-Z"),
    ("role: cobo", "role: COBO", 5, "ecc_servers[0].role is 'COBO', but must be cobo or mutant"),
    ("host: 10.0.0.1}\n  - name", "host: 10.0.0.300}\n  - name", 5, "'10.0.0.300', but must be an IP address or a h"),
    ("host: 10.0.0.1}\n  - name", "host: 10.0.0.1, port: '8083'}\n  - name", 5, "'8083', but must be a whole number"),
    ("host: 10.0.0.1}\n  - name", "host: 10.0.0.1, port: 8083.0}\n  - name", 5, "8083.0, but must be a whole number"),
    ("host: 10.0.0.1}\n  - name", "port: 8083}\n  - name", 5, "ecc_servers[0] has no 'host', but must have one"),
    ("port: 46007", "port: 70000", 12, "data_routers[1].port is 70000, but must be 1 to 65535"),
    ("port: 46007", "port: 0", 12, "data_routers[1].port is 0, but must be 1 to 65535"),
    ("port: 46007", "port: true", 12, "data_routers[1].port is true, but must be a whole number"),
    ("type: FDT", "type: fdt", 12, "data_routers[1].type is 'fdt', but must be TCP, FDT, ICE or ZBUF"),
    ("type: FDT", "work_dir: data", 12, "data_routers[1].work_dir is 'data', but must be a path on that host"),
    ("prepare: p", "prepare: a&b", 9, "ecc_servers[1].config.prepare is 'a&b', but must be 1 to 120 letters"),
    ("prepare: p, ", "", 9, "ecc_servers[1].config has no 'prepare', but must have one"),
    ('id: "CoBo[0]"', 'id: "CoBo 0"', 14, "data_sources[0].id is 'CoBo 0', but must be the id in the .xcfg file"),
    ("data_routers: [data0]", "data_routers: []", 14, "data_sources[0].data_routers is empty, but must have at least"),
    ("data_routers: [data0]", "data_routers: data0", 14, "data_sources[0].data_routers is 'data0', but must be a list"),
    ("  username: attpc", "  port: 99999", 19, "ssh.port is 99999, but must be 1 to 65535"),
    ("ssh:\n  username: attpc", "ssh: remote", 18, "ssh is 'remote', but must be local or a mapping (key: value)"),
    ("ssh:\n  username: attpc", "ssh: {unknown_hosts: ask}", 18, "ssh.unknown_hosts is 'ask', but must be refuse or"),
    ("polling: {ecc: 1}", "polling: {ecc: 0}", 20, "polling.ecc is 0, but must be more than 0 and at most 86400"),
    ("polling: {ecc: 1}", "polling: {ecc: .nan}", 20, "polling.ecc is .nan, but must be more than 0"),
    ("polling: {ecc: 1}", 'polling: {ecc: "1"}', 20, "polling.ecc is '1', but must be a number without quotes"),
    ("polling: {ecc: 1}", "polling: 1", 20, "polling is 1, but must be a mapping (key: value)"),
    ("settle_seconds: 0", "settle_seconds: -1", 21, "runs.settle_seconds is -1, but must be 0 to 3600 seconds"),
    ("settle_seconds: 0", "min_disk_free_gb: .inf", 21, "runs.min_disk_free_gb is .inf, but must be a finite number"),
    ("settle_seconds: 0", "silent_seconds: 0", 21, "runs.silent_seconds is 0, but must be more than 0"),
    ("settle_seconds: 0", "reset_mutant_before_start: 1", 21, "start is 1, but must be true or false"),
    ('pv: "GAS:P"', 'pv: "GAS P"', 23, "observables[0].pv is 'GAS P', but must be a PV name"),
    ('pv: "GAS:P"', f"label: {'x' * 41}", 23, "but must have at most 40 characters (has 41)"),
    ('pv: "GAS:P"', 'label: "a\\nb"', 23, "label is 'a\\nb', but must be one line of at most 40 printable characters"),
    ('pv: "GAS:P"', 'label: "a\\0b"', 23, "label is 'a\\x00b', but must be one line of at most 40 printable"),
    ('pv: "GAS:P"', 'units: "m\\tb"', 23, "units is 'm\\tb', but must be one line of at most 8 printable characters"),
    ('pv: "GAS:P"', 'comment: "a\\eb"', 23, "comment is 'a\\x1bb', but must be printable text"),
    ('pv: "GAS:P"', 'label: "a\\ud83d"', 23, "label is 'a\\ud83d', but must be text without half characters"),
    ('pv: "GAS:P"', "max_rate: 0", 23, "observables[0].max_rate is 0, but must be more than 0"),
    ('pv: "GAS:P", type: float', "type: enum", 23, "observables[0].type is 'enum', but must be float, integer or"),
    ("hosts: [127.0.0.1]", "hosts: [daq]", 26, "access[0].hosts[0] is 'daq', but must be an IP address or a network"),
    ("hosts: [127.0.0.1]", "hosts: []", 26, "access[0].hosts is empty, but must have at least one entry"),
    ("write: true", "write: 'yes'", 26, "access[0].write is 'yes', but must be true or false"),
    # unknown keys
    ("prefix:", "prefx:", 1, "prefx is not a known key; did you mean 'prefix'?"),
    ("prefix:", '"":', 1, "'' is not a known key; known are access,"),
    ("role: cobo, host", '"": cobo, host', 5, "ecc_servers[0].'' is not a known key"),
    ("role: cobo, host", "role: cobo, hots", 5, "ecc_servers[0].hots is not a known key; did you mean 'host'?"),
    ("  username: attpc", "  zzz: attpc", 19, "ssh.zzz is not a known key; known are config, key, known_hosts, port"),
    ("  username: attpc", "  passphrase: x", 19, "ssh.passphrase is not a known key"),
    ("order:\n  start", "order:\n  Start", 17, "order.Start is not a known key; did you mean 'start'?"),
    ("config: {describe", "config: {descibe", 9, "config.descibe is not a known key; did you mean 'describe'?"),
    # names and references
    ("name: MuTAnT", "name: CoBo0", 6, "ecc_servers[1].name is 'CoBo0', but must be another name: ecc_servers[0]"),
    ("name: MuTAnT", "name: cobo0", 6, "but must differ from 'CoBo0' of ecc_servers[0] by more than"),
    ("name: trigger", "name: DATA0", 12, "data_routers[1].name is 'DATA0', but must differ from 'data0' of data"),
    ('"Mutant[master]"', '"CoBo[0]"', 15, "data_sources[1].id is 'CoBo[0]', but must be another id"),
    ("name: target_gas", "name: pressure", 24, "observables[1].name is 'pressure', but must be another name"),
    ("host: 10.0.0.2\n", "host: 10.0.0.1\n", 8, "ecc_servers[1] is at 10.0.0.1:8083, but must have its own address"),
    ("host: 10.0.0.2, port: 46007", "host: 10.0.0.1", 12, "data_routers[1] is at 10.0.0.1:46005, but must have its"),
    ("ecc_server: CoBo0", "ecc_server: cobo0", 14, "ecc_server is 'cobo0', but must be one of ecc_servers; did you"),
    ("[trigger]", "[triger]", 15, "data_routers[0] is 'triger', but must be one of data_routers; did you mean 'trig"),
    ("[trigger]", "[data0]", 12, "data_routers[1] is trigger, which no source uses, but one of data_sources must name"),
    ("[trigger]", "[trigger, trigger]", 15, "repeats 'trigger', but a source must name a router only once"),
    ("ecc_server: MuTAnT", "ecc_server: CoBo0", 6, "ecc_servers[1] is MuTAnT, which no source uses, but"),
    ("start: [cobo, mutant]", "start: [cobo]", 17, "order.start is [cobo], but must also have mutant"),
    ("start: [cobo, mutant]", "start: [cobo, mutant, cobo]", 17, "but must have cobo only once"),
    ("start: [cobo, mutant]", "start: []", 17, "order.start is empty, but must have at least one entry"),
    ("require: [pressure]", "require: [temperature]", 21, "'temperature', but must be one of observables; known are"),
    # YAML itself
    ("database: runs.db", "prefix: x", 3, "prefix is given twice (first in line 1), but must be given once"),
    ("role: cobo, host", "role: cobo, role: cobo, host", 5, "ecc_servers[0].role is given twice"),
    ("experiment: e1", "12: e1", 2, "the file has a key '12', but keys must be text"),
    ("experiment: e1", "? [a]\n: e1", 2, "the file has a key that is a list or a mapping, but keys must be text"),
    ("experiment: e1", "experiment: !!python/name:os.system x", 2, "experiment has the tag tag:yaml.org,2002:python"),
    ("port: 46007", "port: !!int '46007'", 12, "data_routers[1].port has the tag"),
    ('experiment: e1\ndatabase: runs.db', 'experiment: &a e1\ndatabase: *a', 2, "database is given by an alias"),
    ("port: 46007", "port: 0b_", 12, "data_routers[1].port is '0b_', but must be a whole number in decimal digits"),
    ("port: 46007", f"port: {'9' * 5000}", 12, "data_routers[1].port has more digits than a number may have"),
    ("ssh:\n  username", "ssh:\n\tusername", 19, "is not valid YAML: has a tab, but must have spaces there"),
    ("experiment: e1", "experiment:\te1", 2, "is not valid YAML: has a tab, but must have spaces there"),
    ("experiment: e1", "experiment: @e1", 2, "while scanning for the next token found character '@'"),
    ("access:\n", "access: [\n", 26, "is not valid YAML"),
    ("experiment: e1", "experiment: 'e1", 27, "found unexpected end of stream (begun in line 2)"),
    ("experiment: e1", "experiment: e1\n---\na: 1", 3, "is not valid YAML: expected a single document"),
    ("experiment: e1", "experiment: e\x07", 2, "has the character '\\x07', which YAML does not allow"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), BROKEN)
def test_each_fault_is_named_with_its_line(old: str, new: str, line: int, message: str) -> None:
    """A file with one fault is refused with the line, what it is and what it should be."""
    assert GOOD.count(old) == 1, f"the table must say which of several {old!r} it means"
    found = problems_of(GOOD.replace(old, new))
    assert any(at == line and message in text for at, text in found), found


def test_all_faults_are_reported_at_once() -> None:
    """Faults of the YAML, of the schema and between sections come together, in the order of their lines."""
    text = (
        GOOD.replace("port: 46007", "port: 70000")
        .replace("ecc_server: CoBo0", "ecc_server: CoBo7")
        .replace("database: runs.db", "database: runs.db\nexperiment: e2")
        .replace("role: mutant", "rolle: mutant")
    )
    found = problems_of(text)
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    expected = ["given twice", "rolle is not a known key; did you mean 'role'?", "has no 'role'", "70000", "'CoBo7'"]
    assert all(any(part in text for _, text in found) for part in expected), found


def test_the_comment_of_an_observable_may_have_lines() -> None:
    """It is for readers, and a block of YAML text ends with a line end."""
    comment = (
        parse(GOOD.replace('pv: "GAS:P"', 'pv: "GAS:P", comment: "inlet\\nof P10 \u03bc\\n"'), "t.yaml")
        .observables[0]
        .comment
    )
    assert comment == "inlet\nof P10 \u03bc\n"


def test_a_list_whose_entries_are_all_wrong_is_not_called_empty() -> None:
    """Each entry has its fault; that no valid one is left is none."""
    found = problems_of(GOOD.replace("host: 10.0.0.", "hostt: 10.0.0."))
    assert any("hostt is not a known key" in text for _, text in found)
    assert not [text for _, text in found if "at least one entry" in text]


def test_overlong_pv_name_is_refused() -> None:
    """The longest PV name that a component makes must stay under 60 characters."""
    text = GOOD.replace('"T:"', f'"{"P" * 20}"').replace("trigger", "r" * 17)
    said = "of 60 characters, but it must have at most 59"
    assert any(line == 12 and "makes the PV name" in text and said in text for line, text in problems_of(text))
    assert parse(text.replace("r" * 17, "r" * 16), "t.yaml").data_routers[1].name == "r" * 16


@pytest.mark.parametrize("text", ["", "# only a comment\n", "[]", "just words", "null", "3.5"])
def test_file_that_is_no_mapping_is_refused(text: str) -> None:
    """An empty file, a list or a lone value is refused with one problem."""
    [(line, message)] = problems_of(text)
    assert line == 1
    assert "must be a mapping with the keys of a topology" in message


def test_deep_nesting_is_refused() -> None:
    """Nesting that would exhaust the parser is a problem of the file, not of the program."""
    [(_, message)] = problems_of("[" * 5000)
    assert "nested too deeply" in message


def test_aliases_cannot_blow_up_the_file() -> None:
    """A file whose aliases would multiply to billions of values is refused in no time."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert any("alias" in message for _, message in problems_of("\n".join(lines)))


def test_unreadable_files_are_configuration_errors(tmp_path: Path) -> None:
    """A missing file, a directory and a file that is not UTF-8 are refused with a sentence."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"prefix: x\nexperiment: \xff\n")
    for path, line, message in [
        (tmp_path / "none.yaml", 0, "does not exist: `attpc-ioc init` writes one"),
        (Path("/dev/zero"), 0, "has more than 4000000 bytes, but must be a topology file"),
        (tmp_path, 0, "cannot be read (Is a directory)"),
        (Path("a\0b"), 0, "cannot be read (embedded null byte)"),
        (binary, 2, "not UTF-8"),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        [problem] = caught.value.problems
        assert (problem.file, problem.line) == (str(path), line)
        assert message in problem.text


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths on this machine are taken from the folder of the file and from the home; those on hosts are not touched."""
    monkeypatch.setenv("HOME", "/home/shift")
    file = tmp_path / "t.yaml"
    text = GOOD.replace("username: attpc", "username: attpc\n  key: keys/id")
    text = text.replace("port: 46007", "work_dir: ~/data, ssh: {key: other/id}, port: 46007")
    file.write_text(text)
    topology = load(file)
    assert topology.database == str(tmp_path / "runs.db")
    assert topology.ssh != "local"
    assert topology.ssh.key == str(tmp_path / "keys/id")
    assert topology.ssh.known_hosts == "/home/shift/.ssh/known_hosts"
    router = topology.data_routers[1]
    assert router.work_dir == "~/data"
    assert router.ssh is not None
    assert router.ssh != "local"
    assert router.ssh.key == str(tmp_path / "other/id")
    assert router.ssh.model_fields_set == {"key"}


@settings(deadline=None, max_examples=300)
@given(st.text() | st.text(alphabet="ab:-[]{}#&*!|>'\"%@`? \n\t0123456789_.e~,"))
def test_any_text_is_refused_or_loaded(text: str) -> None:
    """Whatever a file has in it, the loader raises nothing but ConfigurationError."""
    assert all(problem.text for problem in outcome(text))


_LINES = GOOD.splitlines()


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, len(_LINES) - 1), st.integers(0, 40), st.text(max_size=6)), min_size=1, max_size=4
    )
)
def test_damaged_files_are_refused_or_loaded(damage: list[tuple[int, int, str]]) -> None:
    """A good file damaged at random places gives a model or problems within the lines of the file."""
    lines: list[str] = list(_LINES)
    for index, column, text in damage:
        lines[index] = lines[index][:column] + text + lines[index][column + len(text) :]
    text = "\n".join(lines)
    assert all(1 <= problem.line <= len(text.splitlines()) + 1 for problem in outcome(text))


@pytest.mark.parametrize(
    "text",
    [
        GOOD + f"record: {'x' * 1_000_000}\n",
        GOOD + f"timeouts: {{state: {'9' * 4_000}}}\n",
        GOOD + f"'{'k' * 1_000}': 1\n",
        GOOD.replace("[pressure]", "[nothing]").replace(
            "access:", "".join(f"  - {{name: of_{n}, type: float}}\n" for n in range(1000)) + "access:"
        ),
    ],
    ids=["text", "number", "key", "names"],
)
def test_a_long_error_is_cut(text: str) -> None:
    """Whatever is wrong, its error is a line that can be read, with the place and what must be."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "t.yaml")
    for problem in caught.value.problems:
        assert len(str(problem)) < 800
        assert str(problem).startswith(f"t.yaml:{problem.line}: ")
        assert "must" in str(problem) or "known" in str(problem)
