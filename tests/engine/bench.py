"""The engine between four fakes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

from ioc.engine import Engine, Timing
from ioc.model import Client, EccState, Event, Operation, RunOperation, RunState, SystemOperation
from ioc.runlogic import events as ev
from ioc.runlogic.permits import blocked_by
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import State
from ioc.topology.schema import Topology
from tests.engine.fakes import FakeEcc, FakeHooks, FakeHost, FakePartner, FakeRecorder, FakeStore
from tests.runlogic.installation import topology as small_topology


def steady() -> float:
    """The clock of the running loop, which may be a `ClockLoop`; outside a loop the machine's."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


ANA = Client("ana", "192.168.41.2")


class Bench:
    """Async context manager: inside it the engine runs. All fakes can be scripted before and at any time."""

    def __init__(self, topology: Topology | None = None, *, state: EccState = EccState.Idle) -> None:
        self.topology = topology or small_topology()
        names = [server.name for server in self.topology.ecc_servers]
        routers = [router.name for router in self.topology.data_routers]
        self.ecc = {name: FakeEcc(state) for name in names}
        self.hosts = [
            FakeHost(f"host{n}", [router], [name]) for n, (router, name) in enumerate(zip(routers, names, strict=True))
        ]
        self.partners = {each.name: FakePartner() for each in self.topology.partners}
        self.store = FakeStore()
        self.recorder = FakeRecorder()
        self.hooks = FakeHooks()
        self.journal: list[Event] = []
        self.states: list[State] = []
        self.engine = Engine(
            Plan.of(self.topology),
            ecc=self.ecc,
            hosts=self.hosts,
            partners=self.partners,
            store=self.store,
            recorder=self.recorder,
            hooks=self.hooks,
            timing=Timing(),
            journal=self.journal.append,
            steady=steady,
        )
        self.engine.subscribe(self.states.append)
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.engine.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    @property
    def state(self) -> State:
        return self.engine.state

    @property
    def log(self) -> list[str]:
        """Texts of the journal."""
        return [event.message for event in self.journal]

    async def until(self, condition: Callable[[], object], seconds: float = 600.0) -> None:
        """Wait until `condition` is true; the engine must not have ended before."""
        assert self.task is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            assert not self.task.done(), "the engine ended"
            assert loop.time() < deadline, f"not true after {seconds} s: {self.state}"
            await asyncio.sleep(0.01)

    async def until_permitted(self) -> None:
        """Wait until a start is permitted."""
        self.engine.post(ev.ObservablesMissing(frozenset()))
        await self.until(lambda: not blocked_by(self.engine.plan, self.state))

    async def system(self, step: SystemOperation) -> None:
        await self.engine.command(ev.SystemCommand(ANA, step))

    async def server(self, name: str, action: Operation) -> None:
        await self.engine.command(ev.ServerCommand(ANA, name, action))

    async def run(self, action: RunOperation) -> None:
        await self.engine.command(ev.RunCommand(ANA, action))

    async def to_ready(self) -> None:
        """Every server Ready, a start permitted."""
        await self.until(lambda: self.state.restored and all(server.online for server in self.state.servers.values()))
        for step in (Operation.Describe, Operation.Prepare, Operation.Configure):
            await self.system(step)
        await self.until_permitted()

    async def to_running(self) -> None:
        """A run is open."""
        await self.to_ready()
        await self.run(Operation.Start)
        assert self.state.run.state is RunState.Running
