"""Calls at the same time: nobody waits for somebody else's server, and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioc.ecc.client import ZeepEccClient
from ioc.ecc.http import ExchangeFailedError
from ioc.ecc.soap import SoapReply, SoapService
from ioc.errors import PeerError, PeerHangs, PeerTimeout
from ioc.model import ConfigChoice, Operation, TransitionReply
from tests.ecc.scripted import Connection, MakeClient, MakeServer, ScriptedServer, state_reply, text_reply, wait_until
from tests.laps import Laps

CONFIG = ConfigChoice("d", "p", "c")


def ecc_threads() -> list[str]:
    """Names of the clients' threads that live."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ecc-")]


def hang_in_transitions(connection: Connection) -> None:
    """Answer GetState at once and nothing else ever."""
    if b"<GetState" in connection.request:
        connection.send(state_reply(2, 2, message="The ECC state machine is busy!"))
    else:
        connection.hang()


async def test_hanging_server_delays_no_other(server: MakeServer, client: MakeClient) -> None:
    """While eleven servers hang, the twelfth answers as fast as ever, and all of the eleven time out together."""
    dead = server(Connection.hang)
    alive = client(server(lambda connection: connection.send(state_reply())).port)
    began = time.monotonic()
    hanging = [asyncio.create_task(client(dead.port, state=6.0).get_state()) for _ in range(11)]
    await asyncio.to_thread(wait_until, lambda: len(dead.requests) == 11)
    for _ in range(10):
        await alive.get_state()
    assert not any(call.done() for call in hanging)
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(type(result) is PeerHangs for result in results)
    assert time.monotonic() - began < 7.5, "one after the other they would take 66 s"


async def test_state_is_read_while_a_transition_hangs(server: MakeServer, client: MakeClient) -> None:
    """GetState is answered during a transition, and the transition ends at its own time-out."""
    ecc = server(hang_in_transitions)
    peer = client(ecc.port, transition=5.0)
    task = asyncio.create_task(peer.transition(Operation.Prepare, CONFIG, ()))
    await asyncio.to_thread(wait_until, lambda: len(ecc.requests) == 1)
    for _ in range(5):
        assert (await peer.get_state()).transition == 2
    assert not task.done()
    with pytest.raises(PeerTimeout, match="did not answer Prepare within 5 s: read its state to see what it did"):
        await task
    assert ecc.operations().count("Prepare") == 1


async def test_second_transition_is_not_sent_while_one_is_unanswered(server: MakeServer, client: MakeClient) -> None:
    """Giving up the wait for a transition takes nothing back: the next is refused until the first is answered."""
    release = Event()

    def answer_when_told(connection: Connection) -> None:
        release.wait(60)
        connection.send(text_reply())

    ecc = server(answer_when_told)
    peer = client(ecc.port)
    first = asyncio.create_task(peer.transition(Operation.Start, CONFIG, ()))
    await asyncio.to_thread(wait_until, lambda: len(ecc.requests) == 1)
    first.cancel()
    with pytest.raises(PeerError, match="was not sent Stop: it has not answered the previous request yet"):
        await peer.transition(Operation.Stop, CONFIG, ())
    release.set()
    async with asyncio.timeout(60):
        while True:
            try:
                assert await peer.transition(Operation.Stop, CONFIG, ()) == TransitionReply()
                break
            except PeerError:
                await asyncio.sleep(0.01)
    assert ecc.operations() == ["Start", "Stop"]


async def test_reads_of_a_hanging_server_do_not_pile_up(server: MakeServer, client: MakeClient) -> None:
    """Reads behind a hanging one end at their own time-outs, one too many fails at once, then it is free."""
    ecc = server(Connection.hang)
    peer = client(ecc.port, state=3.0)
    began = time.monotonic()
    results = await asyncio.gather(*(peer.get_state() for _ in range(6)), return_exceptions=True)
    assert time.monotonic() - began < 5, "one after the other they would take 12 s"
    assert [type(result) for result in results] == [PeerHangs] * 4 + [PeerError] * 2
    ecc.script = lambda connection: connection.send(state_reply(4))
    assert (await peer.get_state()).state == 4


