"""Requests that fail: every kind of client is told at once, and can read the reason."""

from __future__ import annotations

import asyncio
import time

import caproto as ca
import pytest
from raw_client import RawClient

from ioc.ca import Client, CommandPv, EnumPv, FloatPv, IntPv, Refused, StringPv
from tests.ca.serving import Serve
from tests.epics import Epics

REASON = "run 12 cannot start: router data3 is Dirty"


async def _refuse(client: Client) -> None:
    raise Refused(REASON)


async def _store(client: Client, value: object) -> None:
    pass


def pvs() -> tuple[CommandPv, EnumPv, IntPv, FloatPv]:
    return (
        CommandPv("T:Start", "", _refuse),
        EnumPv("T:Class", "", ("Testing", "Beam"), on_put=_store),
        IntPv("T:ReadOnly", ""),
        FloatPv("T:Denied", "", on_put=_store),
    )


@pytest.mark.parametrize(
    ("name", "value", "user", "answer"),
    [
        ("T:Start", 1, "tester", ("ECA_PUTFAIL", REASON)),
        ("T:Class", 77, "tester", ("ECA_PUTFAIL", "T:Class cannot be set to '77'")),
        ("T:ReadOnly", 1, "tester", ("ECA_NOWTACCESS", "T:ReadOnly is read only")),
        ("T:Denied", 1, "mallory", ("ECA_NOWTACCESS", "mallory@127.0.0.1 may not write T:Denied")),
    ],
)
async def test_the_answer_comes_first_then_the_reason(
    serve: Serve, name: str, value: int, user: str, answer: tuple[str, str]
) -> None:
    """A put with callback that fails is answered with its status, then an error tells why; one without by the error."""
    status, reason = answer
    serve.denied_users.add("mallory")
    server = await serve(*pvs())
    async with RawClient(server.port, user) as client:
        channel = await client.channel(name)
        request = ca.WriteNotifyRequest((value,), ca.ChannelType.LONG, 1, channel.sid, 7)
        await client.send(request)
        error = await client.next(ca.ErrorResponse)
        told = client.received[-2]
        assert isinstance(told, ca.WriteNotifyResponse)
        assert (told.ioid, told.status.name, error.status.name) == (7, status, status)
        assert reason in bytes(error.error_message).decode()
        assert (error.original_request.command, error.original_request.parameter2) == (19, 7)
        before = len(client.received)
        await client.send(ca.WriteRequest((value,), ca.ChannelType.LONG, 1, channel.sid, 8))
        assert reason in bytes((await client.next(ca.ErrorResponse)).error_message).decode()
        assert len(client.received) == before + 1


async def test_the_reason_ends_with_nul(serve: Serve) -> None:
    """libca reads the reason up to its NUL, whatever its length; it is valid UTF-8 also where it is cut."""
    for length in (7, 8, 999, 1000, 2000):
        text = "ä" * (length // 2) + "x" * (length % 2)

        async def refuse(client: Client, text: str = text) -> None:
            raise Refused(text)

        server = await serve(CommandPv("T:Go", "", refuse))
        async with RawClient(server.port) as client:
            await client.send((await client.channel("T:Go")).write((1,), notify=True))
            raw = bytes((await client.next(ca.ErrorResponse)).error_message)
        assert raw.endswith(b"\0")
        assert text.startswith(raw.rstrip(b"\0").decode())
        await serve.close()


async def test_caput_is_told(epics: Epics, serve: Serve) -> None:
    """caput -c fails at once and says that the write failed."""
    await serve(*pvs())
    for name, value in (("T:Start", "1"), ("T:Class", "77")):
        begun = time.monotonic()
        result = await epics.acaput("-c", "-w", "5", name, value)
        assert result.returncode != 0
        assert "Channel write request failed" in result.stderr
        assert time.monotonic() - begun < 2


LIBRARIES = {
    "aioca": """
import asyncio, sys, time
from aioca import caget, caput, purge_channel_caches
async def main():
    await caget("T:Class")
    await caget("T:Start")
    for name, value in (("T:Class", 77), ("T:Start", 1)):
        begun = time.monotonic()
        told = await caput(name, value, wait=True, timeout=5, throw=False)
        print(name, bool(told), told, round(1000 * (time.monotonic() - begun)))
asyncio.run(main())
""",
    "caproto": """
import time
from caproto.threading.client import Context
context = Context()
for name, value in (("T:Class", 77), ("T:Start", 1)):
    (pv,) = context.get_pvs(name)
    pv.wait_for_connection(timeout=5)
    pv.read()
    begun = time.monotonic()
    try:
        told = pv.write((value,), wait=True, timeout=5)
        print(name, told.status.name == "ECA_NORMAL", told.status.name, round(1000 * (time.monotonic() - begun)))
    except Exception as error:
        print(name, False, type(error).__name__, round(1000 * (time.monotonic() - begun)))
context.disconnect()
""",
}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_client_libraries_are_told(epics: Epics, serve: Serve, library: str) -> None:
    """Each library's put with callback ends as failed within 100 ms."""
    import sys

    await serve(*pvs())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LIBRARIES[library],
        env=epics.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    lines = [line.split(" ") for line in out.decode().splitlines()]
    assert [line[:2] for line in lines] == [["T:Class", "False"], ["T:Start", "False"]], (lines, err.decode())
    assert all(float(line[-1]) < 100 for line in lines), lines


async def test_other_requests_go_on_after_a_failed_one(serve: Serve) -> None:
    """A failed read is answered too, and what was asked after it is answered after it."""
    server = await serve(StringPv("T:S", "", value="x"), IntPv("T:X", "", value=4))
    async with RawClient(server.port) as client:
        text, number = await client.channel("T:S"), await client.channel("T:X")
        await client.send(text.read(data_type=ca.ChannelType.DOUBLE), number.read())
        failed = await client.next(ca.ReadNotifyResponse)
        assert failed.status.name == "ECA_NOCONVERT"
        assert (await client.next(ca.ReadNotifyResponse)).data[0] == 4
