"""Filing when things go wrong: files that grow, directories that cannot be written, connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pathlib
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ioc.errors import PeerError
from ioc.hosts.host import WORKERS
from ioc.hosts.transport import Entry, Transport
from ioc.model import FiledFile, RunId
from tests.hosts.rig import Hosts, Records, contents, put, site
from tests.sshd import SshServer

RUN = RunId("e18008", 12)


async def until(condition, seconds: float = 60.0) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_files_that_grow_are_waited_for(hosts: Hosts, tmp_path: pathlib.Path):
    """A file is not moved before its size has been the same for the settle time."""
    file = tmp_path / "x.graw"
    file.write_bytes(b"0")
    filing = asyncio.ensure_future(hosts(site(work_dir=tmp_path), settle_seconds=3.0).file_run("data0", RUN, Records()))
    for _ in range(10):
        await asyncio.sleep(0.1)
        with file.open("ab") as growing:
            growing.write(b"1")
        assert not (tmp_path / RUN.directory).exists()
    report = await filing
    assert contents(tmp_path / RUN.directory) == {b"x.graw": b"0" + 10 * b"1"}
    assert [file.size for file in report.files] == [11]


async def test_a_file_that_never_stops_growing(hosts: Hosts, tmp_path: pathlib.Path):
    """At the time-out the file is left where it is, and the report names it."""
    host = hosts(site(work_dir=tmp_path), settle_seconds=3.0, filing_timeout=4.0)
    filing = asyncio.ensure_future(host.file_run("data0", RUN, Records()))
    begin = time.monotonic()
    for size in itertools.count(1):
        (tmp_path / "x.graw").write_bytes(bytes(size))
        if filing.done():
            break
        await asyncio.sleep(0.01)
    report = await filing
    assert time.monotonic() - begin < 15
    assert (report.complete, report.files) == (False, ())
    assert "run 12 of router data0" in report.problem
    assert "x.graw still changes after 4 s" in report.problem
    assert (tmp_path / "x.graw").exists()


async def test_files_that_come_late_are_filed_too(hosts: Hosts, tmp_path: pathlib.Path):
    """A file that appears while others are filed, and one that grows after its move, are filed and recorded whole."""
    put(tmp_path, {b"a.graw": b"1", b"b.graw": b"2"})
    records = Records()
    late = iter((b"c.graw", b"d.graw"))

    def on_record() -> None:
        with contextlib.suppress(StopIteration):
            put(tmp_path, {next(late): b"late"})
            with (tmp_path / RUN.directory / "a.graw").open("ab") as moved:
                moved.write(b"+")

    records.on_record = on_record
    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, records)
    expected = {b"a.graw": b"1++", b"b.graw": b"2", b"c.graw": b"late", b"d.graw": b"late"}
    assert contents(tmp_path / RUN.directory) == expected
    assert contents(tmp_path) == {}
    assert report.complete
    place = f"{tmp_path}/{RUN.directory}"
    assert records.sizes == {f"{place}/{name.decode()}": len(content) for name, content in expected.items()}


async def test_times_of_files_do_not_matter(hosts: Hosts, tmp_path: pathlib.Path):
    """With the host's clock set back, so that files are from the future, they are filed like others."""
    put(tmp_path, {b"a.graw": b"1"})
    os.utime(tmp_path / "a.graw", (4e9, 4e9))
    begin = time.monotonic()
    assert (await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, Records())).complete
    assert time.monotonic() - begin < 15


async def test_many_files_are_filed(hosts: Hosts, tmp_path: pathlib.Path):
    """Thousands of files are all counted, filed and recorded."""
    number = 1_000 if hosts.sshd else 10_000
    put(tmp_path, {b"%05d.graw" % i: b"1" for i in range(number)})
    records = Records()
    host = hosts(site(work_dir=tmp_path), filing_timeout=100.0)
    facts = (await host.router_facts(RUN.directory))["data0"]
    assert (facts.file_count, facts.staged_bytes) == (number, number)
    report = await host.file_run("data0", RUN, records)
    assert report.complete
    assert len(records.files) == len(contents(tmp_path / RUN.directory)) == number


