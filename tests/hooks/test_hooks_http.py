"""Hooks that are HTTP POSTs: what is sent, and servers that hang, lie, drip, flood or die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from ioc.hooks import HookRunner
from ioc.model import HookOutcome, HookPoint
from tests.hooks.conftest import RUN, Make

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def run(runner: HookRunner) -> HookOutcome:
    return await runner.run(HookPoint.AfterStart, "hv", RUN)


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[str]:
    """The address of a server that reads a request and then does what the test wants."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await answer(reader, writer)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Request line, headers and body."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines if each)}
    return line, headers, await reader.readexactly(int(headers["content-length"]))


async def test_what_is_sent(web: Make) -> None:
    """One POST of the run as JSON, to the path of the URL, with its user as basic authentication."""
    got: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await request(reader))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nnoted")
        await writer.drain()

    async with serving(answer) as address:
        assert await run(web(f"http://ana:se%63ret@{address}/runs?a=b")) == HookOutcome("", "noted")
    [(line, headers, body)] = got
    assert line == "POST /runs?a=b HTTP/1.1"
    assert headers["host"] == address
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Basic YW5hOnNlY3JldA=="
    told = json.loads(body)
    assert (told["hook"], told["run"], told["title"], told["class"]) == ("after_start", 12, RUN.title, "Beam")


def sends(data: bytes, then: str = "close", period: float = 0.0) -> Answer:
    """A server that sends something, then closes or hangs; with a period, one byte at a time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for at in range(0, len(data), 1 if period else max(1, len(data))):
            writer.write(data[at : at + 1] if period else data)
            await writer.drain()
            await asyncio.sleep(period)
        if then == "hang":
            await asyncio.sleep(100)
        elif then == "reset":
            # Closing sends RST.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
SERVERS = [
    (sends(OK + b"Content-Length: 0\r\n\r\n"), "", ""),
    (sends(b"HTTP/1.0 204 No Content\r\n\r\n"), "", ""),
    (sends(OK + b"\r\nall\x1b[2J\nwell"), "", "all\\x1b[2J | well"),
    (sends(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok"), "", "ok"),
    (sends(b"HTTP/1.1 500 Oops\r\nContent-Length: 8\r\n\r\nno disk!"), "http://A answered with status 500", "no disk!"),
    (
        sends(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        "http://A answered with status 302",
        "",
    ),
    (sends(b""), "http://A sent no complete HTTP answer", ""),
    (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "http://A sent no complete HTTP answer", ""),
    (sends(OK + b"Content-Length: 9\r\n\r\nhalf"), "http://A sent no complete HTTP answer", ""),
    (sends(OK + b"X: " + b"x" * 10_000_000), "http://A sent no complete HTTP answer", ""),
    (sends(b"", "reset"), "http://A cannot be reached: Connection reset by peer", ""),
    (sends(b"", "hang"), "http://A did not answer within 1 s", ""),
    (sends(OK + b"Content-Length: 9\r\n\r\nhalf", "hang"), "http://A did not answer within 1 s", ""),
    (sends(OK * 1000, period=0.02), "http://A did not answer within 1 s", ""),
]


@pytest.mark.parametrize(("answer", "error", "output"), SERVERS)
async def test_whatever_a_server_does(web: Make, answer: Answer, error: str, output: str) -> None:
    """The outcome is a sentence that names the server, and it comes in time."""
    async with serving(answer) as address:
        before = time.monotonic()
        outcome = await run(web(f"http://{address}/secret", timeout=1 if "within 1 s" in error else 60))
        assert time.monotonic() - before < 2
    assert outcome.error.replace(address, "A").startswith(error)
    assert bool(outcome.error) == bool(error)
    assert "secret" not in outcome.error
    assert outcome.output == output


async def test_a_flood_is_cut(web: Make) -> None:
    """Of an endless answer only the beginning is read."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(flood) as address:
        outcome = await run(web(f"http://{address}"))
    assert outcome == HookOutcome("", "x" * 4000)


async def test_nobody_listens(web: Make) -> None:
    """A refused connection and a name that does not exist are said plainly."""
    async with serving(sends(b"")) as address:
        pass
    assert (await run(web(f"http://{address}/"))).error.startswith(f"http://{address} cannot be reached: ")
    assert (await run(web("http://no-such-host.invalid/"))).error.startswith("http://no-such-host.invalid cannot be")


async def test_https_to_a_server_that_speaks_http(web: Make) -> None:
    """A failed TLS handshake is a failure like another."""
    async with serving(sends(OK)) as address:
        outcome = await run(web(f"https://{address}/", timeout=3))
    assert outcome.error.startswith(f"https://{address} ")


async def test_abort(web: Make) -> None:
    """`abort` ends a POST at once."""
    async with serving(sends(b"", "hang")) as address:
        runner = web(f"http://{address}/", timeout=100)
        hook = asyncio.create_task(run(runner))
        await asyncio.sleep(0.05)
        runner.abort(HookPoint.AfterStart, "hv")
        assert await hook == HookOutcome("it was aborted")
