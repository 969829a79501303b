"""Copies and digests of configuration files."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from ioc.errors import PeerError
from ioc.model import ConfigBackup, ConfigChoice, RunId
from ioc.topology.schema import EccServer
from tests.hosts.rig import Hosts, contents, ecc_server, put

RUN = RunId("e18008", 12)
CHOICE = ConfigChoice("cobo0", "e18008", "e18008 v2")
FILES = {
    b"describe-cobo0.xcfg": b"<describe/>",
    b"configure-e18008.xcfg": b"<prepare/>",
    b"prepare-e18008.xcfg": b"<prepare/>" * 50_000,
    b"configure-e18008 v2.xcfg": b"\xff\x00",
}
DIGESTS = sorted((name.decode(), hashlib.sha256(content).hexdigest()) for name, content in FILES.items())


@pytest.fixture
def server(tmp_path: pathlib.Path) -> EccServer:
    """An ECC server with its files."""
    root = tmp_path / "configs"
    root.mkdir()
    put(root, FILES)
    return ecc_server("CoBo0", root, tmp_path / "backups")


async def test_files_are_copied_beside_the_run(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """The files in use are copied to BACKUP_ROOT/EXPERIMENT/run_NNNN with their SHA-256; again changes nothing."""
    host = hosts(servers=(server,))
    place = tmp_path / "backups/e18008/run_0012"
    for _ in range(2):
        backup = await host.backup_configs("CoBo0", RUN, CHOICE)
        assert sorted(backup.digests) == DIGESTS
        assert contents(place) == FILES


async def test_a_copy_that_differs_is_never_overwritten(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """If the run has a copy with other content, both are kept and the digest is under the name of the new one."""
    host = hosts(servers=(server,))
    await host.backup_configs("CoBo0", RUN, CHOICE)
    put(tmp_path / "configs", {b"describe-cobo0.xcfg": b"edited"})
    backup = await host.backup_configs("CoBo0", RUN, CHOICE)
    kept = contents(tmp_path / "backups/e18008/run_0012")
    assert kept == {**FILES, b"describe-cobo0_duplicate-1.xcfg": b"edited"}
    assert backup.digests[0] == ("describe-cobo0_duplicate-1.xcfg", hashlib.sha256(b"edited").hexdigest())


@pytest.mark.parametrize("name", ["describe-cobo0.xcfg", "configure-e18008 v2.xcfg"])
async def test_a_missing_file_is_named(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path, name: str):
    """A file that no release can do without is named with its server and host; the others are copied all the same."""
    (tmp_path / "configs" / name).unlink()
    host = hosts(servers=(server,))
    sentence = f"configuration file {tmp_path}/configs/{name} of ECC server CoBo0 on {host.name} does not exist"
    with pytest.raises(PeerError) as refused:
        await host.backup_configs("CoBo0", RUN, CHOICE)
    assert str(refused.value) == sentence
    assert set(contents(tmp_path / "backups/e18008/run_0012")) == set(FILES) - {name.encode()}


async def test_nothing_exists(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """Without any file, both that are needed are named, and no directory is made."""
    shutil.rmtree(tmp_path / "configs")
    host = hosts(servers=(server,))
    with pytest.raises(PeerError, match=r"describe-cobo0\.xcfg .* does not exist; .*configure-e18008 v2\.xcfg"):
        await host.backup_configs("CoBo0", RUN, CHOICE)
    assert not (tmp_path / "backups").exists()


def described(*names: str, template: str = "") -> bytes:
    """Return a describe file as the GET software has it: nodes inherit from templates (``*``)."""
    nodes = "".join(
        f'<Node id="CoBo{i}"><Instance id="Slot0{i}"><HardwareConfigId>{name}</HardwareConfigId></Instance></Node>'
        for i, name in enumerate(names)
    )
    general = f"<HardwareConfigId> {template} </HardwareConfigId>" if template else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Setup id="Hardware">'
        f'<Node id="*"><Instance id="*"><isActive>true</isActive>{general}</Instance></Node>{nodes}'
        '<Node id="Mutant"><Instance id="master"/></Node>'
        '<Node id="BEAST"><Instance id="*"><HardwareConfigId>BEAST</HardwareConfigId></Instance></Node>'
        "<!-- <HardwareConfigId>old</HardwareConfigId> --></Setup>"
    ).encode()


DESCRIBE, CONFIGURE = b"describe-D.xcfg", b"configure-C.xcfg"


@pytest.mark.parametrize(
    "case",
    [
        # a real installation of 2021: the list has prepare equal to configure
        ("D C C", {DESCRIBE: b"", CONFIGURE: b""}, {"prepare-C.xcfg"}, {}),
        # one of 2017, and one of each
        ("D P C", {DESCRIBE: b"", b"prepare-P.xcfg": b"", CONFIGURE: b""}, {"configure-P.xcfg"}, {}),
        ("D P C", {DESCRIBE: b"", b"configure-P.xcfg": b"", CONFIGURE: b""}, {"prepare-P.xcfg"}, {}),
        ("D P C", {DESCRIBE: b"", CONFIGURE: b""}, {"prepare-P.xcfg", "configure-P.xcfg"}, {b"configure-D.xcfg": b""}),
        # hardware descriptions: named by a node, by what it inherits from, only by a template, by nothing
        (
            "D C C",
            {DESCRIBE: described("Zed", "Zed", "two.1"), CONFIGURE: b"", b"prepare-C.xcfg": b"",
             b"hardwareDescription_Zed.xcfg": b"z", b"hardwareDescription_two.xcfg": b"2"},
            set(),
            {b"hardwareDescription_old.xcfg": b"", b"hardwareDescription_.xcfg": b""},
        ),
        (
            "D C C",
            {DESCRIBE: described("Zed", template="Full"), CONFIGURE: b"", b"prepare-C.xcfg": b"",
             b"hardwareDescription_BEAST.xml": b"b"},
            {"hardwareDescription_Zed.xcfg", "hardwareDescription_Full.xcfg"},
            {},
        ),
        ("D C C", {DESCRIBE: described("../up"), CONFIGURE: b"", b"prepare-C.xcfg": b""}, set(), {}),
        # the other extension only where the first is missing
        (
            "D C C",
            {b"describe-D.xml": described("Zed"), CONFIGURE: b"", b"prepare-C.xml": b"",
             b"hardwareDescription_Zed.xml": b""},
            set(),
            {b"configure-C.xml": b"old"},
        ),
        # a name with a dot: as it is listed, and as it is read
        (
            "2.5_bar 1.5 1.5",
            {b"describe-2.5_bar.xcfg": b"", b"describe-2.xcfg": b"", b"configure-1.xcfg": b"", b"prepare-1.5.xml": b""},
            set(),
            {},
        ),
    ],
)  # fmt: skip
async def test_what_any_release_may_read(hosts: Hosts, tmp_path: pathlib.Path, case: tuple[str, dict, set, dict]):
    """Every file that one release or another may read is copied and digested; what is absent is named."""
    choice, files, missing, unread = case
    root = tmp_path / "configs"
    root.mkdir()
    put(root, {**files, **unread})
    host = hosts(servers=(ecc_server("CoBo0", root, tmp_path / "backups"),))
    config = ConfigChoice(*choice.split())
    backup = await host.backup_configs("CoBo0", RUN, config)
    assert contents(tmp_path / "backups/e18008/run_0012") == files
    assert dict(backup.digests) == {name.decode(): hashlib.sha256(text).hexdigest() for name, text in files.items()}
    assert set(backup.missing) == missing


@pytest.mark.parametrize(
    ("config_root", "backup_root", "problem"),
    [(None, "/tmp", "config_root"), ("", "/tmp", "config_root"), ("ROOT", None, "config_backup_root")],
)
async def test_a_root_the_topology_does_not_give(
    hosts: Hosts, server: EccServer, config_root: str | None, backup_root: str | None, problem: str
):
    """A server without the directories in the topology is named with the key that is missing."""
    root = server.config_root if config_root == "ROOT" else config_root
    host = hosts(servers=(ecc_server("CoBo0", root, backup_root),))
    with pytest.raises(PeerError, match=f"ECC server CoBo0 has no {problem} in"):
        await host.backup_configs("CoBo0", RUN, CHOICE)


async def test_a_backup_that_cannot_be_written(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """A file in place of the backup directory is named."""
    put(tmp_path, {b"backups": b"a file"})
    with pytest.raises(PeerError, match=f"CoBo0 cannot be copied to {tmp_path}/backups.*must be a directory"):
        await hosts(servers=(server,)).backup_configs("CoBo0", RUN, CHOICE)


async def test_servers_that_share_a_backup_directory(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """Twelve servers of one host that copy the same files at the same moment end with one copy of each."""
    servers = tuple(ecc_server(f"CoBo{i}", server.config_root, server.config_backup_root) for i in range(12))
    host = hosts(servers=servers)
    backups = await asyncio.gather(*(host.backup_configs(each.name, RUN, CHOICE) for each in servers))
    assert all(sorted(backup.digests) == DIGESTS for backup in backups)
    assert contents(tmp_path / "backups/e18008/run_0012") == FILES


async def test_a_shared_copy_is_never_older_than_its_request(hosts: Hosts, server: EccServer, tmp_path: pathlib.Path):
    """Of a file that is edited while copies are under way, each gets what was there when it was asked for, or newer."""
    servers = tuple(ecc_server(f"CoBo{i}", server.config_root, server.config_backup_root) for i in range(12))
    host = hosts(servers=servers)
    copies: list[asyncio.Task[ConfigBackup]] = []
    for number, each in enumerate(servers):
        put(tmp_path / "configs", {b"describe-cobo0.xcfg.new": b"%d" % number})
        (tmp_path / "configs/describe-cobo0.xcfg.new").rename(tmp_path / "configs/describe-cobo0.xcfg")
        copies.append(asyncio.create_task(host.backup_configs(each.name, RUN, CHOICE)))
        await asyncio.sleep(0)
    numbers = {hashlib.sha256(b"%d" % number).hexdigest(): number for number in range(12)}
    for number, copy in enumerate(copies):
        assert next(numbers[digest] for _, digest in (await copy).digests if digest in numbers) >= number


@pytest.fixture
def below_home() -> Iterator[pathlib.Path]:
    """A directory in the home directory."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=".attpc-ioc-test-", dir=pathlib.Path.home()))
    yield directory
    shutil.rmtree(directory)


async def test_roots_below_home(hosts: Hosts, below_home: pathlib.Path):
    """``~`` in the roots is the home directory on the host."""
    put(below_home, FILES)
    server = ecc_server("CoBo0", f"~/{below_home.name}", f"~/{below_home.name}/copies")
    await hosts(servers=(server,)).backup_configs("CoBo0", RUN, CHOICE)
    assert contents(below_home / "copies/e18008/run_0012") == FILES
