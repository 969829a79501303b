"""Fixtures for the tests of hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ioc.hooks import HookRunner
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.model import DocumentState, RunClass, RunId, RunRecord
from ioc.topology.schema import Hook, Hooks
from tests.sshd import SshServer

RUN = RunRecord(
    RunId("e18008", 12), DocumentState.Running, RunClass.Beam, "¹⁴C + p,\n\"42\" $HOME 'x' \\", 1.0, 1_800_000_000.25
)

Make = Callable[..., HookRunner]


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server that no test harms."""
    with SshServer(tmp_path_factory.mktemp("hooks-sshd")) as server:
        yield server


@pytest.fixture(params=["local", "ssh"])
async def command(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes the runner of one hook ``hv``, after_start, that is a program on this machine or over SSH."""
    transport: Transport = LocalTransport()
    if request.param == "ssh":
        transport = SshTransport("127.0.0.1", request.getfixturevalue("shared_sshd").settings(), 10.0)
    made: list[HookRunner] = []

    def make(*program: str | Path, **changes: Any) -> HookRunner:
        hook = Hook(name="hv", run=tuple(map(str, program)), host="there", **changes)
        made.append(HookRunner(Hooks(after_start=(hook,)), {"there": transport}))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()


@pytest.fixture
async def web() -> AsyncIterator[Make]:
    """Makes the runner of one hook ``hv``, after_start, that is a POST to a URL."""
    made: list[HookRunner] = []

    def make(url: str, **changes: Any) -> HookRunner:
        made.append(HookRunner(Hooks(after_start=(Hook(name="hv", post=url, **changes),)), {}))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()
