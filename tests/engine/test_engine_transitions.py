"""Transitions as the engine performs them: lost replies, rejections, lies, bugs."""

from __future__ import annotations

import asyncio

import pytest

from ioc.engine import Timing
from ioc.engine.perform import INTERNAL, Performer
from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.model import ConfigChoice, EccReading, EccState, Operation, Transition, TransitionReply
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan
from tests.engine.fakes import FakeEcc, FakeHooks, FakeRecorder, FakeStore
from tests.runlogic.installation import topology

CONFIGURE = ef.SendTransition("CoBo0", Operation.Configure, ConfigChoice("a", "b", "c"), ())
LOST = PeerError("ECC server CoBo0 closed the connection without an answer")
TIMING = Timing()


def busy() -> EccReading:
    return EccReading(EccState.Prepared, Transition.Configuring, 0.0)


async def perform(ecc: FakeEcc, effect: ef.SendTransition = CONFIGURE) -> tuple[ev.TransitionEnded, float]:
    """The event that a transition ends with, and how long it took."""
    events: list[ev.Event] = []
    performer = Performer(
        Plan.of(topology()),
        ecc={"CoBo0": ecc},
        hosts=(),
        partners={},
        store=FakeStore(),
        recorder=FakeRecorder(),
        hooks=FakeHooks(),
        timing=TIMING,
        post=events.append,
        next_directory=lambda: "e20/run_0000",
        record=FakeStore().add_files,
    )
    loop = asyncio.get_running_loop()
    began = loop.time()
    await performer.perform(effect, asyncio.Event())
    [event] = events
    assert isinstance(event, ev.TransitionEnded)
    assert (event.server, event.operation) == ("CoBo0", effect.operation)
    return event, loop.time() - began


async def test_the_state_is_read_after_a_reply() -> None:
    """After a reply the state is read once, at once; digest and sources belong to Configure and Describe only."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.replies.append(TransitionReply(("CoBo[0]",), "digest"))
    event, seconds = await perform(ecc)
    assert (event.error, event.config_digest, event.sources) == ("", "digest", ())
    assert event.reading is not None
    assert event.reading.state is EccState.Ready
    assert (len(ecc.read_at), seconds) == (1, 0.0)


async def test_a_lost_reply_is_read_until_the_server_is_at_rest() -> None:
    """When the reply is lost, GetState is asked every 0.2 s until the transition is over; nothing is sent again."""
    ecc = FakeEcc(EccState.Ready)
    ecc.replies.append(LOST)
    ecc.reads.extend([busy(), busy(), busy(), None])
    event, seconds = await perform(ecc)
    assert event.reading is not None
    assert (event.reading.state, event.reading.transition) == (EccState.Ready, Transition.NoTransition)
    assert "without an answer" in event.error
    assert ecc.sent == [Operation.Configure]
    assert [round(at, 3) for at in ecc.read_at] == [0.0, 0.2, 0.4, 0.6]
    assert seconds < 1


async def test_a_lost_reply_is_not_waited_for_for_ever() -> None:
    """A transition that goes on for longer than its time-out is given up, and the reading says that it goes on."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.replies.append(LOST)
    ecc.reads.extend([busy() for _ in range(2000)])
    event, seconds = await perform(ecc)
    assert event.reading == busy()
    assert TIMING.transition_timeout <= seconds < TIMING.transition_timeout + 1


async def test_a_reply_that_never_came_is_not_waited_for_again() -> None:
    """After the transition's own time-out the state is read once more and no longer waited for."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.takes = TIMING.transition_timeout
    ecc.replies.append(PeerTimeout("ECC server CoBo0 did not answer Configure within 180 s"))
    ecc.reads.append(busy())
    event, seconds = await perform(ecc)
    assert event.reading == busy()
    assert "within 180 s" in event.error
    assert seconds == pytest.approx(TIMING.transition_timeout)


@pytest.mark.parametrize("reply", [None, LOST, PeerRejected("no power")])
async def test_a_server_that_is_gone_after_the_reply(reply: Exception | None) -> None:
    """If the state cannot be read afterwards, that is known within the time-out of a reading."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.replies.append(reply)
    ecc.reads.extend([PeerError("connection refused")] * 1000)
    event, seconds = await perform(ecc)
    assert event.reading is None
    assert seconds <= TIMING.state_timeout + 1


async def test_a_hiccup_after_the_reply_is_survived() -> None:
    """One reading that fails right after the reply does not make a transition that went well a failure."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.reads.append(PeerError("connection reset"))
    event, _ = await perform(ecc)
    assert event.reading is not None
    assert (event.error, event.reading.state) == ("", EccState.Ready)


async def test_a_rejection_is_said_in_full() -> None:
    """The text of a rejection goes into the event unchanged, with the state that is read once."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.replies.append(PeerRejected("failed with code 3: no power\non slot 3"))
    event, _ = await perform(ecc)
    assert event.error == "failed with code 3: no power\non slot 3"
    assert event.reading is not None
    assert len(ecc.read_at) == 1


async def test_a_server_that_is_busy_again_after_its_reply() -> None:
    """Another client's transition that began right after the reply is said so."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.reads.append(busy())
    event, _ = await perform(ecc)
    assert event.error == "ECC server CoBo0 is Configuring again after Configure"


@pytest.mark.parametrize("reply", [None, LOST, PeerRejected("no"), ZeroDivisionError("bug")])
@pytest.mark.parametrize("read", [None, ZeroDivisionError("bug")])
async def test_a_bug_in_the_client_ends_in_an_event(reply: Exception | None, read: Exception | None) -> None:
    """Whatever the client raises, and where, the core is told how the transition ended."""
    ecc = FakeEcc(EccState.Prepared)
    ecc.replies.append(reply)
    ecc.reads.extend([read] * 1000)
    event, seconds = await perform(ecc)
    assert (event.reading is None) == (read is not None)
    assert event.error.endswith(INTERNAL) == isinstance(reply, ZeroDivisionError)
    assert seconds <= TIMING.state_timeout + 1
