"""The server as a whole: PVs that come and go, start and end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import caproto as ca
import pytest
from raw_client import RawClient

from ioc.ca import CaServer, IntPv, StringPv
from tests.ca.serving import Serve
from tests.epics import Epics, eventually


async def test_pvs_come_and_go(epics: Epics, serve: Serve) -> None:
    """A PV added at run time is found; a removed one is disconnected and found again when it comes back."""
    server = await serve(IntPv("T:Stays", ""))
    async with epics.camonitor("T:Late") as monitor:
        server.add(IntPv("T:Late", "", value=1))
        await monitor.until(lambda lines: lines and lines[-1].split()[-1] == "1")
        server.remove("T:Late")
        await monitor.until(lambda lines: "disconnected" in lines[-1].lower())
    server.add(StringPv("T:Late", "", value="back"))
    assert await epics.value("T:Late") == "back"
    assert server.stats().pvs == 2


async def test_a_removed_pv_takes_its_fields_along(serve: Serve) -> None:
    """Channels to a PV and to its record fields are disconnected together; the circuit and others live on."""
    server = await serve(IntPv("T:X", ""), IntPv("T:Y", ""))
    async with RawClient(server.port) as client:
        await client.channel("T:X")
        description = await client.channel("T:X.DESC")
        await client.send(description.subscribe(subscriptionid=3))
        other = await client.channel("T:Y")
        server.remove("T:X")
        gone = {(await client.next(ca.ServerDisconnResponse)).cid for _ in range(2)}
        assert len(gone) == 2
        await client.send(other.read())
        await client.next(ca.ReadNotifyResponse)


@pytest.mark.parametrize("name", ["T:X", "", "T X", "T.X", "x" * 61, "T:Ä"])
async def test_names_that_cannot_be_added(serve: Serve, name: str) -> None:
    """A name that is taken or no PV name is an error of the caller."""
    server = await serve(IntPv("T:X", ""))
    with pytest.raises(ValueError, match="PV"):
        server.add(StringPv(name, ""))
    with pytest.raises(ValueError, match="there is no PV"):
        server.remove("T:None")


async def test_stats(serve: Serve) -> None:
    """The numbers for the health PVs follow the clients."""
    server = await serve(IntPv("T:X", ""), IntPv("T:Y", ""))
    async with RawClient(server.port) as client:
        await client.channel("T:X")
        stats = server.stats()
        assert (stats.clients, stats.dropped_clients, stats.pvs) == (1, 0, 2)
        assert stats.queue_high_water >= 1
    await eventually(lambda: server.stats().clients == 0)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_close_leaves_nothing(epics: Epics) -> None:
    """After close no task, thread, socket or subscription is left, and the same PVs can be served again."""
    tasks, threads, files = asyncio.all_tasks(), threading.active_count(), open_files()
    pv = IntPv("T:X", "")
    for _ in range(3):
        server = CaServer([pv], may_write=lambda *_: True, journal=print)
        await server.start()
        async with RawClient(server.port) as client:
            await client.send((await client.channel("T:X")).subscribe(subscriptionid=1))
            await client.next(ca.EventAddResponse)
            await server.close()
        assert not server.died.done()
        assert not pv.listeners
    await eventually(lambda: asyncio.all_tasks() == tasks)
    assert threading.active_count() == threads
    await eventually(lambda: open_files() == files)


async def test_a_server_that_dies_says_so(epics: Epics, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server loses a socket without being asked to end, `died` tells why."""
    loop, opened = asyncio.get_running_loop(), []
    endpoint = loop.create_datagram_endpoint

    async def opening(*args: Any, **options: Any) -> Any:
        opened.append(await endpoint(*args, **options))
        return opened[-1]

    monkeypatch.setattr(loop, "create_datagram_endpoint", opening)
    server = await serve(IntPv("T:X", ""))
    assert not server.died.done()
    opened[0][0].abort()
    assert "lost its search socket" in await asyncio.wait_for(server.died, 60)
