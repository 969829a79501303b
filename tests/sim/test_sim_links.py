"""Links between the sources and the router processes of a simulated site: who listens, and who is connected."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim_clients import ask, exchange, link_table, until
from sim_site import files, links, make_ready, plan_for, sent, sockets

from ioc.sim import RouterPlan, Site

BOTH, CONTROL, DATA, NONE = {"control", "data"}, {"control"}, {"data"}, set[str]()


async def look(site: Site, router: str = "data0") -> tuple[set[str], set[str]]:
    """Ports of a router that listen, and that are connected."""
    return await sockets(site, "LISTEN", router), await sockets(site, "ESTABLISHED", router)


async def test_tcp_router_listens_only_without_a_source(site: Site) -> None:
    """While a source is connected the router has only its control port open; later it listens again."""
    assert await look(site) == (BOTH, NONE)
    port = await make_ready(site)
    for operation in ("Start", "Stop"):
        assert await look(site) == (CONTROL, DATA)
        await ask(port, operation)
    assert await look(site) == (CONTROL, DATA)
    assert await exchange(site.addresses.routers["data0"].control_port, b"") == b""
    with pytest.raises(AssertionError, match="Connection refused"):
        await make_ready(site, "Mutant", "Mutant[master]", "data0")
    await ask(port, "Breakup")
    assert await look(site) == (BOTH, NONE)


async def test_fdt_router_is_connected_only_in_a_run(site: Site) -> None:
    """Idle and Ready, and again after Stop and Pause, both ports listen; Running the control port only."""
    port = await make_ready(site, "Mutant", "Mutant[master]", "mutant", "FDT")
    assert await look(site, "mutant") == (BOTH, NONE)
    for end in ("Stop", "Pause"):
        await ask(port, "Start")
        await until(lambda: files(site, "mutant"))
        assert await look(site, "mutant") == (CONTROL, DATA)
        assert (await ask(port, end)).code == 0
        assert await look(site, "mutant") == (BOTH, NONE)


async def test_fdt_router_that_is_down_fails_start(site: Site) -> None:
    """Configure does not need the router, Start does: it fails with 4 and works once the router is there."""
    await site.control({"router": "mutant", "do": "kill"})
    port = await make_ready(site, "Mutant", "Mutant[master]", "mutant", "FDT")
    failed = await ask(port, "Start")
    assert failed.code == 4
    assert failed.field("ErrorMessage").startswith("Mutant[master]: Could not establish data link. TCP connection to ")
    assert (await ask(port, "GetState")).state == 4
    await site.control({"router": "mutant", "do": "restart"})
    assert (await ask(port, "Start")).code == 0
    await until(lambda: files(site, "mutant"))


async def test_ice_router_takes_any_number(tmp_path: Path) -> None:
    """An ICE router listens always, takes two sources at once, and gets its data again after a restart."""
    async with Site(plan_for(tmp_path, routers=(RouterPlan("data0", "ICE"),))) as site:
        ports = [
            await make_ready(site, link_type="ICE"),
            await make_ready(site, "Mutant", "Mutant[master]", "data0", "ICE"),
        ]
        assert await look(site) == (BOTH, DATA)
        for port in ports:
            await ask(port, "Start")
        await until(lambda: len(files(site)) == 5)
        await site.control({"router": "data0", "do": "restart", "directory": "new"})
        new = Path(site.addresses.routers["data0"].work_dir).with_name("new")
        await until(lambda: len(list(new.glob("*.graw"))) == 5)
        await site.control({"source": "CoBo[0]", "do": "reset"})
        assert "data" in await sockets(site, "LISTEN")


async def test_only_the_first_link_of_a_source_counts(site: Site) -> None:
    """A second link of a source vanishes without a word: its router gets nothing, and the answer has only the first."""
    port = site.addresses.servers["CoBo0"].port
    tables = [link_table("CoBo[0]", router.port) for router in site.addresses.routers.values()]
    table = "".join(tables).replace("</DataLinkSet><DataLinkSet>", "")
    for operation in ("Describe", "Prepare"):
        await ask(port, operation)
    configured = await ask(port, "Configure", table=table)
    assert (configured.code, configured.field("Text").count("<DataLink>")) == (0, 1)
    assert (await look(site), await look(site, "mutant")) == ((CONTROL, DATA), (BOTH, NONE))


async def test_restarted_router_gets_no_data(site: Site) -> None:
    """A router restarted after Configure has lost its source: Start succeeds, but the run is empty until Configure."""
    port = await make_ready(site)
    before = (await site.control({"do": "status"}))["routers"]["data0"]["pid"]
    await site.control({"router": "data0", "do": "restart"})
    assert (await site.control({"do": "status"}))["routers"]["data0"]["pid"] != before
    assert await links(site) == 0
    assert (await ask(port, "Start")).code == 0
    await sent(site, 3)
    assert ((await ask(port, "GetState")).state, files(site)) == (5, {})
    table = link_table("CoBo[0]", site.addresses.routers["data0"].port)
    for operation in ("Stop", "Breakup", "Configure", "Start"):
        assert (await ask(port, operation, table=table)).code == 0
    await until(lambda: len(files(site)) == 4)


@pytest.mark.parametrize("link_type", ["TCP", "FDT"])
async def test_reset_makes_a_router_deaf(link_type: str, site: Site) -> None:
    """After a TCP RST the process lives with its control port only, and nobody can connect to it until a restart."""
    router = "mutant" if link_type == "FDT" else "data0"
    port = await make_ready(site, router=router, link_type=link_type)
    await ask(port, "Start")
    await site.control({"source": "CoBo[0]", "do": "reset"})
    assert await links(site) == 0
    for operation in ("Stop", "Breakup"):
        assert (await ask(port, operation)).code == 0
    await site.control({"router": router, "do": "accept"})
    assert await look(site, router) == (CONTROL, NONE)
    table = link_table("CoBo[0]", site.addresses.routers[router].port, link_type)
    codes = [(await ask(port, operation, table=table)).code for operation in ("Configure", "Start")]
    assert codes == ([3, 0] if link_type == "TCP" else [0, 4])
    await site.control({"router": router, "do": "restart"})
    for operation in ("Configure", "Start"):
        assert (await ask(port, operation, table=table)).code == 0
    await until(lambda: files(site, router))


async def test_data_outlive_the_ecc_server(site: Site) -> None:
    """A server that is killed in a run and restarted is Idle while data go on; the first Configure after it fails."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: files(site))
    await site.control({"ecc": "CoBo0", "do": "kill"})
    at_death = sum(files(site).values())
    await site.control({"ecc": "CoBo0", "do": "restart"})
    assert (await ask(port, "GetState")).state == 1
    await until(lambda: sum(files(site).values()) > at_death)
    assert await look(site) == (CONTROL, DATA)
    with pytest.raises(AssertionError, match=r"(?s)to its data router.*Connection refused"):
        await make_ready(site)
    assert (await ask(port, "GetState")).state == 3
    assert await look(site) == (BOTH, NONE)
    await make_ready(site)


async def test_router_is_free_when_a_command_is_done(site: Site) -> None:
    """A command that ends a link answers when the router listens again; one that does not leaves the link alone."""
    port = await make_ready(site)
    await site.control({"ecc": "CoBo0", "do": "state", "state": "Running"})
    assert await links(site) == 1
    for command in ({"do": "state", "state": "Idle"}, {"do": "kill", "links": "end"}, {"do": "break-electronics"}):
        await site.control({"ecc": "CoBo0", **command})
        assert await links(site) == 0
        if command["do"] != "state":
            await site.control({"ecc": "CoBo0", "do": "restart"})
        assert await make_ready(site) == port
