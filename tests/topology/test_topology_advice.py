"""What is no fault, but hardly meant, is a warning; what never works is refused."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from ioc.errors import ConfigurationError
from ioc.topology.create import Answers, create
from ioc.topology.load import examine
from tests.topology.test_topology_load import EXAMPLE, GOOD, problems_of

LINES = GOOD.splitlines()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the topology is, with a home that has all SSH files."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "id_ed25519.pub", "known_hosts", "config"):
        (tmp_path / "home" / ".ssh" / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def examined(folder: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, kind and text of everything that is found in a topology."""
    path = folder / "topology.yaml"
    path.write_text(text)
    try:
        return [(each.line, "warning", each.text) for each in examine(path).warnings]
    except ConfigurationError as error:
        return [(each.line, "error", each.text) for each in error.problems]


def test_what_is_usual_has_no_warning(folder: Path) -> None:
    """The example, what `init` writes and the file of these tests are fine."""
    assert examined(folder, GOOD) == []
    assert examined(folder, EXAMPLE.read_text()) == []
    for single in (False, True):
        for mutant in (False, True):
            assert examined(folder, create(Answers("e1", mutant=mutant, single_ecc_server=single))) == []


CONFIG = "config: {describe: d, prepare: p, configure: c}"
DATABASE = "database: runs.db"

