"""The state machine of the simulated ECC server against the documented table, pure and over the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from sim_clients import Sink, ask, link_table, until

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import Machine, State

MakeServer = Callable[..., Awaitable[EccServer]]

OFF, IDLE, DESCRIBED, PREPARED, READY, RUNNING, PAUSED = range(7)
NUMBER = {
    "Describe": 1,
    "Prepare": 2,
    "Configure": 3,
    "Start": 4,
    "Stop": 5,
    "Pause": 6,
    "Resume": 7,
    "Breakup": 8,
    "Undo": 9,
}
DOCUMENTED = {
    "Describe": {IDLE: DESCRIBED},
    "Prepare": {DESCRIBED: PREPARED},
    "Configure": {PREPARED: READY},
    "Start": {READY: RUNNING},
    "Stop": {RUNNING: READY, PAUSED: READY},
    "Pause": {RUNNING: PAUSED},
    "Resume": {PAUSED: RUNNING},
    "Breakup": {READY: PREPARED, RUNNING: PREPARED, PAUSED: PREPARED, OFF: OFF},
    "Undo": {DESCRIBED: IDLE, PREPARED: DESCRIBED},
}
EVERY_CASE = [(operation, state) for operation in DOCUMENTED for state in range(7)]


@pytest.mark.parametrize(("operation", "state"), EVERY_CASE)
def test_machine_follows_the_table(operation: str, state: int) -> None:
    """Every operation in every state leads where the table says, or is ignored; a failed one changes nothing."""
    for succeeded in (True, False):
        machine = Machine()
        machine.force(State(state))
        target = DOCUMENTED[operation].get(state)
        begun = machine.begin(operation)
        if target is None:
            assert (begun, machine.state, machine.transition) == (False, state, 0)
            continue
        assert (begun, machine.state, machine.transition) == (True, state, NUMBER[operation])
        machine.finish(succeeded=succeeded)
        assert (machine.state, machine.transition) == (target if succeeded else state, 0)


@pytest.mark.parametrize("dialect", ["2.7", "2.8"])
async def test_server_follows_the_table(dialect: str, make_server: MakeServer, sink: tuple[Sink, int]) -> None:
    """Over the wire every operation in every state answers code 0, and GetState says where it led.

    Only Breakup in Off fails, again and again.
    """
    server = await make_server(dialect, 10_000, supports_resume=True)
    port = server.address.port
    for operation, state in EVERY_CASE:
        server.force_state(State(state))
        reply = await ask(port, operation, table=link_table("CoBo[0]", sink[1]))
        assert reply.code == (8 if (operation, state) == ("Breakup", OFF) else 0), (operation, state, reply)
        after = await ask(port, "GetState")
        assert (after.state, after.transition) == (DOCUMENTED[operation].get(state, state), 0), (operation, state)


@pytest.mark.parametrize(
    ("operation", "state", "seconds"),
    [
        ("Describe", IDLE, 0.3),
        ("Prepare", DESCRIBED, 5.0),
        ("Start", READY, 0.1),
        ("Stop", RUNNING, 0.5),
        ("Pause", RUNNING, 0.5),
        ("Breakup", READY, 0.5),
        ("Configure", PREPARED, 1.0),
    ],
)
async def test_reply_comes_when_the_transition_is_over(
    operation: str, state: int, seconds: float, make_server: MakeServer, sink: tuple[Sink, int]
) -> None:
    """A transition takes its real time divided by the speed factor, and its reply comes after that."""
    speed = 10.0
    server = await make_server(speed=speed)
    server.force_state(State(state))
    began = time.monotonic()
    reply = await ask(server.address.port, operation, table=link_table("CoBo[0]", sink[1]))
    took = time.monotonic() - began
    assert reply.code == 0
    assert seconds / speed <= took < seconds / speed + 30


async def test_busy_server_answers_state_and_refuses(make_server: MakeServer) -> None:
    """While a transition runs GetState answers the old state and every operation is refused with its own number."""
    server = await make_server(speed=5.0)
    port = server.address.port
    server.force_state(State.DESCRIBED)
    preparing = asyncio.create_task(ask(port, "Prepare"))
    await until(lambda: server.machine.transition)
    state = await ask(port, "GetState")
    assert (state.code, state.state, state.transition) == (0, DESCRIBED, 2)
    assert state.field("ErrorMessage") == "The ECC state machine is busy!"
    for operation, number in NUMBER.items():
        refusal = await ask(port, operation)
        assert (refusal.code, refusal.field("ErrorMessage")) == (number, "The ECC state machine is busy!")
    assert (await preparing).code == 0
    assert (await ask(port, "GetState")).state == PREPARED
    await until(lambda: not server.status()["connections"])


async def test_client_that_gives_up_does_not_cancel(make_server: MakeServer) -> None:
    """A transition whose client has closed its connection runs to its end."""
    server = await make_server(speed=10.0)
    impatient = asyncio.create_task(ask(server.address.port, "Describe"))
    await until(lambda: server.machine.transition)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    assert server.machine.transition == 1
    await until(lambda: server.machine.transition == 0)
    assert server.machine.state == DESCRIBED
