"""Purge removes only what is safe: by the command, with real files, hosts and destinations."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from ioc.hosts.transport import from_shown
from ioc.model import RunId
from ioc.sim.ports import free_port
from ioc.topology.schema import Destination
from tests.archive.conftest import needs_rclone, needs_rsync
from tests.archive.copies_rig import Bench
from tests.sshd import SshServer

ROOT = Path(__file__).parents[2]


def topology_text(
    database: Path, host: str, ssh: dict[str, object], archive: Sequence[Destination | dict[str, object]]
) -> str:
    """Return the topology of an installation of two routers on one host."""
    places = [each.model_dump(exclude_none=True) if isinstance(each, Destination) else each for each in archive]
    topology = {
        "experiment": "e1",
        "database": str(database),
        "ssh": ssh or "local",
        "ecc_servers": [
            {
                "name": "CoBo0",
                "role": "cobo",
                "host": "127.0.0.1",
                "port": 9,
                "config": dict.fromkeys(("describe", "prepare", "configure"), "a"),
            }
        ],
        "data_routers": [{"name": name, "host": host, "port": free_port()} for name in ("data0", "data1")],
        "data_sources": [{"id": f"CoBo[{n}]", "ecc_server": "CoBo0", "data_routers": [f"data{n}"]} for n in range(2)],
        "archive": places,
    }
    return yaml.safe_dump(topology, sort_keys=False)


class Site:
    """An installation of two routers on one host, whose runs have copies."""

    def __init__(self, bench: Bench, sshd: SshServer | None, *archive: dict[str, object]) -> None:
        self.bench = bench
        self.file = bench.tmp_path / "topology.yaml"
        host = bench.disk.host if sshd else "127.0.0.1"
        settings = sshd.settings().model_dump(exclude={"config"}) if sshd else {}
        self.file.write_text(topology_text(bench.disk.database, host, settings, archive))

    async def purge(self, *options: str, status: int = 0) -> str:
        """Run the command; returns its output."""
        command = [sys.executable, "-m", "ioc", "runs", "purge", "--topology", str(self.file), "--older-than", "30d"]
        done = await asyncio.to_thread(
            subprocess.run, [*command, *options], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        output = done.stdout + done.stderr
        assert done.returncode == status, output
        assert "Traceback" not in output
        return output

    async def verify(self, *options: str) -> list[dict[str, str]]:
        """Run verify with --copies; returns the problems."""
        command = [sys.executable, "-m", "ioc", "runs", "verify", "--topology", str(self.file), "--copies", "--json"]
        done = await asyncio.to_thread(subprocess.run, [*command, *options], cwd=ROOT, capture_output=True, text=True)
        document = json.loads(done.stdout)
        assert done.returncode == (0 if document["whole"] else 1)
        return document["problems"]

    def age(self) -> None:
        """Let everything be 31 days older, as if the checksums were not."""
        self.bench.disk.sql(
            "UPDATE runs SET reserved_at = '2020-01-01', started_at = reserved_at, stopped_at = '2020-01-02'"
        )
        self.bench.disk.sql("UPDATE files SET moved_at = '2020-01-02'")

    @property
    def present(self) -> set[str]:
        """Names of the files on the host."""
        return {path.name for path in self.bench.disk.directory.rglob("*.graw")}


async def two_copies(bench: Bench, kinds: tuple[str, str] = ("directory", "ssh"), files: int = 2) -> RunId:
    """Make a run with files that have two verified copies, in ``there`` and ``there2``."""
    (bench.tmp_path / "there2").mkdir(exist_ok=True)
    run = await bench.disk.run()
    for number in range(files):
        await bench.disk.file(run, b"content %d" % number, b"%d.graw" % number)
    archive = (
        bench.destination(kinds[0], "one"),
        bench.destination(kinds[1], "two", there=bench.tmp_path / "there2"),
    )
    async with bench.at_work(*archive) as working:
        await working.until(lambda: bench.disk.copies() == [("verified", "")] * 2 * files)
    return run


def places(bench: Bench, kinds: tuple[str, str] = ("directory", "ssh")) -> list[dict[str, object]]:
    made = (
        bench.destination(kinds[0], "one"),
        bench.destination(kinds[1], "two", there=bench.tmp_path / "there2"),
    )
    return [each.model_dump(exclude_none=True) for each in made]


def sshd_of(bench: Bench, sshd: SshServer) -> SshServer | None:
    return sshd if bench.host.name == "127.0.0.1" else None


@pytest.fixture(params=[("directory", "ssh"), ("rclone", "directory")], ids=["rsync", "rclone"])
async def site(request: pytest.FixtureRequest, bench: Bench, sshd: SshServer) -> Site:
    await two_copies(bench, request.param)
    made = Site(bench, sshd_of(bench, sshd), *places(bench, request.param))
    bench.disk.sql("UPDATE files SET host = ?", bench.host.name if sshd_of(bench, sshd) else "127.0.0.1")
    made.age()
    return made


@needs_rsync
async def test_what_has_enough_copies_is_shown_then_removed_and_logged(site: Site) -> None:
    """Without --yes nothing is removed; with it the files go, the rows say so, and an event says who did it."""
    disk = site.bench.disk
    said = await site.purge("--copies", "2", status=1)
    assert "nothing was removed: use --yes" in said
    assert site.present == {"0.graw", "1.graw"}
    said = await site.purge("--copies", "2", "--yes", "--deep")
    assert "2 of 2 files removed" in said
    assert site.present == set()
    assert disk.sql("SELECT count(*) FROM files WHERE purged_at IS NOT NULL") == [(2,)]
    ((message, user),) = disk.sql("SELECT message, user FROM events WHERE source = 'runs purge'")
    assert "2 files (18 bytes)" in message
    assert "verified copies: one, two" in message
    assert user
    assert len(site.bench.there()) == 2
    assert "No file can be removed" in await site.purge("--copies", "2", "--yes")


@needs_rsync
@pytest.mark.parametrize("harm", ["lost", "truncated", "flipped"])
async def test_a_harmed_copy_does_not_count_and_is_made_again(site: Site, harm: str) -> None:
    """A copy that is gone or shorter is seen at once, a flipped byte with --deep; the row is failed then."""
    for directory in ("there", "there2"):
        (copy,) = (site.bench.tmp_path / directory).rglob("0.graw")
        if directory == "there":
            continue
        if harm == "lost":
            copy.unlink()
        else:
            copy.write_bytes(b"Xontent 0" if harm == "flipped" else b"content")
    said = await site.purge("--copies", "2", "--yes", "--deep")
    assert "it has 1 of 2 verified copies (two: " in said
    assert site.present == {"0.graw"}
    states = site.bench.disk.sql("SELECT state, message FROM file_copies WHERE destination = 'two' ORDER BY file_id")
    assert states[0][0] == "failed"
    assert "found by runs purge" in states[0][1]
    assert "No file can be removed" in await site.purge("--copies", "2", "--yes")
    assert site.present == {"0.graw"}


COPY_HARM: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    "nothing": (lambda copy: None, [], []),
    "flipped": (lambda copy: copy.write_bytes(b"Xontent 0"), [], ["changed"]),
    "truncated": (lambda copy: os.truncate(copy, 3), ["changed"], ["changed"]),
    "missing": (lambda copy: copy.unlink(), ["missing"], ["missing"]),
    "extra": (lambda copy: copy.with_name("new\nline \udcff.graw").touch(), ["extra"], ["extra"]),
    "unmounted": (
        lambda copy: copy.parents[3].rename(copy.parents[3].with_name("away")),
        ["not reached"],
        ["not reached"],
    ),
}


@needs_rsync
@pytest.mark.parametrize("destination", ["one", "two"])
@pytest.mark.parametrize(("harm", "shallow", "deep"), COPY_HARM.values(), ids=list(COPY_HARM))
async def test_verify_finds_each_harm_to_a_copy(
    site: Site, destination: str, harm: Callable[[Path], object], shallow: list[str], deep: list[str]
) -> None:
    """With --copies, at a directory, an SSH host and a remote of rclone; with --deep a flipped byte too."""
    disk = site.bench.disk
    ((path,),) = disk.sql("SELECT path FROM file_copies WHERE file_id = 1 AND destination = ?", destination)
    disk.sql("UPDATE files SET purged_at = '2026-11-27' WHERE id = 1")
    os.unlink(from_shown(disk.sql("SELECT path FROM files WHERE id = 1")[0][0]))  # noqa: PTH108 - bytes
    harm(Path(path.removeprefix(":local:")))
    if path.startswith(":local:") and shallow == ["not reached"]:
        shallow = deep = ["unreadable", "unreadable"]  # rclone tells of each directory
    for options, expected in (((), shallow), (("--deep",), deep)):
        assert sorted({(each["problem"]) for each in await site.verify(*options)}) == sorted(set(expected))
    assert {each["host"] for each in await site.verify("--deep")} <= {destination}


@needs_rsync
async def test_every_other_reason_to_stay(local_bench: Bench) -> None:
    """Each with its reason: changed files, links, directories, too young, too few copies, no checksum, other states."""
    bench = local_bench
    await two_copies(bench, ("directory", "directory"), files=8)
    site = Site(bench, None, *places(bench, ("directory", "directory")))
    bench.disk.sql("UPDATE files SET host = '127.0.0.1'")
    site.age()
    (folder,) = {path.parent for path in bench.disk.directory.rglob("*.graw")}
    (folder / "0.graw").write_bytes(b"longer than before")
    os.utime(folder / "1.graw", (time.time() + 1000, time.time() + 1000))
    (folder / "2.graw").rename(folder / "kept")
    (folder / "2.graw").symlink_to(folder / "kept")
    (folder / "3.graw").unlink()
    (folder / "3.graw").mkdir()
    bench.disk.sql("UPDATE files SET checksum = '' WHERE path LIKE '%/4.graw'")
    bench.disk.sql("UPDATE file_copies SET state = 'copied' WHERE file_id = 6 AND destination = 'one'")
    bench.disk.sql("UPDATE files SET host = 'elsewhere' WHERE path LIKE '%/6.graw'")
    bench.disk.sql("UPDATE files SET moved_at = '2100-01-01' WHERE path LIKE '%/7.graw'")
    said = await site.purge("--copies", "2", "--yes")
    for reason in (
        "it has 18 bytes, but must have 9",
        "it was modified after its checksum was computed",
        "it is a symbolic link",
        "it is not a regular file",
        "it has no checksum",
        "it has 1 of 2 verified copies (one: it is not verified yet)",
        "the topology has no router on its host elsewhere",
    ):
        assert reason in said, said
    assert "7 files stay" in said
    assert "No file can be removed" in said
    assert len(list(folder.iterdir())) == 9
    bench.disk.sql("UPDATE runs SET state = 'running'")
    assert "No file can be removed" in await site.purge("--copies", "2", "--yes")
    assert "run 0 is running" in await site.purge("--copies", "2", "--yes", "0", status=1)
    assert "has no run 7" in await site.purge("--copies", "2", "--yes", "7", status=1)
    assert "--copies 3 cannot be satisfied" in await site.purge("--copies", "3", "--yes", status=1)


@needs_rsync
async def test_one_file_with_two_names_is_one_copy(local_bench: Bench) -> None:
    """A destination that is another name of a place adds no copy, nor does a link to the file or to another copy."""
    bench = local_bench
    await two_copies(bench, ("directory", "directory"), files=1)
    (bench.tmp_path / "there2").rename(bench.tmp_path / "away")
    (bench.tmp_path / "there2").symlink_to(bench.tmp_path / "there")
    site = Site(bench, None, *places(bench, ("directory", "directory")))
    bench.disk.sql("UPDATE files SET host = '127.0.0.1'")
    site.age()
    said = await site.purge("--copies", "2", "--yes", status=1)
    assert "is the place of the destination one already: the same storage must not count as two" in said
    assert site.present == {"0.graw"}
    (bench.tmp_path / "there2").unlink()
    (bench.tmp_path / "away").rename(bench.tmp_path / "there2")
    (copy,) = (bench.tmp_path / "there").rglob("*.graw")
    (second,) = (bench.tmp_path / "there2").rglob("*.graw")
    second.unlink()
    second.hardlink_to(copy)
    assert "it is the same file as another copy" in await site.purge("--copies", "2", "--yes")
    assert site.present == {"0.graw"}
    (original,) = bench.disk.directory.rglob("*.graw")
    copy.unlink()
    copy.hardlink_to(original)
    assert "1 of 2 verified copies (one: it is the same file as" in await site.purge("--copies", "2", "--yes")
    assert site.present == {"0.graw"}


@needs_rsync
@needs_rclone
@pytest.mark.parametrize("kinds", [("directory", "rclone"), ("rclone", "directory"), ("rclone", "rclone")])
async def test_one_storage_without_marks_is_one_copy(local_bench: Bench, kinds: tuple[str, str]) -> None:
    """Copies of a version that made no marks, in one storage by two ways that give no inode, count as one."""
    bench = local_bench
    await two_copies(bench, kinds, files=1)
    there, other = bench.tmp_path / "there", bench.tmp_path / "there2"
    shutil.rmtree(other)
    other.symlink_to(there)
    (there / ".attpc-archive").unlink()
    site = Site(bench, None, *places(bench, kinds))
    bench.disk.sql("UPDATE files SET host = '127.0.0.1'")
    site.age()
    said = await site.purge("--copies", "2", "--yes", status=1)
    assert "is the place of the destination one already" in said
    assert site.present == {"0.graw"}
    assert bench.disk.copies() == [("verified", "")] * 2


@needs_rsync
async def test_a_kill_between_removing_and_marking(local_bench: Bench) -> None:
    """Files that are gone but not marked are marked by the next call if they have their copies, else missed."""
    bench = local_bench
    await two_copies(bench, ("directory", "directory"))
    site = Site(bench, None, *places(bench, ("directory", "directory")))
    bench.disk.sql("UPDATE files SET host = '127.0.0.1'")
    site.age()
    for file in bench.disk.directory.rglob("*.graw"):
        file.unlink()
    (copy,) = (bench.tmp_path / "there2").rglob("1.graw")
    copy.unlink()
    said = await site.purge("--copies", "2", "--yes")
    assert "1 files were removed by an interrupted call" in said
    assert "and it is missing on its host" in said
    assert bench.disk.sql("SELECT path LIKE '%/0.graw' FROM files WHERE purged_at IS NOT NULL") == [(1,)]


@needs_rsync
@pytest.mark.parametrize("mount_point", ["missing", "empty"])
async def test_a_disk_that_is_not_mounted(local_bench: Bench, mount_point: str) -> None:
    """A destination whose disk is missing is reported; its copies neither count nor are marked as lost."""
    bench = local_bench
    await two_copies(bench, ("directory", "directory"))
    site = Site(bench, None, *places(bench, ("directory", "directory")))
    bench.disk.sql("UPDATE files SET host = '127.0.0.1'")
    site.age()
    (bench.tmp_path / "there2").rename(bench.tmp_path / "unmounted")
    if mount_point == "empty":
        (bench.tmp_path / "there2").mkdir()
    said = await site.purge("--copies", "2", "--yes", status=1)
    assert {"missing": "make it, or mount its disk", "empty": "its disk is not mounted at"}[mount_point] in said
    assert bench.disk.copies() == [("verified", "")] * 4
    assert len(site.present) == 2