# (what is replaced, by what, line, part of the message)
STRANGE = [
    ('prefix: "T:"', "prefix: T", 1, "prefix is 'T', but should end with ':'"),
    # configurations
    (CONFIG, CONFIG.replace(" c}", " 2.5_bar}"), 9, "config.configure is '2.5_bar', but should have no dot"),
    (CONFIG, CONFIG.replace(" c}", " a b}"), 9, "config.configure is 'a b', but should have no space: the ECC server"),
    (CONFIG, "config_root: /a b", 9, "config_root is '/a b', but should have no space: the ECC server"),
    (CONFIG, CONFIG.replace(" d,", " describe-d,"), 9, "is 'describe-d', but should be 'd'"),
    (CONFIG, CONFIG.replace(" p,", " configure-p,"), 9, "is 'configure-p', but should be 'p'"),
    (CONFIG, "config_backup_root: /b", 9, "config_backup_root is '/b', but should come with config_root"),
    (CONFIG, "config_root: /b/\n    config_backup_root: /b", 10, "'/b', but should differ from config_root"),
    # ports and addresses
    ("port: 46007", "port: 22", 12, "data_routers[1].port is 22, but should be 46005, or another one above 1023"),
    ("2, port: 46007", "3, port: 8083", 12, "port is 8083, but should be 46005, or another one: 8083 is usual for an"),
    ("host: 10.0.0.2\n", "host: 10.0.0.2\n    port: 46005\n", 9, "should be 8083, or another one: 46005 is usual for"),
    ("host: 10.0.0.2, port: 46007", "host: 127.0.0.1", 12, "host is '127.0.0.1', but should be the address at which"),
    ("host: 10.0.0.2, port: 46007", "host: localhost", 12, "host is 'localhost', but should be the address at which"),
    # who sends what where
    ("port: 46007, type: FDT", "type: TCP", 12, "data_routers[1].type is 'TCP', but should be FDT: Mutant[master] sen"),
    ("port: 46007, type: FDT", "port: 46007", 12, "type is 'TCP', but should be FDT: Mutant[master] sends its data"),
    ("{name: data0, host: 10.0.0.1", "{name: data0, type: FDT, host: 10.0.0.1", 11, "should be TCP: CoBo[0] sends its"),
    ('id: "CoBo[0]"', 'id: "cobo[0]"', 14, "data_sources[0].id is 'cobo[0]', but should be as in the .xcfg file"),
    ('id: "CoBo[0]"', 'id: "CoBo[01]"', 14, "data_sources[0].id is 'CoBo[01]', but should be as in the .xcfg file"),
    ('id: "CoBo[0]"', 'id: "AsAd[0]"', 14, "data_sources[0].id is 'AsAd[0]', but should be as in the .xcfg file"),
    ("role: cobo", "role: mutant", 5, "ecc_servers[0].role is 'mutant', but should be cobo: CoBo0 drives CoBo[0]"),
    ("role: mutant", "role: cobo", 7, "ecc_servers[1].role is 'cobo', but should be mutant: MuTAnT drives Mutant[mast"),
    ("[trigger]", "[trigger, data0]", 15, "is 'data0', but should be another router: a router accepts one source"),
    # times
    ("polling: {ecc: 1}", "timeouts: {transition: 5}", 20, "timeouts.transition is 5.0, but should be at least 121 se"),
    ("polling: {ecc: 1}", "timeouts: {transition: 120}", 20, "hanging electronics take 120"),
    ("polling: {ecc: 1}", "timeouts: {state: 0.1}", 20, "timeouts.state is 0.1, but should be at least 1 seconds"),
    ("polling: {ecc: 1}", "timeouts: {ssh: 1}", 20, "timeouts.ssh is 1.0, but should be at least 2 seconds"),
    ("polling: {ecc: 1}", "timeouts: {filing: 5}", 20, "timeouts.filing is 5.0, but should be at least 10 seconds"),
    ("polling: {ecc: 1}", "polling: {ecc: 1000}", 20, "polling.ecc is 1000.0, but should be at most 30"),
    ("polling: {ecc: 1}", "polling: {ecc: 0.0001}", 20, "polling.ecc is 0.0001, but should be at least 0.1"),
    ("polling: {ecc: 1}", "polling: {ecc_busy: 0.001}", 20, "polling.ecc_busy is 0.001, but should be at least 0.05"),
    ("polling: {ecc: 1}", "polling: {routers: 0.1}", 20, "polling.routers is 0.1, but should be at least 0.2 seconds"),
    ("polling: {ecc: 1}", "polling: {ecc_busy: 2}", 20, "polling.ecc_busy is 2.0, but should be at most polling.ecc ("),
    ("polling: {ecc: 1}", "polling: {routers: 60}", 20, "polling.routers is 60.0, but should be at most 30"),
    ("settle_seconds: 0", "silent_seconds: 3", 21, "silent_seconds is 3.0, but should be at least twice polling.route"),
    ("settle_seconds: 0", "min_disk_free_gb: 5000", 21, "runs.min_disk_free_gb is 5000.0, but should be at most 1000"),
    # observables
    ("[pressure]", "[pressure, pressure]", 21, "runs.require[1] is 'pressure', but should be given once"),
    ('pv: "GAS:P"', "pv: 'T:GAS:P'", 23, "'T:GAS:P', but should be a PV of another IOC: it begins with our prefix T:"),
    ("target_gas, type: string", "p2, pv: 'ca://GAS:P'", 24, "pv is 'GAS:P', but should be another PV: pressure alrea"),
    ("target_gas, type: string", "gas, deadband: 1", 24, "observables[1].deadband is 1.0, but should be left out: eve"),
    ("target_gas, type: string", "gas, max_rate: 1", 24, "observables[1].max_rate is 1.0, but should be left out: eve"),
    ("type: float", "type: string, deadband: 1", 23, "is 1.0, but should be left out: pressure is not a number"),
    # access
    ('pvs: "*"', "pvs: 'Run:*'", 26, "access[0].pvs is 'Run:*', but should begin with our prefix T: or '*'"),
    ('pvs: "*"', "pvs: 'T'", 26, "access[0].pvs is 'T', but should begin with our prefix T: or '*'"),
    ("write: true", "write: false", 25, "access has no rule with write: true, but should have one"),
    ("hosts: [127.0.0.1], write: true}", "write: false}\n  - {write: true}", 26, "access[0] matches everything, but"),
    # this machine
    ("ssh:\n  username: attpc", "ssh: local", 5, "host is '10.0.0.1', but should be an address of this machine: ssh i"),
    ("  username: attpc", "  key: ~/.ssh/nope", 19, "should be a private key: the file does not exist"),
    ("  username: attpc", "  key: nope", 19, "should be a private key: the file does not exist"),
    ("  username: attpc", "  key: home", 19, "should be a private key: the file does not exist"),
    ("  username: attpc", "  key: ~/.ssh/id_ed25519.pub", 19, "should be the private key, "),
    ("  username: attpc", "  known_hosts: ~/.ssh/nope", 19, "should be a file with the keys of the hosts: the file do"),
    ("  username: attpc", "  config: ~/.ssh/nope", 19, "should be an OpenSSH client configuration: the file does not"),
    ("  username: attpc", "  {unknown_hosts: add, known_hosts: no/known}", 19, "should be in an existing directory"),
    ("port: 46007", "ssh: {key: nope}", 12, "data_routers[1].ssh.key is "),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), STRANGE)
