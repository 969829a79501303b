"""Who may write: shown by cainfo, enforced at the put, following the client's name."""

from __future__ import annotations

import getpass

import caproto as ca
from raw_client import RawClient

from ioc.ca import Client, IntPv
from tests.ca.serving import Serve
from tests.epics import Epics


def number() -> IntPv:
    async def store(client: Client, value: int) -> None:
        pv.post(value)

    pv = IntPv("T:X", "", on_put=store)
    return pv


async def test_cainfo_shows_the_right(epics: Epics, serve: Serve) -> None:
    """A writable PV, a read-only PV, a record field and a PV this user may not write are told apart."""
    await serve(number(), IntPv("T:Read", ""))
    assert "Access:           read, write" in (await epics.acainfo("T:X")).stdout
    for name in ("T:Read", "T:X.DESC"):
        assert "Access:           read, no write" in (await epics.acainfo(name)).stdout
    serve.denied_users.add(getpass.getuser())
    assert "Access:           read, no write" in (await epics.acainfo("T:X")).stdout
    assert (await epics.acaput("-c", "T:X", "1")).returncode != 0


async def test_a_denied_put(serve: Serve) -> None:
    """A client that may not write and puts all the same is answered so, nothing changes, the journal says denied."""
    serve.denied_users.add("visitor")
    pv = number()
    server = await serve(pv)
    async with RawClient(server.port, "visitor") as client:
        channel = await client.channel("T:X")
        assert channel.access_rights == ca.AccessRights.READ
        await client.send(channel.write((5,), notify=True))
        answer = await client.next(ca.ErrorResponse)
        assert answer.status.name == "ECA_NOWTACCESS"
        assert b"visitor@127.0.0.1 may not write T:X" in bytes(answer.error_message)
    assert pv.value == 0
    assert [(put.result, put.new_value, put.client) for put in serve.puts] == [
        ("denied", "5", Client("visitor", "127.0.0.1"))
    ]


async def test_a_put_to_a_read_only_pv(serve: Serve) -> None:
    """A put to a PV that nobody can write is answered so, and the journal says denied."""
    server = await serve(IntPv("T:Read", ""))
    async with RawClient(server.port) as client:
        channel = await client.channel("T:Read")
        await client.send(channel.write((5,), notify=True))
        assert (await client.next(ca.ErrorResponse)).status.name == "ECA_NOWTACCESS"
    assert [(put.pv, put.old_value, put.new_value, put.result, put.message) for put in serve.puts] == [
        ("T:Read", "0", "5", "denied", "T:Read is read only")
    ]


async def test_access_follows_the_name(serve: Serve) -> None:
    """A client that says another name later is told its new rights; the host it claims to be on does not matter."""
    serve.denied_users.add("visitor")
    server = await serve(number())
    async with RawClient(server.port, "shifter") as client:
        channel = await client.channel("T:X")
        assert channel.access_rights == ca.AccessRights.READ | ca.AccessRights.WRITE
        await client.send(ca.ClientNameRequest("visitor"))
        assert (await client.next(ca.AccessRightsResponse)).access_rights == ca.AccessRights.READ
        await client.send(ca.HostNameRequest("control-room"))
        await client.send(ca.ClientNameRequest("shifter"))
        assert (await client.next(ca.AccessRightsResponse)).access_rights == 3


async def test_new_rules_reach_open_channels(serve: Serve) -> None:
    """When the rules change, clients with open channels are told."""
    server = await serve(number())
    async with RawClient(server.port, "shifter") as client:
        await client.channel("T:X")
        serve.denied_users.add("shifter")
        server.refresh_access()
        assert (await client.next(ca.AccessRightsResponse)).access_rights == ca.AccessRights.READ