async def test_nothing_staged(hosts: Hosts, tmp_path: pathlib.Path):
    """A router without files is done at once; its run has a directory all the same, for the program that merges."""
    begin = time.monotonic()
    report = await hosts(site(work_dir=tmp_path), settle_seconds=60).file_run("data0", RUN, Records())
    assert time.monotonic() - begin < 15
    assert (report.complete, report.files, report.problem) == (True, (), "")
    assert contents(tmp_path / RUN.directory) == {}


async def test_no_working_directory_is_known(hosts: Hosts):
    """A router of which nothing is known cannot be filed, and the report says why."""
    report = await hosts(site("data7", port=1)).file_run("data7", RUN, Records())
    assert not report.complete
    assert "run 12 of router data7 cannot be filed" in report.problem


async def test_a_file_in_place_of_the_directory(hosts: Hosts, tmp_path: pathlib.Path):
    """Where a directory cannot be made, the files stay and the report names what is in the way."""
    put(tmp_path, {b"x.graw": b"1", b"e18008": b"a file"})
    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, Records())
    assert (report.complete, report.files) == (False, ())
    assert f"{tmp_path}/e18008 is a file, but must be a directory" in report.problem
    assert contents(tmp_path) == {b"x.graw": b"1", b"e18008": b"a file"}


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Be a user whom permissions bind, if we are root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


async def test_a_directory_that_cannot_be_written(local_hosts: Hosts):
    """Without permission to write, the files stay and the report says which directory it is."""
    with tempfile.TemporaryDirectory() as staging:
        put(pathlib.Path(staging), {b"x.graw": b"1"})
        pathlib.Path(staging).chmod(0o555)
        with ordinary_user():
            report = await local_hosts(site(work_dir=staging)).file_run("data0", RUN, Records())
        assert not report.complete
        assert f"{staging}/e18008: Permission denied" in report.problem
        assert contents(pathlib.Path(staging)) == {b"x.graw": b"1"}


async def test_a_router_that_filed_before_the_record_is_recorded_again(hosts: Hosts, tmp_path: pathlib.Path):
    """Files that an interrupted attempt moved but did not record are recorded by the next, even with nothing staged."""
    place = tmp_path / RUN.directory
    place.mkdir(parents=True)
    named = {b"a.graw": 3, b"b.duplicate-1": 1, b"c_duplicate-1.graw": 2}  # the last as version 0.1 named it
    put(place, {name: bytes(size) for name, size in named.items()})
    put(place, {b".c.partial": b"half", b"._a.graw": b"resource fork"})
    records = Records()
    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, records)
    assert records.sizes == {f"{place}/{name.decode()}": size for name, size in named.items()}
    assert report.problem.startswith("b.graw already existed")


async def test_two_filings_of_one_router_at_once(hosts: Hosts, tmp_path: pathlib.Path):
    """Stop and Organize at the same moment do not get into each other's way."""
    put(tmp_path, {b"%d.graw" % i: b"1" for i in range(30)})
    host = hosts(site(work_dir=tmp_path))
    first, second = Records(), Records()
    reports = await asyncio.gather(*(host.file_run("data0", RUN, records) for records in (first, second)))
    assert [report.problem for report in reports] == ["", ""]
    assert first.sizes == second.sizes
    assert len(first.sizes) == 30


