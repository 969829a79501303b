"""Passes the readings that the core watches from the recorder to the engine, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ioc.engine import Engine
from ioc.recorder import ObservableRecorder
from ioc.runlogic.events import ObservablesRead
from ioc.runlogic.readings import watched
from ioc.runlogic.state import State


class Watching:
    """Belongs to the event loop. Most observables are not watched: for those nothing is done."""

    def __init__(self, engine: Engine, recorder: ObservableRecorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._names = watched(engine.plan, engine.state)
        engine.subscribe(self._follow)

    def changed(self, names: frozenset[str]) -> None:
        if wanted := names & self._names:
            self._pass(wanted)

    def _follow(self, state: State) -> None:
        names = watched(self._engine.plan, state)
        if new := names - self._names:
            # not at once: the engine is still showing this state
            asyncio.get_running_loop().call_soon(self._pass, new)
        self._names = names

    def _pass(self, names: Iterable[str]) -> None:
        if readings := tuple(self._recorder.readings(names)):
            self._engine.post(ObservablesRead(readings))
