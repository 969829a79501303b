"""What answers is no ReadoutGUI, or no port manager, or a broken one: every call ends in time, with a sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from partner_clients import Serve, client_of

from ioc.errors import PeerError, PeerRejected, PeerTimeout

Peer = Callable[[Serve], Awaitable[int]]


def sends(text: bytes, *, then_close: bool = False) -> Serve:
    """Answer each line with this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(text)
            await writer.drain()
            if then_close:
                return

    return serve


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close at once."""


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"O")
        await writer.drain()
        await asyncio.sleep(0.05)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"OK\n" * 10_000)
        await writer.drain()


TABLE: list[tuple[Serve, str]] = [
    (closes, "closed the connection without an answer"),
    (says_nothing, "did not answer"),
    (reads_nothing, "did not answer"),
    (drips, "did not answer"),
    (floods, "OK"),
    (sends(b"\n"), "not an answer of a ReadoutGUI"),
    (sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not an answer of a ReadoutGUI"),
    (sends(b"OK active"), "did not answer"),
    (sends(b"OK act", then_close=True), "closed the connection"),
    (sends(b"OK {\n"), "not an answer of a ReadoutGUI"),
    (sends(b"OK 1\n"), "answered get state with OK 1"),
    (sends(b"ERROR {Invalid get: state}\n"), "Invalid get: state"),
    (sends(b"FAIL {Invalid command 'get state'}\n"), "Invalid command"),
    (sends(b"x" * 10_000 + b"\n"), "more than 4096 bytes"),
    (sends(bytes(range(256)) + b"\n"), "not an answer of a ReadoutGUI"),
]


@pytest.mark.parametrize(("serve", "reason"), TABLE)
async def test_every_odd_peer_is_a_peer_error(peer: Peer, serve: Serve, reason: str) -> None:
    """Reading, beginning and ending fail within their time-outs, whatever comes; the next call too."""
    client = client_of(await peer(serve))
    at = time.monotonic()
    for _ in range(2):
        with pytest.raises(PeerError, match=reason) as failure:
            await client.read()
        assert str(failure.value).isprintable()
    with pytest.raises(PeerError, match=r"has not begun|answered OK to begin"):
        await client.begin(1, "x")
    with pytest.raises(PeerError, match="if it still runs, press End in its ReadoutGUI"):
        await client.end()
    assert time.monotonic() - at < 12.0
    await client.close()


OWN = b"31000 ReadoutGUIRemoteControl %s\n"
MANAGERS: list[tuple[Serve, str]] = [
    (closes, "closed the connection"),
    (says_nothing, "did not answer"),
    (sends(b"OK 0\n"), "knows none"),
    (sends(b"OK 1\n30001 RingMaster root\n"), "knows none"),
    (
        sends(b"OK 2\n" + OWN % b"ana" + OWN % b"bob"),
        "has 2 ReadoutGUIs .ana, bob., but must have one: set user",
    ),
    (sends(b"OK 1\n0x9 ReadoutGUIRemoteControl ana\n"), "says that its port is '0x9'"),
    (sends(b"OK 1\n70000 ReadoutGUIRemoteControl ana\n"), "says that its port is '70000'"),
    (sends(b"OK 99999999999\n"), "answered LIST with OK 99999999999"),
    (sends(b"OK -1\n"), "answered LIST with OK -1"),
    (sends(b"FAIL no\n"), "answered LIST with FAIL no"),
    (
        sends(b"OK 2\r\n31000 ReadoutGUIRemoteControl ana\r\n30999 ReadoutGUIRemoteControl_1 ana\r\n"),
        "has 2 ReadoutGUIs .ana., but must have one",
    ),
    (sends(b"OK\n"), "no answer to LIST"),
    (sends(b"OK 3\n" + OWN % b"ana", then_close=True), "closed the connection"),
    (sends(b"OK 1\n{30001\n"), "no answer to LIST"),
    (sends(b"y" * 10_000), "no answer to LIST|closed the connection"),
]


@pytest.mark.parametrize(("serve", "reason"), MANAGERS)
async def test_every_odd_port_manager_is_a_peer_error(peer: Peer, serve: Serve, reason: str) -> None:
    """A port manager that says something else, nothing, or the wrong thing is named in the error."""
    client = client_of(None, manager=await peer(serve))
    with pytest.raises(PeerError, match=reason):
        await client.read()
    await client.close()


async def test_a_reply_twice_is_not_taken_for_the_next(peer: Peer) -> None:
    """Some errors have two replies: the second is not taken for the answer to what is asked next."""
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().strip():
            heard.append(line)
            answers = {"get state": b"OK inactive\n", "masterTransition Active": b"ERROR a\nERROR b\n"}
            writer.write(answers.get(line, b"OK\n"))

    client = client_of(await peer(serve))
    for _ in range(2):
        with pytest.raises(PeerRejected, match="refused begin: a"):
            await client.begin(1, "")
        assert not (await client.read()).active
    assert "begin" not in heard
    await client.close()


async def test_replies_may_come_in_another_order(peer: Peer) -> None:
    """A program that answers while its run begins: end waits for the begin, and no reply is taken for another."""
    heard: list[str] = []
    begun, active = asyncio.Event(), False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal active

        async def beginning() -> None:
            await begun.wait()
            writer.write(b"OK\r\n")

        while line := (await reader.readline()).decode().strip():
            heard.append(line)
            if line == "masterTransition Active":
                active, task = True, asyncio.create_task(beginning())
                tasks.append(task)
                continue
            active = active and line != "masterTransition Halted"
            writer.write((f"OK {'active' if active else 'inactive'}" if line == "get state" else "OK").encode() + b"\n")

    tasks: list[asyncio.Task[None]] = []
    client = client_of(await peer(serve))
    with pytest.raises(PeerTimeout, match="did not answer begin"):
        await client.begin(1, "")
    end = asyncio.create_task(client.end())
    await asyncio.sleep(0.2)
    assert "masterTransition Halted" not in heard
    begun.set()
    await end
    assert heard.index("masterTransition Halted") < heard.index("set slave 0")
    assert not (await client.read()).active
    await client.close()


async def test_a_reason_may_have_many_lines_but_an_end(peer: Peer) -> None:
    """The first line of a trace is the reason; one without an end is no answer."""
    reason = b"ERROR {cannot begin\r\n  while {\r\n} executing\r\n}\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().strip():
            answers = {"get state": b"OK inactive\r\n", "masterTransition Active": reason}
            writer.write(answers.get(line, b"OK\r\n"))

    client = client_of(await peer(serve))
    with pytest.raises(PeerRejected, match=r"refused begin: cannot begin$"):
        await client.begin(1, "")
    reason = b"ERROR {" + b"for ever\r\n" * 10_000
    with pytest.raises(PeerError, match=r"sent 'ERROR \{for ever'"):
        await client.begin(1, "")
    await client.close()


async def test_reading_is_given_up_with_its_caller(peer: Peer) -> None:
    """A read that is cancelled leaves nothing behind that the next one could take for its answer."""
    state = b"OK active\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await asyncio.sleep(0.1)
            writer.write(state)

    client = client_of(await peer(serve))
    for _ in range(5):
        reading = asyncio.create_task(client.read())
        await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.wait([reading])
    state = b"OK inactive\n"
    await asyncio.sleep(0.15)
    assert not (await client.read()).active
    await client.close()