async def test_late_answer_is_dropped(server: MakeServer, client: MakeClient) -> None:
    """The answer to a request that timed out is never taken for the answer to the next one."""
    ecc = server(lambda connection: (connection.closing.wait(4), connection.send(state_reply(5))))
    peer = client(ecc.port, state=3.0)
    with pytest.raises(PeerTimeout):
        await peer.get_state()
    ecc.script = lambda connection: connection.send(state_reply(1))
    assert (await peer.get_state()).state == 1


async def test_close_ends_hanging_calls(server: MakeServer) -> None:
    """Closing takes less than a second while calls hang, ends the waits with a sentence and leaves no thread."""
    ecc = server(Connection.hang)
    peer = ZeepEccClient("CoBo3", "127.0.0.1", ecc.port, state_timeout=60, transition_timeout=60)
    waits = [
        asyncio.create_task(peer.get_state()),
        asyncio.create_task(peer.transition(Operation.Start, CONFIG, ())),
    ]
    await asyncio.to_thread(wait_until, lambda: len(ecc.requests) == 2)
    began = time.monotonic()
    await peer.close()
    assert time.monotonic() - began < 1.0, "the calls have 60 s"
    assert ecc_threads() == []
    for wait in waits:
        with pytest.raises(PeerError, match="when this client was closed"):
            await wait
    with pytest.raises(PeerError, match="was not sent GetState: this client is closed"):
        await peer.get_state()


async def test_close_does_not_wait_for_a_name_that_never_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs delays neither the time-out of the call nor the close, and nothing is sent afterwards."""
    release, resolving = Event(), Event()

    def hang(*_arguments: object, **_keywords: object) -> list[object]:
        resolving.set()
        release.wait(90)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    peer = ZeepEccClient("CoBo3", "ecc.lab", 8083, state_timeout=0.3, transition_timeout=1)
    began = time.monotonic()
    with pytest.raises(PeerTimeout, match=r"ECC server CoBo3 at ecc\.lab:8083 did not answer GetState within 0\.3 s"):
        await peer.get_state()
    assert time.monotonic() - began < 1.5
    assert resolving.is_set()
    await peer.close()
    assert time.monotonic() - began < 3.5, "the resolver takes 90 s"
    release.set()
    await asyncio.to_thread(wait_until, lambda: ecc_threads() == [])


async def test_the_loop_is_never_blocked(server: MakeServer, client: MakeClient) -> None:
    """While servers hang and answers trickle, the event loop goes on turning."""
    peers = [client(server(Connection.hang).port, state=0.5), client(server(hang_in_transitions).port, transition=0.5)]
    work = asyncio.gather(
        peers[0].get_state(), peers[1].transition(Operation.Start, CONFIG, ()), return_exceptions=True
    )
    with Laps() as laps:
        while not work.done():
            await laps.turn()
    assert laps.longest < 0.3
    await work


async def test_unused_client_has_no_thread() -> None:
    """A client that was asked nothing has no thread, and closing it is no trouble."""
    peer = ZeepEccClient("CoBo3", "127.0.0.1", 1, state_timeout=1, transition_timeout=1)
    assert ecc_threads() == []
    await peer.close()


GOOD = state_reply(5)


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.binary(max_size=8)), min_size=1, max_size=4)
)
async def test_any_answer_is_read_or_refused(damaged: ScriptedServer, damage: list[tuple[int, int, bytes]]) -> None:
    """An answer damaged at random is still read, or refused with our own error and no other."""
    data = GOOD
    for place, length, inserted in damage:
        data = data[:place] + inserted + data[place + length :]
    damaged.script = lambda connection: connection.send(data)
    service = SoapService("CoBo3", "127.0.0.1", damaged.port)
    try:
        async with asyncio.timeout(2):
            reply = await service.call("GetState", {}, connected=lambda: None)
    except (ExchangeFailedError, TimeoutError):
        return
    finally:
        await service.close()
    assert isinstance(reply, SoapReply)


@pytest.fixture
def damaged(server: MakeServer) -> ScriptedServer:
    """A server whose script the test sets."""
    return server(Connection.hang)
