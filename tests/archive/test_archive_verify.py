"""``attpc-ioc runs verify`` finds whatever is wrong with the files of runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ioc.cli.main import main
from ioc.hosts import build_hosts
from ioc.model import FiledFile
from ioc.model.graw import partial_name
from ioc.rundb import SqliteRunStore
from ioc.topology.load import load
from tests.archive.checksum_rig import checksums_in, filed, filed_run, running
from tests.epics import eventually
from tests.hosts.rig import put
from tests.hosts.test_hosts_checksums import LONG, readers
from tests.rundb.rows import execute
from tests.sshd import ROOT, SshServer
from tests.topology.test_topology_load import GOOD

Problems = list[tuple[str, str]]
SECONDS = 60.0
NAMES = (b"a.graw", b"-b.graw", b"c\n\\.graw", b"\xff.graw")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server."""
    with SshServer(tmp_path_factory.mktemp("verify-sshd")) as running_server:
        yield running_server


def topology_file(directory: Path, ssh: Any) -> Path:
    """Write a topology of one router, whose host is reached by `ssh`."""
    data: dict[str, Any] = yaml.safe_load(GOOD)
    router = {"name": "data0", "host": "127.0.0.1", "work_dir": str(directory / "data")}
    data |= {"database": "runs.db", "experiment": "e1", "ssh": ssh, "data_routers": [router]}
    data["data_sources"] = [{"id": "CoBo[0]", "ecc_server": data["ecc_servers"][0]["name"], "data_routers": ["data0"]}]
    data["ecc_servers"] = [data["ecc_servers"][0] | {"host": "127.0.0.1"}]
    file = directory / "topology.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