async def test_two_routers_with_one_name_for_their_files(hosts: Hosts, tmp_path: pathlib.Path):
    """Routers of one host are filed at the same time, each in its own directory."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        put(tmp_path / name, {b"%d.graw" % i: name.encode() for i in range(30)})
    host = hosts(site("one", 1, tmp_path / "one"), site("two", 2, tmp_path / "two"))
    await asyncio.gather(*(host.file_run(name, RUN, Records()) for name in ("one", "two")))
    for name in ("one", "two"):
        assert set(contents(tmp_path / name / RUN.directory).values()) == {name.encode()}


class Holding:
    """A transport that looks at no file until it is released."""

    def __init__(self, transport: Transport, released: threading.Event) -> None:
        self._transport = transport
        self._released = released

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def look(self, path: bytes) -> Entry:
        """Look when released."""
        assert self._released.wait(60)
        return self._transport.look(path)


async def test_a_filing_does_not_stop_the_look(hosts: Hosts, tmp_path: pathlib.Path):
    """While filings keep every other thread of the host busy, the facts keep coming."""
    (tmp_path / "log").write_text("hello")
    released = threading.Event()
    host = hosts(site(work_dir=tmp_path), wrap=lambda transport: Holding(transport, released))
    busy = [asyncio.ensure_future(host.log_tail(str(tmp_path / "log"))) for _ in range(WORKERS)]
    for _ in range(3):
        assert (await host.router_facts(RUN.directory))["data0"].clean
    released.set()
    assert await asyncio.gather(*busy) == ["hello"] * WORKERS


async def test_a_filing_that_is_given_up_leaves_nothing_behind(hosts: Hosts, tmp_path: pathlib.Path):
    """A filing that is cancelled at its very begin ends, and closing the host ends what it had asked for."""
    put(tmp_path, {b"x.graw": b"data"})
    host = hosts(site(work_dir=tmp_path))
    filing = asyncio.ensure_future(host.file_run("data0", RUN, Records()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    filing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filing
    await host.close()
    hosts.made.remove(host)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert contents(tmp_path) == {b"x.graw": b"data"}


async def test_a_record_that_fails_is_an_error(hosts: Hosts, tmp_path: pathlib.Path):
    """If the database refuses, filing fails with its error; once it works, the next filing records every file."""
    put(tmp_path, {b"a.graw": b"1", b"b.graw": b"2"})
    host = hosts(site(work_dir=tmp_path))

    async def refuse(file: FiledFile) -> None:
        raise PeerError(f"the database is locked, {file.path} is not recorded")

    with pytest.raises(PeerError, match="the database is locked"):
        await host.file_run("data0", RUN, refuse)
    records = Records()
    assert (await host.file_run("data0", RUN, records)).complete
    assert records.sizes == {f"{tmp_path}/{RUN.directory}/{name}.graw": 1 for name in "ab"}


async def test_a_connection_that_breaks_while_filing(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """If the SSH server dies in the middle and comes back soon, filing goes on and no file is lost."""
    put(tmp_path, {b"%04d.graw" % i: b"%d" % i for i in range(200)})
    records = Records()
    killed: list[bool] = []

    def kill_once() -> None:
        if len(records.files) == 50 and not killed:
            sshd.stop()
            killed.append(True)

    records.on_record = kill_once
    filing = asyncio.ensure_future(own_hosts(site(work_dir=tmp_path)).file_run("data0", RUN, records))
    await until(lambda: killed)
    sshd.start()
    report = await filing
    assert (report.complete, len(report.files), report.earlier) == (True, 200, 0)
    assert contents(tmp_path / RUN.directory) == {b"%04d.graw" % i: b"%d" % i for i in range(200)}
    assert len(records.files) == 200


async def test_a_connection_that_stays_away(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """If the host does not come back, filing fails within the time-outs; what was moved is recorded."""
    put(tmp_path, {b"%04d.graw" % i: b"1" for i in range(50)})
    records = Records()
    records.on_record = lambda: sshd.stop() if len(records.files) == 10 else None
    begin = time.monotonic()
    with pytest.raises(PeerError, match=r"127\.0\.0\.1"):
        await own_hosts(site(work_dir=tmp_path), ssh_timeout=3.0).file_run("data0", RUN, records)
    assert time.monotonic() - begin < 20
    assert len(contents(tmp_path / RUN.directory)) in (10, 11)


async def test_another_file_system(hosts: Hosts, tmp_path: pathlib.Path, other_disk: pathlib.Path):
    """Where the experiment's directory is on another disk, files are copied, compared and only then removed."""
    (tmp_path / RUN.experiment).symlink_to(other_disk)
    files = {b"a.graw": bytes(range(256)) * 4096, b"b \xff\n'.graw": b"2", b"same.graw": b"staged"}
    put(tmp_path, files)
    place = other_disk / "run_0012"
    place.mkdir()
    put(place, {b"same.graw": b"was there", b".a.partial": b"half a copy"})
    records = Records()
    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, records)
    assert report.complete
    assert contents(tmp_path) == {}
    assert contents(place) == {
        **files,
        b"same.graw": b"was there",
        b"same.duplicate-1": b"staged",
    }
    assert len(records.files) == 4


