"""Fixtures for the ECC client: scripted servers, clients of them, and the proof that no thread is left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from ioc.ecc.client import ZeepEccClient
from tests.ecc.scripted import MakeClient, MakeServer, ScriptedServer


@pytest.fixture
def server() -> Iterator[MakeServer]:
    """Starts scripted servers, which end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda script: stack.enter_context(ScriptedServer(script))


@pytest.fixture
async def client() -> AsyncIterator[MakeClient]:
    """Makes clients named CoBo3, which are closed with the test; fails if one leaves a thread behind."""
    before = set(threading.enumerate())
    made: list[ZeepEccClient] = []

    def make(port: int, *, host: str = "127.0.0.1", state: float = 5.0, transition: float = 5.0) -> ZeepEccClient:
        made.append(ZeepEccClient("CoBo3", host, port, state_timeout=state, transition_timeout=transition))
        return made[-1]

    yield make
    for each in made:
        await each.close()
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("ecc-")]
    assert left == []
