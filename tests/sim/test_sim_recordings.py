"""The simulator against the recordings of real servers, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sim_clients import Sink, exchange, until

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State

RECORDINGS = Path(__file__).parent.parent / "fixtures" / "ecc"
REFUSED = (
    "Could not connect to 'CoBo' node '0' at 127.0.0.1:46999. Connection to HW node '127.0.0.1:46999' failed:\n"
    "src/Ice/Network.cpp:2714: ::Ice::ConnectionRefusedException:\nconnection refused: Connection refused"
)
STATE_BEFORE = {
    "breakup-ok": State.READY,
    "configure-no-router": State.PREPARED,
    "configure-ok": State.PREPARED,
    "describe-hardware-refused": State.IDLE,
    "describe-ok": State.IDLE,
    "describe-prefixed-children": State.IDLE,
    "describe-unknown-config": State.IDLE,
    "get-config-ids": State.IDLE,
    "get-state-busy-preparing": State.DESCRIBED,
    "get-state-described": State.DESCRIBED,
    "get-state-idle": State.IDLE,
    "get-state-paused": State.PAUSED,
    "get-state-prepared": State.PREPARED,
    "get-state-ready": State.READY,
    "get-state-running": State.RUNNING,
    "pause-ok": State.RUNNING,
    "prepare-ok": State.DESCRIBED,
    "start-in-idle-ignored": State.IDLE,
    "start-ok": State.READY,
    "stop-ok": State.RUNNING,
    "undo-ok": State.DESCRIBED,
    "undo-reset-after-prefixed": State.DESCRIBED,
    "undo-while-busy": State.DESCRIBED,
    "unknown-method": State.IDLE,
}
WHILE_PREPARING = {"get-state-busy-preparing", "undo-while-busy"}
NAMES = sorted((path.parent.name, path.stem) for path in RECORDINGS.glob("*/*.request"))


def test_every_recording_is_replayed() -> None:
    """No recording of either build is left out of the comparison."""
    assert {name for _, name in NAMES} == set(STATE_BEFORE)
    assert len(NAMES) == 2 * len(STATE_BEFORE)


@pytest.mark.parametrize(("build", "name"), NAMES)
async def test_reply_equals_recording(
    build: str, name: str, make_server: Callable[..., Awaitable[EccServer]], sink: tuple[Sink, int]
) -> None:
    """A recorded request to a simulated server in the same state gets the recorded reply, to the last byte.

    Only the port of the recorded data router is another: as many digits, but free on this machine.
    """

    def recording(name: str) -> bytes:
        recorded = (RECORDINGS / build / name).read_bytes()
        assert len(str(sink[1])) == 5
        return recorded.replace(b"46005", b"%d" % sink[1])

    server = await make_server(dialect=build.removeprefix("gsoap-"))
    server.force_state(STATE_BEFORE[name])
    if name == "describe-hardware-refused":
        server.fail_next("Describe", REFUSED)
    preparing: asyncio.Task[bytes] | None = None
    if name in WHILE_PREPARING:
        server.delay("Prepare", 60.0)
        preparing = asyncio.create_task(exchange(server.address.port, recording("prepare-ok.request")))
        await until(lambda: server.machine.transition == 2)
    reply = await exchange(server.address.port, recording(f"{name}.request"))
    assert reply == recording(f"{name}.response")
    if preparing is not None:
        await server.kill()
        assert await preparing == b""


@pytest.mark.parametrize(
    "pair",
    [
        ("SOAPAction", "SOAPAction: urn:nonsense"),
        ("Content-Type", "Content-Type: application/json"),
        ("POST /", "POST /a/b"),
    ],
    ids=["soap-action", "content-type", "path"],
)
async def test_headers_do_not_matter(pair: tuple[str, str], make_server: Callable[..., Awaitable[EccServer]]) -> None:
    """SOAPAction, Content-Type and path are ignored, as the real server does."""
    server = await make_server()
    request = (RECORDINGS / "gsoap-2.8" / "get-state-idle.request").read_bytes().decode()
    old, new = pair
    line = next(line for line in request.split("\r\n") if line.startswith(old))
    changed = request.replace(line, new if old != "POST /" else f"{new} HTTP/1.1", 1)
    assert changed != request
    reply = await exchange(server.address.port, changed.encode())
    assert reply == (RECORDINGS / "gsoap-2.8" / "get-state-idle.response").read_bytes()
