"""Filing a run of a router that worked in more than one directory."""

from __future__ import annotations

import asyncio
import os
import pathlib
import shutil

import pytest

from ioc.hosts.transport import shown
from ioc.model import RunId
from tests.hosts.rig import DataRouters, Hosts, Records, contents, put, site

RUN = RunId("e18008", 12)


async def test_a_router_that_was_started_elsewhere_in_the_run(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """Each directory that the router had in the run is filed in itself: no file is forgotten, none goes to another."""
    places = [tmp_path / "first", tmp_path / os.fsdecode(b"s\xe9cond \\x41"), tmp_path / "other"]
    for place in places:
        place.mkdir()
    port = data_routers.start(places[0])
    host = hosts(site(port=port))
    known, names = [], []
    for place in places[:2]:
        data_routers.stop()
        data_routers.start(place, port)
        known.append((await host.router_facts(RUN.directory))["data0"].work_dir)
        names.append(data_routers.connect(port).send("CoBo0_AsAd0", f"data in {place.name!a}").encode())
    put(places[2], {b"foreign.graw": b"of another run"})
    data_routers.stop()
    records = Records()
    # As after a restart: only the database knows where the router was.
    report = await hosts(site(port=port)).file_run("data0", RUN, records, known)
    assert (report.problem, report.complete) == ("", True)
    for place, name in zip(places, names, strict=False):
        assert contents(place / RUN.directory) == {name: f"data in {place.name!a}".encode()}
        assert contents(place) == {}
    assert contents(places[2]) == {b"foreign.graw": b"of another run"}
    assert set(records.sizes) == {
        f"{text}/{RUN.directory}/{name.decode()}" for text, name in zip(known, names, strict=True)
    }


async def test_the_present_directory_is_filed_beside_those_named(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """The directory where the router works now belongs to the run too, named or not; each has the run's directory."""
    places = [tmp_path / "old", tmp_path / "present", tmp_path / "empty"]
    for place in places:
        place.mkdir()
        put(place, {b"a.graw": place.name.encode()} if place.name != "empty" else {})
    port = data_routers.start(places[1])
    report = await hosts(site(port=port)).file_run("data0", RUN, Records(), [str(places[0]), str(places[2])])
    assert (report.problem, report.complete) == ("", True)
    assert [contents(place / RUN.directory) for place in places] == [{b"a.graw": b"old"}, {b"a.graw": b"present"}, {}]


async def test_one_directory_by_many_names(hosts: Hosts, tmp_path: pathlib.Path):
    """A directory that is named twice, also through a link, is filed once: nothing is counted twice."""
    place = tmp_path / "data"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    put(place, {b"a.graw": b"1"})
    records = Records()
    names = [str(place), str(tmp_path / "link"), f"{place}/", str(place), f"{tmp_path}/link/../data", "", "relative"]
    report = await hosts(site()).file_run("data0", RUN, records, names)
    assert (report.problem, report.complete) == ("", True)
    assert records.sizes == {f"{place}/{RUN.directory}/a.graw": 1}


async def test_one_directory_of_two_routers(hosts: Hosts, tmp_path: pathlib.Path):
    """Two routers that share a directory are filed at the same time without getting into each other's way."""
    put(tmp_path, {b"%d.graw" % i: b"1" for i in range(30)})
    host, records = hosts(site("one"), site("two")), Records()
    reports = await asyncio.gather(*(host.file_run(name, RUN, records, [str(tmp_path)]) for name in ("one", "two")))
    assert [(report.problem, report.complete) for report in reports] == [("", True)] * 2
    assert len(contents(tmp_path / RUN.directory)) == len(records.sizes) == 30


def a_file(place: pathlib.Path) -> None:
    put(place.parent, {place.name.encode(): b""})


def nothing(place: pathlib.Path) -> None:
    del place


@pytest.mark.parametrize("there_is", [nothing, a_file])
async def test_a_directory_that_is_gone(hosts: Hosts, tmp_path: pathlib.Path, there_is):
    """A directory that is gone makes the report incomplete; its sentence says how to go on, and that works."""
    place, gone = tmp_path / "data", tmp_path / "it went"
    place.mkdir()
    there_is(gone)
    put(place, {b"a.graw": b"1"})
    host = hosts(site())
    report = await host.file_run("data0", RUN, Records(), [str(place), str(gone)])
    assert not report.complete
    assert f"directory {gone} on {host.name}, where router data0 worked in this run, is gone" in report.problem
    assert f"mkdir -p '{gone}'" in report.problem
    assert set(contents(place / RUN.directory)) == {b"a.graw"}
    gone.unlink(missing_ok=True)
    gone.mkdir()
    report = await host.file_run("data0", RUN, Records(), [str(place), str(gone)])
    assert (report.complete, report.problem) == (True, "")


async def test_a_directory_without_data_may_be_gone(hosts: Hosts, tmp_path: pathlib.Path):
    """One that may be gone is said and holds up nothing; while it is there, it is filed as all others."""
    place, gone = tmp_path / "data", tmp_path / "renamed"
    place.mkdir()
    put(place, {b"a.graw": b"1"})
    host = hosts(site())
    names = [str(place), str(gone)]
    report = await host.file_run("data0", RUN, Records(), names, may_be_gone=[str(gone)])
    assert report.complete
    assert report.problem == (
        f"directory {gone} on {host.name}, where router data0 worked in this run, is gone: it was renamed, or no file "
        "was seen in it"
    )
    assert set(contents(place / RUN.directory)) == {b"a.graw"}
    gone.mkdir()
    put(gone, {b"b.graw": b"2"})
    report = await host.file_run("data0", RUN, Records(), names, may_be_gone=[str(gone)])
    assert (report.complete, report.problem) == (True, "")
    assert set(contents(gone / RUN.directory)) == {b"b.graw"}


async def test_a_directory_that_was_deleted_under_the_router(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """If the present directory was deleted, filing says so, and files what the others have."""
    place, first = tmp_path / "data", tmp_path / "first"
    for each in (place, first):
        each.mkdir()
    put(first, {b"a.graw": b"1"})
    port = data_routers.start(place)
    shutil.rmtree(place)
    report = await hosts(site(port=port)).file_run("data0", RUN, Records(), [str(first)])
    assert not report.complete
    assert f"({place})" in report.problem
    assert "was deleted" in report.problem
    assert set(contents(first / RUN.directory)) == {b"a.graw"}


async def test_an_old_directory_that_cannot_be_written_any_more(hosts: Hosts, tmp_path: pathlib.Path):
    """An old directory without a file, where the run's cannot be made, blocks nothing; one with a file does."""
    place, old = tmp_path / "data", tmp_path / "old"
    for each in (place, old):
        each.mkdir()
    put(old, {b"e18008": b"in the way"})
    host = hosts(site(work_dir=place))
    report = await host.file_run("data0", RUN, Records(), [str(old)])
    assert (report.problem, report.complete) == ("", True)
    put(old, {b"a.graw": b"1"})
    report = await host.file_run("data0", RUN, Records(), [str(old)])
    assert not report.complete
    assert f"{old}/e18008 is a file" in report.problem


async def test_no_directory_is_known_but_one_was(hosts: Hosts, tmp_path: pathlib.Path):
    """A router that is away is filed where it was; that it is away is no problem then."""
    put(tmp_path, {b"a.graw": b"1"})
    report = await hosts(site()).file_run("data0", RUN, Records(), [shown(os.fsencode(tmp_path))])
    assert (report.problem, report.complete) == ("", True)