def test_each_strange_thing_is_a_warning_with_its_line(
    folder: Path, old: str, new: str, line: int, message: str
) -> None:
    """A file that can be used is used; what is hardly meant is said once, with what it is and should be."""
    assert GOOD.count(old) == 1, f"the table must say which of several {old!r} it means"
    found = examined(folder, GOOD.replace(old, new))
    assert {kind for _, kind, _ in found} == {"warning"}, found
    assert len([text for at, _, text in found if at == line and message in text]) == 1, found
    assert all(" but should " in text for _, _, text in found)


def test_a_known_hosts_that_is_not_there_is_said_also_of_the_default(folder: Path) -> None:
    """No host is known then, whether the file was named or not; not where nothing is reached by SSH."""
    (folder / "home" / ".ssh" / "known_hosts").unlink()
    [(line, kind, text)] = examined(folder, GOOD)
    assert (line, kind) == (18, "warning")
    assert text.startswith("ssh.known_hosts is ")
    assert examined(folder, GOOD.replace("ssh:\n  username: attpc", "ssh: {unknown_hosts: add}")) == []
    text = (
        GOOD.replace("10.0.0.1", "127.0.0.1")
        .replace("10.0.0.2", "127.0.0.1")
        .replace("ssh:\n  username: attpc", "ssh: local")
    )
    text = text.replace("role: mutant\n", "role: mutant\n    port: 8084\n")
    assert examined(folder, text) == []


