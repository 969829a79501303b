"""The client of a ReadoutGUI in front of a simulated one, of an old release and of a new one."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from partner_clients import HOST, client_of

from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.model import PartnerReading
from ioc.partners import ReadoutGui
from ioc.sim.plan import PartnerPlan
from ioc.sim.ports import free_port
from ioc.sim.readout_gui import Manner
from ioc.sim.readout_gui import ReadoutGui as Simulated
from tests.epics import eventually

HALTED = PartnerReading(active=False, controlled=False)
ACTIVE = PartnerReading(active=True, controlled=True)
OLD = pytest.mark.parametrize("release", [2015])
NEW = pytest.mark.parametrize("release", [2024])
TITLE = 'µ {beam} on \\target} \n$[exit];# "x"'


async def test_a_run_is_begun_and_ended(gui: Simulated, client: ReadoutGui) -> None:
    """It has our number and title and records; before and after the run its operator can use its buttons."""
    assert await client.read() == HALTED
    await client.begin(17, TITLE)
    assert await client.read() == ACTIVE
    assert gui.status()["history"] == [{"run": 17, "title": TITLE, "recording": True}]
    assert gui.status()["slave"]
    await client.end()
    assert await client.read() == HALTED
    assert not gui.status()["slave"]


async def test_one_connection_serves_many_runs(gui: Simulated, client: ReadoutGui) -> None:
    """Fifty runs, one connection; nothing is left over from one to the next."""
    for number in range(50):
        await client.begin(number, "")
        await client.end()
    assert [run["run"] for run in gui.status()["history"]] == list(range(50))


async def test_a_run_of_its_operator_is_left_alone(gui: Simulated, client: ReadoutGui) -> None:
    """If it is active already, it refuses, and has certainly not begun for us; we do not end it."""
    gui.by_hand("Active")
    with pytest.raises(PeerRejected, match="State must be halted"):
        await client.begin(1, "")
    with pytest.raises(PeerError, match="press End"):
        await client.end()
    assert gui.status()["state"] == "Active"


@NEW
async def test_an_error_at_begin_is_a_refusal(gui: Simulated, client: ReadoutGui) -> None:
    """The first line of its reason is passed on without the trace, and its operator gets it back."""
    gui.fail_next("begin", "ssh to spdaq19 failed")
    with pytest.raises(PeerRejected, match=r"ssh to spdaq19 failed$"):
        await client.begin(1, "")
    await eventually(lambda: not gui.status()["slave"])
    await client.begin(1, "")
    await client.end()


@NEW
async def test_an_error_at_end_gives_it_back(gui: Simulated, client: ReadoutGui) -> None:
    """If it refuses to end, its operator gets it back to end it by hand."""
    await client.begin(1, "")
    gui.fail_next("end", "a readout program does not answer")
    with pytest.raises(PeerRejected, match=r"does not answer.*press End"):
        await client.end()
    await eventually(lambda: not gui.status()["slave"])


@NEW
async def test_active_after_an_error_is_a_failure(gui: Simulated, client: ReadoutGui) -> None:
    """If a data source fails it is Active all the same: begin fails, and is not said to have had no effect."""
    gui.fail_next("source", "VME crate off")
    with pytest.raises(PeerError, match=r"VME crate off; it is Active, but not all of it has begun") as failure:
        await client.begin(1, "")
    assert not isinstance(failure.value, PeerRejected)
    with pytest.raises(PeerRejected, match=r"already halted.*press End"):
        await client.end()
    await eventually(lambda: not gui.status()["slave"])


@OLD
@pytest.mark.parametrize("operation", ["begin", "end"])
async def test_an_old_release_is_stuck_after_an_error(gui: Simulated, client: ReadoutGui, operation: str) -> None:
    """It never answers again, not even to others, and the reason that is given includes this; a restart mends it."""
    gui.fail_next(operation, "ssh to spdaq19 failed")
    with pytest.raises(PeerTimeout):  # noqa: PT012 - one of the two
        await client.begin(1, "")
        await client.end()
    with pytest.raises(PeerError):
        await client.end()
    with pytest.raises(PeerError, match="its remote control may be stuck after an error"):
        await client.read()
    await gui.kill()
    await gui.start()
    assert await client.read() == HALTED


async def test_data_sources_that_are_not_started_refuse_a_run(gui: Simulated, client: ReadoutGui) -> None:
    """The remote control does not distinguish NotReady from Halted, but begin fails with its reason."""
    gui.by_hand("NotReady")
    assert await client.read() == HALTED
    with pytest.raises(PeerRejected, match="State must be halted"):
        await client.begin(1, "")


async def test_a_lost_reply_is_no_failure(gui: Simulated, client: ReadoutGui) -> None:
    """What counts is the state: begun although nothing was answered in time, and likewise ended."""
    await client.begin(1, "")
    gui.manner = Manner.MUTE
    with pytest.raises(PeerTimeout):
        await client.end()
    gui.manner = Manner.HONEST
    await eventually(lambda: gui.status()["state"] == "Halted")


async def test_a_reply_that_comes_late_is_not_taken_for_another(gui: Simulated, client: ReadoutGui) -> None:
    """A begin that takes longer than the time-out is found to be active, and can be ended."""
    gui.delay("begin", 2.0)
    await client.begin(1, "")
    assert await client.read() == ACTIVE
    await client.end()
    assert await client.read() == HALTED


async def test_a_begin_that_nobody_waits_for_any_longer_is_ended(gui: Simulated, client: ReadoutGui) -> None:
    """A begin that was given up may succeed later: end waits for that as long as its time-out, and ends it."""
    gui.delay("begin", 3.3)
    with pytest.raises(PeerTimeout):
        await client.begin(1, "")
    await client.end()
    assert gui.status()["state"] == "Halted"
    assert len(gui.status()["history"]) == 1


async def test_end_overtakes_begin(gui: Simulated, client: ReadoutGui) -> None:
    """A stop does not wait for the time-out of begin: begin is given up, and what it began is ended."""
    gui.delay("begin", 0.8)
    begin = asyncio.create_task(client.begin(1, ""))
    await eventually(lambda: gui.status()["slave"])
    await client.end()
    assert begin.done()
    with pytest.raises(PeerError, match="cancelled"):
        await begin
    assert gui.status()["state"] == "Halted"


async def test_stop_while_it_becomes_our_slave(gui: Simulated, client: ReadoutGui) -> None:
    """A begin that is given up before its first reply leaves its operator in charge, and the connection open."""
    await client.read()
    gui.thawed.clear()
    begin = asyncio.create_task(client.begin(1, ""))
    await asyncio.sleep(0.05)
    end = asyncio.create_task(client.end())
    await asyncio.sleep(0.05)
    gui.thawed.set()
    await end
    with pytest.raises(PeerError, match="cancelled"):
        await begin
    assert await client.read() == HALTED
    assert not gui.status()["slave"]
    assert not gui.status()["history"]


async def test_a_liar_is_found_out(gui: Simulated, client: ReadoutGui) -> None:
    """OK to begin without a run is a failure; OK to end with a run is one, too."""
    gui.manner = Manner.LYING
    with pytest.raises(PeerError, match="but its run is not active"):
        await client.begin(1, "")
    gui.manner = Manner.HONEST
    await client.end()
    await client.begin(1, "")
    gui.manner = Manner.LYING
    with pytest.raises(PeerTimeout, match="press End"):
        await client.end()


async def test_it_is_lost_while_it_hangs_and_kept_in_a_run(gui: Simulated, client: ReadoutGui) -> None:
    """A program that hangs in a run still belongs to us when it is back, without a flood of questions meanwhile."""
    await client.begin(1, "")
    gui.thawed.clear()
    for _ in range(3):
        with pytest.raises(PeerTimeout):
            await client.read()
    gui.thawed.set()
    assert await client.read() == ACTIVE
    await client.end()


async def test_nothing_takes_longer_than_its_time_out(gui: Simulated, client: ReadoutGui) -> None:
    """Begin and end of a program that hangs fail within their time-outs."""
    gui.thawed.clear()
    at = time.monotonic()
    with pytest.raises(PeerRejected, match="has not begun"):
        await client.begin(1, "")
    with pytest.raises(PeerError):
        await client.end()
    assert time.monotonic() - at < 6.0


async def test_a_cut_connection_cannot_end_the_run(gui: Simulated, client: ReadoutGui) -> None:
    """After a lost connection it controls itself: we see it run, cannot end it, and say who can."""
    await client.begin(1, "")
    gui.drop()
    with pytest.raises(PeerError, match="closed the connection"):
        await client.read()
    assert await client.read() == PartnerReading(active=True, controlled=False)
    with pytest.raises(PeerError, match="press End in its ReadoutGUI"):
        await client.end()
    gui.by_hand("Halted")
    assert await client.read() == HALTED
    await client.begin(2, "")
    await client.end()


async def test_a_second_connection_is_closed(gui: Simulated, client: ReadoutGui) -> None:
    """Who comes second is told that another program controls it, and gets it as soon as that is gone."""
    await client.read()
    other = client_of(gui.address.port)
    with pytest.raises(PeerError, match="another program may control it"):
        await other.read()
    await client.close()
    await asyncio.sleep(0)
    await eventually(lambda: not gui.status()["client"])
    assert await other.read() == HALTED
    await other.close()


async def test_a_dead_program_is_offline_until_it_is_back(gui: Simulated, client: ReadoutGui) -> None:
    """After a kill the next answers come from the new program, without our help."""
    await client.read()
    await gui.kill()
    for reason in ("closed the connection", "start the ReadoutGUI"):
        with pytest.raises(PeerError, match=reason):
            await client.read()
    await gui.start()
    assert await client.read() == HALTED


async def test_the_port_manager_is_asked(gui: Simulated) -> None:
    """Without a port, the DAQ port manager of the host says where it is; who must not be unclear."""
    client = client_of(None, manager=gui.address.manager_port)
    assert await client.read() == HALTED
    await client.close()
    other = client_of(None, manager=gui.address.manager_port, user="ana")
    with pytest.raises(PeerError, match="has no ReadoutGUI of ana"):
        await other.read()
    await other.close()


async def test_a_closed_client_asks_nothing(gui: Simulated) -> None:
    """Its ReadoutGUI is free for others."""
    client = client_of(gui.address.port)
    await client.begin(1, "")
    await client.close()
    with pytest.raises(PeerError, match="closed"):
        await client.read()
    await eventually(lambda: not gui.status()["client"])
    assert gui.status()["state"] == "Active"


async def test_a_host_without_it_is_named() -> None:
    """A refused connection says what to start there."""
    port = free_port()
    client = client_of(port)
    with pytest.raises(PeerError, match=f"partner aux at {HOST}:{port} cannot be reached.*start the ReadoutGUI"):
        await client.read()
    with pytest.raises(PeerRejected):
        await client.begin(1, "")
    await client.close()
    manager = client_of(None, manager=port)
    with pytest.raises(PeerError, match="start the DAQ port manager"):
        await manager.read()
    await manager.close()


async def test_the_simulator_refuses_what_the_original_refuses() -> None:
    """Settings without slave mode, numbers that are none, illegal verbs."""
    gui = Simulated(PartnerPlan("aux", release=2015), 100.0)
    await gui.start()
    reader, writer = await asyncio.open_connection(HOST, gui.address.port)
    table = {
        "set run 3": "ERROR {Not in slave mode}",
        "begin": "ERROR {Not in slave mode}",
        "quit": "FAIL {Invalid command 'quit'}",
        "masterTransition Active": "FAIL {Invalid command 'masterTransition Active'}",
        "set slave maybe": "ERROR {Slave state must be a boolean was: maybe}",
        "set slave 1": "OK",
        "get slave": "OK 1",
        "set run -1": "ERROR {Run number must be a positive integer was '-1'}",
        "set run {3 4}": "ERROR {Run number must be a positive integer was '3 4'}",
        "set run 0x10": "OK",
        "\n ": "FAIL {Invalid command ' '}",
        "set colour red": "ERROR {Invalid set: 'colour'}",
        "get state": "OK inactive",
        "end": "ERROR {The current state (Halted) does not allow the run to be ended}",
        "begin\nset slave 1": "OK",
        "set slave 0": "ERROR {State must be halted to perform set operations}",
    }
    for request, reply in table.items():
        writer.write(request.encode() + b"\n")
        async with asyncio.timeout(60):
            assert (await reader.readline()).decode().strip() == reply, request
    writer.transport.abort()
    await gui.close()


@pytest.mark.parametrize("request_line", ["set title {a b", "set title a b", "get", "begin"])
async def test_the_simulator_is_stuck_where_the_original_is(request_line: str) -> None:
    """An error of its program gets no answer, nor does anything after it, and nobody else is let in."""
    gui = Simulated(PartnerPlan("aux", release=2024), 100.0)
    await gui.start()
    reader, writer = await asyncio.open_connection(HOST, gui.address.port)
    writer.write(f"masterTransition Active\n{request_line}\nget state\n".encode())
    assert await reader.readline() == b"ERROR {Must be in slave mode to do this}\r\n"
    assert await reader.readline() == b"ERROR {Slave failed transition to Active }\r\n"
    writer.transport.abort()
    other, other_writer = await asyncio.open_connection(HOST, gui.address.port)
    with contextlib.suppress(ConnectionResetError):
        assert await other.read() == b""
    other_writer.transport.abort()
    await gui.close()
