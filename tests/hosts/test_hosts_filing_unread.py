"""A router that does not read: what has arrived for it is not in its files yet."""

from __future__ import annotations

import pathlib

from ioc.model import RunId
from tests.hosts.rig import DataRouters, Hosts, Records, contents, site

RUN = RunId("e18008", 12)


async def test_the_files_of_a_router_that_does_not_read_stay_until_it_has(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """A frozen router is not filed: it would write the rest into a second file of the same name, which no merger reads.

    The report says what to do, and when the router continues, all its data are filed in one file.
    """
    port = data_routers.start(tmp_path)
    source = data_routers.connect(port)
    name = source.send("CoBo0_AsAd0", "one")
    host, records = hosts(site(port=port)), Records()
    data_routers.freeze()
    source.push("CoBo0_AsAd0", "two")
    report = await host.file_run("data0", RUN, records)
    pid = data_routers.running[0].pid
    assert not report.complete
    assert report.problem == (
        "it does not read what arrives for it: press Ctrl-Q in its terminal, or continue it "
        f"(kill -CONT {pid} on {host.name}); if it is restarted, what it has not read is lost"
    )
    assert (tmp_path / name).read_text() == "one"
    assert not records.files
    data_routers.thaw()
    assert source.stored() == name
    report = await host.file_run("data0", RUN, records)
    assert (report.complete, report.problem) == (True, "")
    assert contents(tmp_path / RUN.directory) == {name.encode(): b"onetwo"}


async def test_a_router_that_reads_late_is_filed_at_once(
    hosts: Hosts, data_routers: DataRouters, tmp_path: pathlib.Path
):
    """Data that a router has read by the time its files have settled do not delay anything."""
    port = data_routers.start(tmp_path)
    source = data_routers.connect(port)
    name = source.send("CoBo0_AsAd0", "one")
    facts = (await hosts(site(port=port)).router_facts(RUN.directory))["data0"]
    assert facts.unread == 0
    data_routers.freeze()
    source.push("CoBo0_AsAd0", "two")
    facts = (await hosts(site(port=port)).router_facts(RUN.directory))["data0"]
    assert facts.unread == len("CoBo0_AsAd0 two\n")
    data_routers.thaw()
    source.stored()
    report = await hosts(site(port=port)).file_run("data0", RUN, Records())
    assert report.complete
    assert contents(tmp_path / RUN.directory) == {name.encode(): b"onetwo"}
