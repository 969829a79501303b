"""Safe copies in S3: real rclone and an S3 server, with objects in parts, and a server that fails in every way."""

from __future__ import annotations

import os
import shutil

import pytest

from ioc.archive import errand
from ioc.hosts.transport import from_shown
from ioc.model import ArchiveState, RunId, RunState
from ioc.topology.schema import Destination
from tests.archive.conftest import needs_s3
from tests.archive.copies_rig import NAME, Bench
from tests.archive.s3 import BUCKET, PART, S3Server
from tests.archive.test_archive_copies import HOSTILE

pytestmark = needs_s3
LONG = os.urandom(2 * PART + 1_000_000)
"""Three parts."""


def s3_destination(name: str = "tape", bucket: str = BUCKET, **options: object) -> Destination:
    return Destination.model_validate({"name": name, "rclone": f"s3:{bucket}", **options})


def key(run: RunId, name: bytes = NAME) -> str:
    return f"{run.directory}/data0/{os.fsdecode(name)}"


async def test_each_file_arrives_and_is_verified(local_bench: Bench, s3: S3Server) -> None:
    """Long files in parts, empty files and files of any name: what is in the bucket is what the routers have."""
    disk = local_bench.disk
    run = await disk.run()
    contents = [LONG, b"", *(b"%d" % number * 100 for number in range(len(HOSTILE)))]
    for content, name in zip(contents, [NAME, b"empty.graw", *HOSTILE], strict=True):
        await disk.file(run, content, name)
    async with local_bench.at_work(s3_destination()) as working:
        await working.until(lambda: disk.copies() == [("verified", "")] * len(contents), 120)
        assert not working.events
    assert s3.parts_sent(key(run)) == 3
    objects = s3.objects()
    assert sorted(objects.values()) == sorted(contents)
    assert objects[key(run)] == LONG
    for (path,) in disk.sql("SELECT path FROM file_copies"):
        assert from_shown(path).startswith(b"s3:")


async def test_a_bucket_that_does_not_exist(local_bench: Bench, s3: S3Server) -> None:
    """It is not made: its name may be wrong, or its rules are not those of the archive. Once it is there, it works."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, b"abc")
    async with local_bench.at_work(s3_destination(bucket="attpc-rwa")) as working:
        await working.until(lambda: working.copies.status("tape").state is ArchiveState.Failed)
        assert "NoSuchBucket" in working.copies.status("tape").message
        assert s3.rclone("lsf", "s3:").split() == [f"{BUCKET}/"]
        s3.make_bucket("attpc-rwa")
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])


async def test_a_server_that_goes_down_in_the_middle(local_bench: Bench, s3: S3Server) -> None:
    """Another destination is served meanwhile; when it is back, the file is copied and verified."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, LONG)
    async with local_bench.at_work(s3_destination(bandwidth_mbps=40), local_bench.destination("directory")) as working:
        await working.until(lambda: s3.parts_sent(key(run)) > 0)
        s3.down()
        await working.until(lambda: working.copies.status("tape").state is ArchiveState.Failed, 120)
        assert "refused" in working.copies.status("tape").message
        await working.until(lambda: ("verified", "") in local_bench.disk.copies())
        s3.up()
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")] * 2, 120)
    assert s3.objects() == {key(run): LONG}


async def test_a_run_gives_up_the_parts_that_were_sent(local_bench: Bench, s3: S3Server) -> None:
    """When a run ends the copying of a file in parts, no parts stay behind in the bucket, where they would cost."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, LONG)
    async with local_bench.at_work(s3_destination(bandwidth_mbps=20)) as working:
        await working.until(lambda: s3.parts_sent(key(run)) > 0)
        working.run(RunState.Running)
        await working.until(lambda: working.copies.status("tape").state is ArchiveState.Paused)
        await working.until(lambda: s3.unfinished() == 0)
        assert s3.objects() == {}


async def test_a_copy_that_cannot_be_compared_is_not_sent_again(
    local_bench: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails while a copy is read back says nothing about the copy: it is compared later."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, b"abc")
    rclone = shutil.which("rclone")
    broken = local_bench.tmp_path / "broken"
    broken.touch()
    use_program(
        local_bench,
        monkeypatch,
        f'case " $* " in *" cat "*) [ -e {broken} ] && {{ echo "the network is down" >&2; exit 1; }} ;; esac\n'
        f'exec {rclone} "$@"',
    )
    async with local_bench.at_work(s3_destination()) as working:
        await working.until(lambda: "the network is down" in working.copies.status("tape").message)
        assert "checksum" not in working.copies.status("tape").message
        broken.unlink()
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
    assert s3.times_sent(key(run)) == 1


async def test_an_empty_object_that_is_not_there_is_not_verified(local_bench: Bench, s3: S3Server) -> None:
    """Nothing is read where nothing is, as from an empty object: it is sent again."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, b"")
    async with local_bench.at_work(s3_destination()) as working:
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
        s3.rclone("deletefile", f"s3:{BUCKET}/{key(run)}")
        local_bench.disk.sql("UPDATE file_copies SET state = 'copied'")
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
    assert s3.objects() == {key(run): b""}


async def test_a_server_that_does_not_answer_any_more(
    local_bench: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rclone says every second that there is no progress; it is ended all the same, and the next destination served."""
    monkeypatch.setattr(errand, "SILENT_SECONDS", 3.0)
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, LONG)
    archive = (s3_destination(bandwidth_mbps=40), local_bench.destination("directory"))
    async with local_bench.at_work(*archive, pauses=(5.0, 5.0)) as working:
        await working.until(lambda: s3.parts_sent(key(run)) > 0)
        s3.freeze()
        await working.until(lambda: "no progress for" in working.copies.status("tape").message)
        await working.until(lambda: ("verified", "") in local_bench.disk.copies())
        s3.thaw()
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")] * 2)


def use_program(bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the program ``rclone`` of the host be another one."""
    programs = bench.tmp_path / "programs"
    programs.mkdir()
    (programs / "rclone").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "rclone").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