class Site:
    """A run whose files have their checksums, as the command sees it."""

    def __init__(self, directory: Path, ssh: Any) -> None:
        self.topology = topology_file(directory, ssh)
        self.database = directory / "runs.db"
        self.place = directory / "data/e1/run_0000"
        self.place.mkdir(parents=True)
        put(self.place, {name: name * 1000 for name in NAMES})

    async def make_run(self, *others: FiledFile) -> None:
        """Enter the run, and compute its checksums."""
        host, *_ = hosts = build_hosts(load(self.topology))
        store = await SqliteRunStore.open(self.database)
        paths = [os.fsencode(self.place) + b"/" + name for name in NAMES]
        await filed_run(store, *(filed(host, "data0", path) for path in paths), *others)
        async with running(store, *hosts):
            await eventually(lambda: sum(map(bool, checksums_in(self.database).values())) == len(NAMES), SECONDS)
        await store.close()
        for each in hosts:
            await each.close()

    def verify(self, *arguments: str) -> tuple[int, str]:
        """Call the command; returns its exit code and output."""
        result = CliRunner().invoke(main, ["runs", "verify", "--topology", str(self.topology), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def problems(self, *arguments: str) -> Problems:
        """Return what is wrong: fault and name of the file."""
        code, output = self.verify("--json", *arguments)
        document = json.loads(output)
        assert code == (0 if document["whole"] else 1)
        assert document["whole"] == (document["problems"] == [])
        return [(each["problem"], each["path"].rpartition("/")[2]) for each in document["problems"]]


@pytest.fixture(params=["ssh", "local"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A run over either kind of connection."""
    if request.param == "local":
        return Site(tmp_path, "local")
    return Site(tmp_path, request.getfixturevalue("server").settings().model_dump())


def flip(place: Path) -> None:
    path = place / "a.graw"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def to_directory(place: Path) -> None:
    (place / "a.graw").unlink()
    (place / "a.graw").mkdir()


def to_link(place: Path) -> None:
    (place / "a.graw").rename(place.parent / "elsewhere")
    (place / "a.graw").symlink_to(place.parent / "elsewhere")


def all_gone(place: Path) -> None:
    place.rename(place.parent / "away")


EXTRA = ("b.graw", "note.txt", "sub", "link", ".hidden", "run_0001.json", "partial")


def extras(place: Path) -> None:
    for name in EXTRA:
        if name not in {"sub", "link"}:
            (place / name).touch()
    (place / "sub").mkdir()
    (place / "link").symlink_to("a.graw")


def ours(place: Path) -> None:
    for name in ("run_0000.json", ".run_0000.json.partial", os.fsdecode(partial_name(b"a.graw"))):
        (place / name).touch()


def twice(problems: Problems) -> tuple[Problems, Problems]:
    """The same without and with --deep."""
    return problems, problems


HARM: dict[str, tuple[Callable[[Path], object], Problems, Problems]] = {
    "nothing": (lambda _: None, [], []),
    "flipped": (flip, [], [("changed", "a.graw")]),
    "truncated": (lambda place: os.truncate(place / "a.graw", 999), *twice([("changed", "a.graw")])),
    "grown": (lambda place: os.truncate(place / "a.graw", 9999), *twice([("changed", "a.graw")])),
    "missing": (lambda place: (place / "a.graw").unlink(), *twice([("missing", "a.graw")])),
    "directory": (to_directory, *twice([("changed", "a.graw")])),
    "link": (to_link, *twice([("changed", "a.graw")])),
    "all gone": (all_gone, *twice([("missing", name) for name in ("-b.graw", "\\xff.graw", "a.graw", "c\n\\.graw")])),
    "extra": (extras, *twice([("extra", name) for name in sorted(EXTRA)])),
    "ours": (ours, [], []),
}


@pytest.mark.parametrize(("harm", "shallow", "deep"), HARM.values(), ids=list(HARM))
async def test_each_harm_is_found(
    site: Site, harm: Callable[[Path], object], shallow: Problems, deep: Problems
) -> None:
    """What was done to the files is found, and nothing else; with --deep also a flipped byte."""
    await site.make_run()
    assert await asyncio.to_thread(site.problems) == []
    harm(site.place)
    assert await asyncio.to_thread(site.problems) == shallow
    assert await asyncio.to_thread(site.problems, "0", "--deep") == deep


async def test_files_without_checksum_and_hosts_without_topology_are_told(site: Site, tmp_path: Path) -> None:
    """They are no proof that all is whole. A purged file is expected nowhere."""
    await site.make_run(FiledFile("data7", "elsewhere", "/data/x.graw", 5, time.time()))
    execute(site.database, "UPDATE files SET checksum = '' WHERE path LIKE '%a.graw'")
    (site.place / "-b.graw").unlink()
    execute(site.database, "UPDATE files SET purged_at = '2026-11-27T00:00:00.000000Z' WHERE path LIKE '%-b.graw'")
    code, output = await asyncio.to_thread(site.verify)
    assert code == 1
    assert re.search(r"0 +no checksum +\S+ +\S+a\.graw\n", output)
    assert re.search(r"not reached +elsewhere +1 file there: it is not in the topology\n", output)
    assert "1 run of e1 with 4 files" in output
    assert "2 problems" in output


async def test_a_work_dir_may_be_a_link(site: Site, tmp_path: Path) -> None:
    """Files are recorded with the path that their directory really has; under the other one they are not extra."""
    await site.make_run()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    site.topology.write_text(site.topology.read_text().replace(str(tmp_path / "data"), str(tmp_path / "link")))
    assert await asyncio.to_thread(site.problems) == []
    (site.place / "note.txt").touch()
    assert await asyncio.to_thread(site.problems) == [("extra", "note.txt")]


async def test_a_missing_host_is_found(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A host that cannot be reached is a problem, with the reason."""
    with SshServer(tmp_path_factory.mktemp("gone")) as server:
        site = Site(tmp_path, server.settings().model_dump())
        await site.make_run()
        server.stop()
        code, output = await asyncio.to_thread(site.verify, "--deep")
    assert code == 1
    assert re.search(r"not reached +127\.0\.0\.1 +4 files not checked: .*cannot be reached by SSH", output)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_unreadable_file_and_directory_are_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both are unreadable, and not missing, for a user who may not read them."""
    directory = tmp_path_factory.mktemp("private")
    for above in (directory, *directory.parents[:-1]):
        above.chmod(above.stat().st_mode | 0o755)
    (directory / "closed").mkdir(mode=0o700)
    (directory / "file").touch(mode=0o600)
    (directory / "good").touch(mode=0o644)
    program = (
        "import os, sys\n"
        "from ioc.hosts.inventory import take_inventory\nfrom ioc.hosts.local import LocalTransport\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "found = take_inventory(LocalTransport(), sys.argv[1:], 30)\n"
        "print([(sorted(each.unreadable), each.problem) for each in found.values()])"
    )
    words = [sys.executable, "-c", program, str(directory), str(directory / "closed"), str(directory / "none")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "HOME": "/"})
    assert done.stdout.strip() == f"[(['{directory}/file'], ''), ([], 'Permission denied'), ([], '')]"


async def test_runs_that_are_not_there_or_open_are_refused(site: Site) -> None:
    """With a clear error; among all runs, an open one is left out."""
    await site.make_run()
    store = await SqliteRunStore.open(site.database)
    await filed_run(store, complete=False)
    await store.close()
    assert await asyncio.to_thread(site.problems) == []
    code, output = await asyncio.to_thread(site.verify, "1")
    assert (code, output) == (1, "error: run 1 is starting: its files can be verified when it has ended\n")
    code, output = await asyncio.to_thread(site.verify, "7")
    assert (code, output) == (1, "error: run 7 is not in experiment e1: its last one is run 1\n")


async def test_ctrl_c_ends_the_programs_on_the_hosts(site: Site) -> None:
    """Nothing is read any more when the command has ended."""
    await site.make_run()
    path = site.place / "a.graw"
    os.truncate(path, LONG)
    execute(site.database, f"UPDATE files SET bytes = {LONG} WHERE path LIKE '%a.graw'")
    words = [sys.executable, "-m", "ioc", "runs", "verify", "--deep", "--topology", str(site.topology)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as command:
        try:
            await eventually(lambda: readers(os.fsencode(path)), SECONDS)
            command.send_signal(signal.SIGINT)
            _, errors = await asyncio.to_thread(command.communicate, timeout=SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                command.kill()
    assert command.returncode == 1
    assert errors.strip() == "error: aborted"
    await eventually(lambda: not readers(os.fsencode(path)), SECONDS)


def test_files_of_this_machine_that_no_host_of_the_topology_has(tmp_path: Path) -> None:
    """The demo's files, and adopted ones, are looked at where they were recorded: on this machine."""
    site = Site(tmp_path, "local")
    asyncio.run(site.make_run())
    topology = yaml.safe_load(site.topology.read_text())
    router = topology["data_routers"][0] | {"host": "192.0.2.7", "work_dir": None}
    server = topology["ecc_servers"][0] | {"host": "192.0.2.7"}
    ssh = {"username": "attpc"}
    site.topology.write_text(yaml.safe_dump(topology | {"data_routers": [router], "ecc_servers": [server], "ssh": ssh}))
    assert not site.problems("--deep")
    (site.place / "a.graw").unlink()
    assert site.problems() == [("missing", "a.graw")]