NEVER = [
    # what is replaced, by what, line, part of the message
    (CONFIG, CONFIG.replace(" d,", " describe-cobo0.xcfg,"), 9, "'describe-cobo0.xcfg', but must be 'cobo0', without"),
    (CONFIG, CONFIG.replace(" d,", " cobo0.XCFG,"), 9, "is 'cobo0.XCFG', but must be 'cobo0', without the parts comm"),
    (CONFIG, CONFIG.replace(" c}", " configure-x.y.xml}"), 9, "is 'configure-x.y.xml', but must be 'x.y', without"),
    (CONFIG, "log_path: logs/ecc.log", 9, "is 'logs/ecc.log', but must be a path on that host that begins with / or ~"),
    (CONFIG, "log_path: /var/log/", 9, "is '/var/log/', but must be a file, not a directory"),
    ("host: 10.0.0.2\n", "host: 10.0.0.2/24\n", 8, "is '10.0.0.2/24', but must be an IP address or a host name, not a"),
    ("host: 10.0.0.2\n", "host: 10.0.0.2:8083\n", 8, "must be '10.0.0.2' alone: 8083 is the value of port"),
    ("host: 10.0.0.2\n", "host: '[::1]:8083'\n", 8, "must be '::1' alone: 8083 is the value of port"),
    ("host: 10.0.0.2\n", "host: daq:8083\n", 8, "must be 'daq' alone: 8083 is the value of port"),
    ("host: 10.0.0.2\n", "host: http://daq\n", 8, "must be an IP address or a host name alone, without a scheme"),
    ("host: 10.0.0.2\n", "host: attpc@daq\n", 8, "must be an IP address or a host name alone: the user is ssh.usernam"),
    ("host: 10.0.0.2\n", "host: 0.0.0.0\n", 8, "is '0.0.0.0', but must be the address of one machine"),
    ("host: 10.0.0.2\n", "host: 224.0.0.1\n", 8, "is '224.0.0.1', but must be the address of one machine"),
    ("host: 10.0.0.2\n", "host: 10.00.0.2\n", 8, "is '10.00.0.2', but must be an IP address or a host name"),
    ("hosts: [127.0.0.1]", "hosts: [192.168.41.5/24]", 26, "must be 192.168.41.0/24 for the whole network, or 192.168"),
    ("host: 10.0.0.2, port: 46007", "host: 10.0.0.1, port: 8083", 12, "must have its own address: ecc_servers[0] is t"),
    ("  username: attpc", "  username: attpc@daq", 19, "is 'attpc@daq', but must be the name of an account"),
    ("  username: attpc", "  username: ''", 19, "ssh.username is '', but must be the name of an account"),
    ("  username: attpc", "  key: ~/.ssh/", 19, "ssh.key is '~/.ssh/', but must be a file, not a directory"),
    ("settle_seconds: 0", "settle_seconds: 120", 21, "is 120, but must be less than timeouts.filing (120), or no run"),
    (DATABASE, "database: data/", 3, "database is 'data/', but must be a file, not a directory"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), NEVER)
def test_what_never_works_is_refused(old: str, new: str, line: int, message: str) -> None:
    """It is a fault of the file, whoever reads it."""
    assert GOOD.count(old) == 1
    found = problems_of(GOOD.replace(old, new))
    assert any(at == line and message in text for at, text in found), found


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("/tmp", "must be a file, not a directory: /tmp/runs.db, for instance"),
        (".", "must be a file, not a directory"),
        ("~", "must be a file, not a directory"),
        ("nowhere/runs.db", "must be in an existing directory: {folder}/nowhere does not exist"),
        ("topology.yaml/runs.db", "must be in an existing directory: {folder}/topology.yaml is a file"),
        ("topology.yaml", "must be a run database or a new file: it is a file of another kind"),
        ("/dev/null", "must be a file"),
        ("sqlite:///runs.db", "must be in an existing directory"),
        ("x" * 300, "must be a path that can be used (File name too long)"),
    ],
)
def test_a_database_that_cannot_be(folder: Path, database: str, message: str) -> None:
    """It is a fault for who is to run an IOC, in the line of the key and beside all others."""
    found = examined(folder, GOOD.replace(DATABASE, f"database: '{database}'\nnope: 1"))
    assert [(line, kind) for line, kind, _ in found] == [(3, "error"), (4, "error")]
    assert message.format(folder=folder) in found[0][2]


def test_a_database_that_can_be(folder: Path) -> None:
    """A new file, an empty one and a database of SQLite are taken."""
    (folder / "empty.db").touch()
    with contextlib.closing(sqlite3.connect(folder / "old.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE runs (n)")
    for name in ("new.db", "empty.db", "old.db", str(folder / "new.db"), "~/new.db"):
        assert examined(folder, GOOD.replace("runs.db", name)) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_in_which_nobody_may_write(folder: Path) -> None:
    """The IOC's user must be able to write beside the database."""
    closed = folder / "closed"
    closed.mkdir(mode=0o500)
    [(_, kind, text)] = examined(folder, GOOD.replace("runs.db", "closed/runs.db"))
    assert kind == "error"
    assert "must be in a directory that this user may write" in text


def test_a_host_name_is_not_looked_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examining a topology never goes to the network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a name was looked up")

    for name in ("getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    examined(folder, GOOD.replace("10.0.0.1", "daq.example.org").replace("ssh:\n  username: attpc", "ssh: local"))
