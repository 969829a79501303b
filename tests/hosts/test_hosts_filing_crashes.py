"""Killed at any step of filing and started again, every byte is at exactly one place and recorded."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dying import DyingProgram
from tests.hosts.rig import contents, put
from tests.sshd import SshServer

ONE_FILE = {b"a b.graw": b"data"}
TWO_FILES = {b"a.graw": b"data of a", b"b \xe9.graw": b"data of b"}
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def filer() -> Iterator[DyingProgram]:
    """The program that files and dies."""
    filer = DyingProgram("tests.hosts.dying_filer")
    yield filer
    filer.close()


def crash_at_every_step(
    filer: DyingProgram,
    directory: pathlib.Path,
    files: dict[bytes, bytes],
    ssh: dict[str, Any] | None = None,
    other_disk: pathlib.Path | None = None,
) -> int:
    """Kill the filing at step 1, 2, … until it is done before that step; file again each time and judge."""
    for step in itertools.count(1):
        staging = directory / f"step{step}"
        staging.mkdir()
        place = staging / "e18008/run_0012"
        put(staging, files)
        if other_disk:
            (other_disk / f"step{step}").mkdir()
            (staging / "e18008").symlink_to(other_disk / f"step{step}")
        job = {"staging": str(staging), "records": str(directory / f"records{step}"), "ssh": ssh}
        outcome = filer.do(step=step, **job)
        both = [*contents(staging).values(), *(contents(place) if place.exists() else {}).values()]
        assert set(both) >= set(files.values()), "a crash must not lose anything"
        assert filer.do(step=0, **job) == "done"
        assert contents(place) == files
        assert contents(staging) == {}
        lines = (directory / f"records{step}").read_text().splitlines()
        expected = {
            f"{os.path.realpath(staging)}/e18008/run_0012/{name.decode(errors='backslashreplace')}": len(content)
            for name, content in files.items()
        }
        assert dict(json.loads(line) for line in lines) == expected
        if outcome == "done":
            return step
        assert outcome == "killed"
    raise AssertionError


def test_on_this_machine(filer: DyingProgram, tmp_path: pathlib.Path):
    """Locally, where a rename is a link and an unlink."""
    assert crash_at_every_step(filer, tmp_path, TWO_FILES) > 10


def test_over_ssh(filer: DyingProgram, shared_sshd: SshServer, tmp_path: pathlib.Path):
    """Over SSH, where the server renames."""
    assert crash_at_every_step(filer, tmp_path, ONE_FILE, shared_sshd.settings().model_dump()) > 8


def test_onto_another_file_system(filer: DyingProgram, tmp_path: pathlib.Path, other_disk: pathlib.Path):
    """Where a file is copied before it is removed."""
    assert crash_at_every_step(filer, tmp_path, ONE_FILE, other_disk=other_disk) > 7