async def test_a_copy_that_was_cut_off_before_the_source_was_removed(
    hosts: Hosts, tmp_path: pathlib.Path, other_disk: pathlib.Path
):
    """A true copy on the other disk is recognised: the file is not filed twice."""
    (tmp_path / RUN.experiment).symlink_to(other_disk)
    (other_disk / "run_0012").mkdir()
    for directory in (tmp_path, other_disk / "run_0012"):
        put(directory, {b"a.graw": b"data"})
    put(other_disk / "run_0012", {b".a.partial": b"data"})
    assert (await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, Records())).complete
    assert contents(other_disk / "run_0012") == {b"a.graw": b"data"}
    assert contents(tmp_path) == {}


async def test_a_disk_that_is_full(local_hosts: Hosts, tmp_path: pathlib.Path, other_disk: pathlib.Path):
    """If a copy does not fit (a limit on file sizes stands in), the file stays, and no half copy is left."""
    (tmp_path / RUN.experiment).symlink_to(other_disk)
    put(tmp_path, {b"a.graw": bytes(200_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    host = local_hosts(site(work_dir=tmp_path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        report = await host.file_run("data0", RUN, Records())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not report.complete
    assert "cannot copy" in report.problem
    assert contents(other_disk / "run_0012") == {}
    assert contents(tmp_path) == {b"a.graw": bytes(200_000)}


async def test_links_at_the_destination_are_not_followed(hosts: Hosts, tmp_path: pathlib.Path):
    """If the destination has a link to the very file that is staged, the file is kept under another name."""
    place = tmp_path / RUN.directory
    place.mkdir(parents=True)
    put(tmp_path, {b"x.graw": b"data"})
    (place / "x.graw").symlink_to(tmp_path / "x.graw")
    assert (await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, Records())).complete
    assert (place / "x.duplicate-1").read_bytes() == b"data"


async def test_a_run_directory_that_is_the_staging_directory(local_hosts: Hosts, tmp_path: pathlib.Path):
    """If somebody made the run's directory a link to the staging directory, no file is lost."""
    put(tmp_path, {b"x.graw": b"data"})
    (tmp_path / RUN.experiment).mkdir()
    (tmp_path / RUN.directory).symlink_to(tmp_path)
    report = await local_hosts(site(work_dir=tmp_path), filing_timeout=1.0).file_run("data0", RUN, Records())
    assert not report.complete
    assert list(contents(tmp_path).values()) == [b"data"]


async def test_an_answer_that_makes_no_sense_removes_nothing(
    hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """If the host cannot compare two files of one name, both stay where they are and it is said."""
    place = tmp_path / RUN.directory
    place.mkdir(parents=True)
    for directory in (tmp_path, place):
        put(directory, {b"x.graw": b"data"})
    monkeypatch.setattr("ioc.hosts.placing.COMPARE", "main() { :; }")
    report = await hosts(site(work_dir=tmp_path)).file_run("data0", RUN, Records())
    assert (report.complete, "cannot compare" in report.problem) == (False, True)
    assert contents(tmp_path) == contents(place) == {b"x.graw": b"data"}
