"""Copies at a remote of rclone that has no checksum of ours: their content is read back."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioc.sim.ports import free_port
from ioc.topology.schema import Destination
from tests.archive.conftest import needs_rclone
from tests.archive.copies_rig import NAME, Bench

CONTENT = os.urandom(300_000)

pytestmark = needs_rclone


@contextlib.contextmanager
def webdav(directory: Path) -> Iterator[str]:
    """Serve a directory by WebDAV, which knows no checksums; yields its address."""
    port = free_port()
    command = ["rclone", "serve", "webdav", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def xxh128(content: bytes) -> str:
    digits = subprocess.run(["xxhsum", "-H2"], input=content, capture_output=True, check=True).stdout.split()[0]
    return f"xxh128:{digits.decode()}"


@pytest.mark.skipif(shutil.which("xxhsum") is None, reason="xxhsum is not installed")
async def test_a_checksum_that_rclone_does_not_know(local_bench: Bench) -> None:
    """The copy is read back; a wrong byte in it is found, and it is copied again."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, CONTENT, checksum=xxh128(CONTENT))
    place = local_bench.tmp_path / "there" / run.directory / "data0" / os.fsdecode(NAME)
    async with local_bench.at_work(local_bench.destination("rclone")) as working:
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
        place.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
        local_bench.disk.sql("UPDATE file_copies SET state = 'copied'")
        await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
    assert place.read_bytes() == CONTENT


async def test_a_remote_without_checksums(local_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebDAV server that has none gives the content back, and the copy is verified."""
    run = await local_bench.disk.run()
    await local_bench.disk.file(run, CONTENT)
    with webdav(local_bench.tmp_path / "there") as address:
        for key, value in {"TYPE": "webdav", "URL": address, "VENDOR": "other"}.items():
            monkeypatch.setenv(f"RCLONE_CONFIG_DAV_{key}", value)
        destination = Destination.model_validate({"name": "dav", "rclone": "dav:runs"})
        async with local_bench.at_work(destination) as working:
            await working.until(lambda: local_bench.disk.copies() == [("verified", "")])
    assert local_bench.there() == {b"runs/" + os.fsencode(run.directory) + b"/data0/" + NAME: CONTENT}
