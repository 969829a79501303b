"""The client against recordings of two builds of the real server, byte for byte."""

from __future__ import annotations

import time

import pytest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no types

from ioc.errors import PeerError, PeerRejected
from ioc.model import ConfigChoice, DataLink, EccState, LinkType, Operation, Transition
from tests.ecc.scripted import BUILDS, MakeClient, MakeServer, body_of, recorded

CONFIG = ConfigChoice("loop", "noasad", "noasad")
LINK = DataLink("CoBo[0]", "r0", "127.0.0.1", 46005, LinkType.TCP)

STATES = [
    ("get-state-idle", EccState.Idle, Transition.NoTransition),
    ("get-state-described", EccState.Described, Transition.NoTransition),
    ("get-state-prepared", EccState.Prepared, Transition.NoTransition),
    ("get-state-ready", EccState.Ready, Transition.NoTransition),
    ("get-state-running", EccState.Running, Transition.NoTransition),
    ("get-state-paused", EccState.Paused, Transition.NoTransition),
    ("get-state-busy-preparing", EccState.Described, Transition.Preparing),
]

# (recording, operation, describe name, data links)
ACCEPTED = [
    ("describe-ok", Operation.Describe, "loop", ()),
    ("prepare-ok", Operation.Prepare, "loop", ()),
    ("configure-ok", Operation.Configure, "loop", (LINK,)),
    ("start-ok", Operation.Start, "loop", ()),
    ("stop-ok", Operation.Stop, "loop", ()),
    ("pause-ok", Operation.Pause, "loop", ()),
    ("breakup-ok", Operation.Breakup, "loop", ()),
    ("undo-ok", Operation.Undo, "loop", ()),
    ("start-in-idle-ignored", Operation.Start, "loop", ()),
]

# (recording, operation, describe name, ErrorCode, part of the message)
REJECTED = [
    ("configure-no-router", Operation.Configure, "loop", 3, "Could not find a valid data router for data sender"),
    ("describe-hardware-refused", Operation.Describe, "refused", 1, "\nconnection refused: Connection refused"),
    ("describe-unknown-config", Operation.Describe, "nonexist", 1, ""),
    ("undo-while-busy", Operation.Undo, "loop", 9, "The ECC state machine is busy!"),
]


def canonical(message: bytes) -> str:
    """The body of an HTTP request in exclusive canonical XML: namespaces stand where they are used."""
    return etree.canonicalize(etree.fromstring(body_of(message)))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", STATES, ids=lambda case: case[0])
async def test_state_is_read(
    server: MakeServer, client: MakeClient, build: str, case: tuple[str, EccState, Transition]
) -> None:
    """Each recorded state is read, the request is the recorded one, and the time is that of the answer."""
    name, state, transition = case
    request, response = recorded(build, name)
    ecc = server(lambda connection: connection.send(response))
    before = time.time()
    reading = await client(ecc.port).get_state()
    assert (reading.state, reading.transition) == (state, transition)
    assert before <= reading.read_at <= time.time()
    assert [canonical(sent) for sent in ecc.requests] == [canonical(request)]


@pytest.mark.parametrize("build", BUILDS)
async def test_configurations_are_read(server: MakeServer, client: MakeClient, build: str) -> None:
    """The list of configurations is read in the server's order."""
    request, response = recorded(build, "get-config-ids")
    ecc = server(lambda connection: connection.send(response))
    configs = await client(ecc.port).get_configs()
    assert configs == tuple(ConfigChoice(name, "noasad", "noasad") for name in ("empty", "loop", "refused"))
    assert [canonical(sent) for sent in ecc.requests] == [canonical(request)]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case[0])
async def test_transition_is_sent_as_recorded(
    server: MakeServer, client: MakeClient, build: str, case: tuple[str, Operation, str, tuple[DataLink, ...]]
) -> None:
    """Each transition is sent once, with the recorded body, and its reply is accepted."""
    name, operation, describe, links = case
    request, response = recorded(build, name)
    ecc = server(lambda connection: connection.send(response))
    config = ConfigChoice(describe, "noasad", "noasad")
    reply = await client(ecc.port).transition(operation, config, links)
    assert [canonical(sent) for sent in ecc.requests] == [canonical(request)]
    if operation is Operation.Describe:
        assert reply.sources == ("CoBo[0]",)
    if operation is Operation.Configure:
        # SHA-256 of <ConfigSet></ConfigSet>, computed with sha256sum.
        assert reply.config_digest == "2024b3d8e56e06b7ae8d06637641b17d84f1972568ea1b1c2fc59fb690ecfcbc"


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", REJECTED, ids=lambda case: case[0])
async def test_failed_transition_is_rejected_in_full(
    server: MakeServer, client: MakeClient, build: str, case: tuple[str, Operation, str, int, str]
) -> None:
    """A failed transition carries the server's number and its whole message, of several lines if it has them."""
    name, operation, describe, code, message = case
    request, response = recorded(build, name)
    ecc = server(lambda connection: connection.send(response))
    config = ConfigChoice(describe, "noasad", "noasad")
    with pytest.raises(PeerRejected) as caught:
        await client(ecc.port).transition(operation, config, ())
    assert f" with code {code}: " in str(caught.value)
    text = str(caught.value)
    assert text.startswith(f"ECC server CoBo3 at 127.0.0.1:{ecc.port} failed {operation} with code {code}: ")
    assert message in text
    assert [canonical(sent) for sent in ecc.requests] == [canonical(request)]


@pytest.mark.parametrize("build", BUILDS)
async def test_fault_is_an_error_with_its_text(server: MakeServer, client: MakeClient, build: str) -> None:
    """A SOAP fault, which comes with status 500, is an error of the peer with the fault's text."""
    _, response = recorded(build, "unknown-method")
    ecc = server(lambda connection: connection.send(response))
    with pytest.raises(PeerError, match="answered GetState with a SOAP fault: Method 'Levitate' not implemented"):
        await client(ecc.port).get_state()
