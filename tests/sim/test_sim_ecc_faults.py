"""Faults of a simulated ECC server, each seen from a client's side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from sim_clients import CONFIG_ID, TO_RUNNING, Reply, Sink, ask, exchange, link_table, soap, steps, until

from ioc.sim import SimulatorError
from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.ecc_wire import Behaviour

MakeServer = Callable[..., Awaitable[EccServer]]


async def test_fail_next(make_server: MakeServer) -> None:
    """One transition fails with its number and a message of several lines; the next one succeeds."""
    server = await make_server()
    server.fail_next("Describe", "no power\non crate 3")
    failed = await ask(server.address.port, "Describe")
    assert (failed.code, failed.field("ErrorMessage")) == (1, "no power\non crate 3")
    assert server.machine.state is State.IDLE
    assert (await ask(server.address.port, "Describe")).code == 0
    assert server.machine.state is State.DESCRIBED


async def test_hang_until_released(make_server: MakeServer) -> None:
    """A hanging server accepts and says nothing; when it is released, those who wait get their answers."""
    server = await make_server()
    server.behave(Behaviour.HANG)
    waiting = [asyncio.create_task(ask(server.address.port, "GetState")) for _ in range(3)]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    server.behave(Behaviour.NORMAL)
    assert [(await reply).state for reply in waiting] == [1, 1, 1]


async def test_list_fails_once(make_server: MakeServer) -> None:
    """GetConfigIDs fails once with a message and an empty text, and works then."""
    server = await make_server()
    server.fail_next("GetConfigIDs", "disk away")
    failed, right = [await ask(server.address.port, "GetConfigIDs") for _ in range(2)]
    assert (failed.code, failed.field("ErrorMessage"), failed.field("Text")) == (1, "disk away", "")
    assert (right.code, right.field("Text")[:13]) == (0, "<ConfigIdSet>")


async def test_freeze_and_thaw(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A frozen server takes connections and says nothing, its source goes on; thawed it does all that was asked."""
    server, (router, router_port) = await make_server(speed=10_000), sink
    port = server.address.port
    for operation in ("Describe", "Prepare", "Configure", "Start"):
        assert (await ask(port, operation, table=link_table("CoBo[0]", router_port))).code == 0
    await until(lambda: router.total)
    server.freeze()
    reading, stopping = asyncio.create_task(ask(port, "GetState")), asyncio.create_task(ask(port, "Stop"))
    before = router.total
    await until(lambda: router.total > before)
    assert not reading.done()
    assert not stopping.done()
    assert server.machine.state is State.RUNNING
    server.thaw()
    assert (await reading).state in {State.RUNNING, State.READY}
    assert (await stopping).code == 0
    assert server.machine.state is State.READY


async def test_freeze_in_a_transition(make_server: MakeServer) -> None:
    """A transition that is under way ends only after the thaw; a restart ends the freeze."""
    server = await make_server(speed=10.0)
    describing = asyncio.create_task(ask(server.address.port, "Describe"))
    await until(lambda: server.machine.transition)
    server.freeze()
    done, _ = await asyncio.wait([describing], timeout=0.3)
    assert not done
    assert server.machine.transition == 1
    server.thaw()
    assert (await describing).code == 0
    server.freeze()
    await server.kill()
    await server.start()
    assert (await ask(server.address.port, "GetState")).state == State.IDLE


async def test_who_gave_up_on_a_frozen_server_is_obeyed(make_server: MakeServer) -> None:
    """A transition that was asked of a frozen server, by a client that has gone since, is done after the thaw."""
    server = await make_server(speed=10_000)
    server.freeze()
    _, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
    writer.write(soap("Describe"))
    await until(lambda: server.status()["connections"])
    writer.close()
    await writer.wait_closed()
    assert server.machine.state is State.IDLE
    server.thaw()
    await until(lambda: server.machine.state is State.DESCRIBED)


async def test_kill_and_restart(make_server: MakeServer) -> None:
    """A killed server refuses connections; restarted it is Idle on the same port and has no faults left."""
    server = await make_server()
    port = server.address.port
    server.force_state(State.RUNNING)
    server.delay("Stop", 60.0)
    stopping = asyncio.create_task(ask(port, "Stop"))
    await until(lambda: server.machine.transition)
    await server.kill()
    assert (await stopping).raw == b""
    with pytest.raises(ConnectionRefusedError):
        await ask(port, "GetState")
    await server.start()
    assert (server.address.port, (await ask(port, "GetState")).state) == (port, State.IDLE)
    server.force_state(State.RUNNING)
    assert (await ask(port, "Stop")).code == 0


