"""Filing: every byte ends at one place and is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.transport import from_shown, shown
from ioc.model import FiledFile, RunId
from tests.hosts.rig import Hosts, Records, contents, put, site

RUN = RunId("e18008", 12)


async def test_files_go_to_the_directory_of_the_run_and_are_recorded(hosts: Hosts, tmp_path: pathlib.Path):
    """Every .graw file is moved below EXPERIMENT/run_NNNN and recorded with its size; nothing else is touched."""
    staging = tmp_path / "data"
    staging.mkdir()
    files = {b"CoBo0_%04d.graw" % i: bytes(i) for i in range(20)}
    put(staging, files)
    put(staging, {b"notes.txt": b"mine", b"._CoBo0_0000.graw": b"resource fork"})
    records = Records()
    host = hosts(site(work_dir=staging))
    report = await host.file_run("data0", RUN, records)
    place = staging / "e18008/run_0012"
    assert contents(place) == files
    assert set(contents(staging)) == {b"notes.txt", b"._CoBo0_0000.graw"}
    assert records.sizes == {str(place / os.fsdecode(name)): len(content) for name, content in files.items()}
    assert (report.problem, report.complete) == ("", True)
    assert set(report.files) == set(records.files.values())
    assert report.earlier == 0
    assert {(f.router, f.host) for f in report.files} == {("data0", host.name)}


async def test_a_report_tells_what_was_filed_before(hosts: Hosts, tmp_path: pathlib.Path):
    """Filing again reports every file of the run, and how many of them were there when it began."""
    host = hosts(site(work_dir=tmp_path))
    counts: list[tuple[int, int]] = []
    for names in ([b"a.graw", b"b.graw"], [b"c.graw"], []):
        put(tmp_path, dict.fromkeys(names, b"data"))
        report = await host.file_run("data0", RUN, Records())
        counts.append((len(report.files), report.earlier))
    assert counts == [(2, 0), (3, 2), (3, 3)]


async def test_files_are_recorded_together(hosts: Hosts, tmp_path: pathlib.Path):
    """No file waits for the record of another, so that all can be in one transaction; filing ends after the last."""
    names = [b"CoBo0_%04d.graw" % i for i in range(20)]
    put(tmp_path, dict.fromkeys(names, b"data"))
    begun, all_begun, done = Records(), asyncio.Event(), Records()

    async def record(file: FiledFile) -> None:
        await begun(file)
        if len(begun.files) == len(names):
            all_begun.set()
        await asyncio.wait_for(all_begun.wait(), 60)
        await done(file)

    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, record)
    assert report.complete
    assert set(report.files) == set(done.files.values()) == set(begun.files.values())
    assert contents(tmp_path / RUN.directory).keys() == set(names)


ODD_NAMES = (
    b"with space.graw",
    b"it's.graw",
    b'"quoted" $HOME `id`.graw',
    b"new\nline.graw",
    b"caf\xe9.graw",
    b"-rf.graw",
    "µ→.graw".encode(),
    b"\\x41.graw",
    b"*.graw",
)


async def test_odd_names_survive(hosts: Hosts, tmp_path: pathlib.Path):
    """Files keep their names to the byte; the records escape only bytes that are not UTF-8."""
    files = {name: b"data of " + name for name in ODD_NAMES}
    put(tmp_path, files)
    records = Records()
    report = await hosts(site(work_dir=tmp_path), settle_seconds=0).file_run("data0", RUN, records)
    assert contents(tmp_path / RUN.directory) == files
    assert report.complete
    place = f"{tmp_path}/e18008/run_0012"
    assert set(records.sizes) == {f"{place}/{shown(name)}" for name in ODD_NAMES}


@given(st.binary(max_size=30) | st.text(alphabet="\\x4a1é\udcff").map(os.fsencode))
def test_a_path_that_was_shown_can_be_found_again(path: bytes):
    """The text of any path leads back to it, and differs from its own only where bytes are not UTF-8."""
    assert from_shown(shown(path)) == path
    with contextlib.suppress(UnicodeDecodeError):
        if b"\\x" not in path:
            assert shown(path) == path.decode()


async def test_a_name_that_is_taken_keeps_both(hosts: Hosts, tmp_path: pathlib.Path):
    """Of two files with one name the second gets a name that says so, the report tells, nothing is overwritten."""
    place = tmp_path / RUN.directory
    place.mkdir(parents=True)
    put(place, {b"x.graw": b"first"})
    host = hosts(site(work_dir=tmp_path))
    records = Records()
    for content in (b"second", b"first"):
        put(tmp_path, {b"x.graw": content})
        report = await host.file_run("data0", RUN, records)
        assert report.complete
        assert f"x.graw already existed on {host.name}: the second file is {place}/x.duplicate-" in report.problem
    assert contents(place) == {
        b"x.graw": b"first",
        b"x.duplicate-1": b"second",
        b"x.duplicate-2": b"first",
    }
    names = {f.path.rpartition("/")[2] for f in records.files.values()}
    assert names == {"x.graw", "x.duplicate-1", "x.duplicate-2"}


async def test_data_of_a_start_after_the_run_are_not_filed(hosts: Hosts, tmp_path: pathlib.Path):
    """What a board begins after a Start during filing stays, also at the next attempt; what was in flight is filed."""
    board = b"CoBo0_AsAd0_2026-11-28T18:"
    of_run = {board + b"14:59.411_0000.graw": b"run"}
    in_flight = {board + b"15:03.9_0001.graw": b"more", b"CoBo1_AsAd0_2026-11-28T18:15:04.0_0000.graw": b"first"}
    again = {board + b"15:04.654_0000.graw": b"other", board + b"15:04.654_0001.graw": b"too"}
    put(tmp_path, of_run)
    host, records = hosts(site(work_dir=tmp_path)), Records()

    async def refuse(file: FiledFile) -> None:
        put(tmp_path, in_flight | again)
        raise PeerError("the disk of the database is full")

    with pytest.raises(PeerError):
        await host.file_run("data0", RUN, refuse)
    report = await host.file_run("data0", RUN, records)
    assert contents(tmp_path / RUN.directory) == of_run | in_flight
    assert contents(tmp_path) == again
    assert report.complete
    assert report.problem.startswith("2 files begun after the run was stopped")
    assert len(records.files) == 3
    await host.file_run("data0", RUN, records)  # Organize
    assert contents(tmp_path / RUN.directory) == of_run | in_flight | again
