"""A recorder on a real run database, with a feed by hand."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from ioc.model import ObservableView, Reading, RunClass, RunId, Scalar, Severity, Statistics
from ioc.observables import ObservableFeed, Properties
from ioc.ports import ReadingsListener
from ioc.recorder import Clock, ObservableRecorder
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE

ENERGY = Observable.model_validate({"name": "energy", "type": "float"})
COUNT = Observable.model_validate({"name": "count", "type": "integer"})
VALVE = Observable.model_validate({"name": "valve", "type": "enum", "pv": "V"})
ALL = (PRESSURE, GAS, ENERGY, COUNT, VALVE)


class HandFeed(ObservableFeed):
    """Delivers what a test says, in place of Channel Access."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.closed = False
        self._deliver: ReadingsListener | None = None
        self._tell: Callable[[str, Properties], None] | None = None

    async def start(
        self,
        observables: Sequence[Observable],
        deliver: ReadingsListener,
        tell_properties: Callable[[str, Properties], None],
    ) -> None:
        self._deliver = deliver
        self._tell = tell_properties
        await self.update(observables)

    async def update(self, observables: Sequence[Observable]) -> None:
        self.followed = [each.name for each in observables if each.pv is not None]

    async def close(self) -> None:
        self.closed = True

    def send(self, value: Scalar | None, at: float | None = None, name: str = "pressure", label: str = "") -> None:
        assert self._deliver is not None
        if name not in self.followed:
            return
        severity = Severity.INVALID if value is None else Severity.NO_ALARM
        status = "disconnected" if value is None else "NO_ALARM"
        self._deliver([Reading(name, value, severity, status, time.time() if at is None else at, label)])

    def tell(self, name: str, properties: Properties) -> None:
        assert self._tell is not None
        self._tell(name, properties)


class HandClock(Clock):
    """A clock that a test sets, in place of the machine's."""

    def __init__(self) -> None:
        super().__init__()
        self.time = time.time()
        self.step = 0.0

    def now(self) -> tuple[float, float]:
        step, self.step = self.step, 0.0
        return self.time, step

    def set(self, seconds: float) -> None:
        """Set it forward, or back if negative."""
        self.time += seconds
        self.step += seconds


class Rig:
    """A recorder with its store and feed, and the names that it said had changed."""

    def __init__(
        self,
        store: SqliteRunStore,
        record: Literal["always", "runs"] = "always",
        clock: Clock | None = None,
        unrecorded: Sequence[Observable] = (),
    ) -> None:
        self.store = store
        self.feed = HandFeed()
        self.changes: list[frozenset[str]] = []
        self.recorder = ObservableRecorder(
            store,
            self.feed,
            experiment="e1",
            observables=ALL,
            record=record,
            unrecorded=unrecorded,
            clock=clock,
        )

    async def run(self) -> RunId:
        return (await self.store.reserve_run("e1", "", RunClass.Beam, "")).run

    def view(self, name: str) -> ObservableView:
        (view,) = self.recorder.values([name])
        return view

    def statistics(self, name: str) -> Statistics:
        (view,) = self.recorder.views([name])
        assert view.statistics is not None
        return view.statistics


@asynccontextmanager
async def rig(
    database: Path,
    record: Literal["always", "runs"] = "always",
    clock: Clock | None = None,
    unrecorded: Sequence[Observable] = (),
) -> AsyncIterator[Rig]:
    """One life of the IOC: store and recorder started, and closed at the end."""
    store = SqliteRunStore(database, call_seconds=10.0)
    await store.start()
    try:
        made = Rig(store, record, clock, unrecorded)
        await made.recorder.follow(made.changes.append)
        await made.recorder.start()
        yield made
        await made.recorder.close()
    finally:
        await store.close()


async def interrupted_run(database: Path, *values: float) -> RunId:
    """A run that begins with the first of these values of the pressure and gets the others; then the IOC is gone."""
    async with rig(database) as it:
        it.feed.send(values[0])
        run = await it.run()
        await it.recorder.begin_run(run)
        for value in values[1:]:
            it.feed.send(value)
    return run


def as_killed(database: Path) -> Path:
    """The database as the IOC would leave it if it were killed now: a copy of the file and its log."""
    copy = database.with_name("killed.db")
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
    return copy