@pytest.mark.parametrize("dialect", ["2.7", "2.8"])
async def test_rubbish(dialect: str, make_server: MakeServer) -> None:
    """Each kind of wrong reply is what it says, and the right one comes again afterwards."""
    server = await make_server(dialect)
    port = server.address.port
    right = (await ask(port, "GetState")).raw

    async def reply(behaviour: Behaviour) -> bytes:
        server.behave(behaviour)
        return await exchange(port, soap("GetState"))

    assert b"<html>" in await reply(Behaviour.HTML)
    assert (await reply(Behaviour.HTTP500)).startswith(b"HTTP/1.1 500 ")
    assert await reply(Behaviour.TRUNCATED) == right[: len(right) // 2]
    assert len(await reply(Behaviour.HUGE)) > 60_000_000
    assert b"<!ENTITY" in await reply(Behaviour.DTD)
    assert b"Content-Length: %d\r\n" % len((await reply(Behaviour.DTD)).partition(b"\r\n\r\n")[2]) in await reply(
        Behaviour.DTD
    )
    unknown = Reply(await reply(Behaviour.UNKNOWN_STATE))
    assert (unknown.state, unknown.transition) == (42, 17)
    assert await reply(Behaviour.DROP) == b""
    with pytest.raises(ConnectionResetError):
        await reply(Behaviour.RESET)
    assert await reply(Behaviour.NORMAL) == right


async def test_slow_reply(make_server: MakeServer) -> None:
    """A slow server sends single bytes with pauses between them."""
    server = await make_server()
    server.behave(Behaviour.SLOW)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
    writer.write(soap("GetState"))
    began = time.monotonic()
    assert await reader.readexactly(4) == b"HTTP"
    assert time.monotonic() - began >= 0.15
    writer.close()


async def test_delay(make_server: MakeServer) -> None:
    """An operation can be made slower by real seconds, GetState too."""
    server = await make_server()
    server.delay("GetState", 0.2)
    began = time.monotonic()
    assert (await ask(server.address.port, "GetState")).state == State.IDLE
    assert time.monotonic() - began >= 0.2
    with pytest.raises(SimulatorError, match="'Levitate', but must be one of"):
        server.delay("Levitate", 1.0)


async def test_resume_crashes_unless_supported(make_server: MakeServer) -> None:
    """Resume kills a server of the usual release and works on one that supports it."""
    usual, able = await make_server(), await make_server(supports_resume=True)
    for server in (usual, able):
        server.force_state(State.PAUSED)
    assert (await ask(usual.address.port, "Resume")).raw == b""
    assert not usual.status()["listening"]
    assert (await ask(able.address.port, "Resume")).code == 0
    assert able.machine.state is State.RUNNING


async def test_dead_electronics(make_server: MakeServer) -> None:
    """Electronics that die are not noticed by Stop; Breakup fails with 8 and leaves the server Off for good."""
    server = await make_server()
    port = server.address.port
    server.force_state(State.RUNNING)
    server.electronics.break_down()
    assert (await ask(port, "GetState")).state == State.RUNNING
    assert (await ask(port, "Stop")).code == 0
    for _ in range(2):
        failed = await ask(port, "Breakup")
        assert failed.code == 8
        assert "\n" in failed.field("ErrorMessage")
        assert (await ask(port, "GetState")).state == State.OFF
    await steps(server, "", "Describe", "Prepare", "Start", "Stop", "Pause", "Undo")
    assert (await ask(port, "GetState")).state == State.OFF


@pytest.mark.parametrize(
    ("state", "operation", "outcome"),
    [
        (State.IDLE, "Describe", (1, State.IDLE)),
        (State.DESCRIBED, "Prepare", (2, State.DESCRIBED)),
        (State.DESCRIBED, "Undo", (0, State.IDLE)),
        (State.PREPARED, "Configure", (3, State.PREPARED)),
        (State.PREPARED, "Undo", (0, State.DESCRIBED)),
        (State.READY, "Start", (4, State.READY)),
        (State.READY, "Breakup", (8, State.OFF)),
        (State.RUNNING, "Pause", (0, State.PAUSED)),
        (State.PAUSED, "Stop", (0, State.READY)),
    ],
)
async def test_which_operations_miss_dead_electronics(
    state: State, operation: str, outcome: tuple[int, State], make_server: MakeServer, sink: tuple[Sink, int]
) -> None:
    """What leads up needs the electronics and fails; what leads down does not notice, except Breakup."""
    server = await make_server()
    server.force_state(state)
    server.electronics.break_down()
    reply = await ask(server.address.port, operation, table=link_table("CoBo[0]", sink[1]))
    after = (await ask(server.address.port, "GetState")).state
    assert (reply.code, after) == outcome
    assert bool(reply.field("ErrorMessage")) == (reply.code > 0)


async def test_breakup_that_fails_leaves_off(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """A server whose Breakup failed is Off and ignores all else, but answers as if it had not: until a restart."""
    server, table = await make_server(), link_table("CoBo[0]", sink[1])
    port = await steps(server, table, *TO_RUNNING)
    server.fail_next("Breakup", "no hardware")
    assert (await ask(port, "Breakup")).code == 8
    described, configured = await ask(port, "Describe"), await ask(port, "Configure")
    assert (described.code, described.field("Text").count("<DataSender ")) == (0, 1)
    assert (configured.code, configured.field("Text").count("<DataLink>")) == (0, 1)
    assert (await ask(port, "GetState")).state == State.OFF
    await server.kill()
    await server.start()
    await steps(server, table, *TO_RUNNING)


async def test_complaint_although_done(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """One Configure answers code 3 and a message, and the server is Ready all the same; the run works."""
    server, table = await make_server(), link_table("CoBo[0]", sink[1])
    port = await steps(server, table, "Describe", "Prepare")
    server.complain("an alarm\nof crate 3")
    reply = await ask(port, "Configure", table=table)
    assert (reply.code, reply.field("ErrorMessage")) == (3, "an alarm\nof crate 3")
    assert reply.field("Text").count("<DataLink>") == 1
    assert (await ask(port, "GetState")).state == State.READY
    await steps(server, table, "Start")
    await until(lambda: sink[0].total)
    await steps(server, table, "Stop", "Breakup", "Configure")


async def test_server_exit(make_server: MakeServer) -> None:
    """ServerExit is answered, and then nobody listens any more."""
    server = await make_server()
    reply = await ask(server.address.port, "ServerExit")
    assert b"<ecc:Response><ErrorCode>0</ErrorCode><ErrorMessage/></ecc:Response>" in reply.raw
    with pytest.raises(ConnectionRefusedError):
        await ask(server.address.port, "GetState")


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"nonsense", b""),
        (b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\nshort", b""),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n<a><b", b"HTTP/1.1 500 "),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 500 "),
        (b"x" * 3_000_000, b""),
    ],
    ids=["no-http", "short-body", "bad-xml", "get", "huge"],
)
async def test_client_that_does_not_speak_soap(request_bytes: bytes, answer: bytes, make_server: MakeServer) -> None:
    """A request that is none gets a fault or nothing, and the server goes on."""
    server = await make_server()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
    writer.write(request_bytes)
    writer.write_eof()
    try:
        reply = await reader.read(-1)
    except ConnectionResetError:
        reply = b""
    assert reply.startswith(answer)
    writer.close()
    assert (await ask(server.address.port, "GetState")).state == State.IDLE


async def test_doctype_is_refused(make_server: MakeServer) -> None:
    """A request with a DTD is answered with a fault: entities are never expanded."""
    server = await make_server()
    body = b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    reply = await exchange(server.address.port, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert b"DTD not supported" in reply


async def test_prefixed_arguments_by_dialect(make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Only the 2.7 build understands prefixed arguments; 2.8 also loses the table, without a word."""
    for dialect, code in (("2.7", 0), ("2.8", 3)):
        server = await make_server(dialect)
        server.force_state(State.PREPARED)
        request = soap("Configure", CONFIG_ID, link_table("CoBo[0]", sink[1])).partition(b"\r\n\r\n")[2]
        request = request.replace(b'<Configure xmlns="urn:ecc">', b'<n:Configure xmlns:n="urn:ecc">')
        request = request.replace(b"</Configure>", b"</n:Configure>").replace(b"table>", b"n:table>")
        reply = Reply(
            await exchange(
                server.address.port, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(request), request)
            )
        )
        assert reply.code == code, (dialect, reply)
