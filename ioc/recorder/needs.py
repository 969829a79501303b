"""What the recorder needs of the run database and of the source of readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ioc.model import Reading, RunId, RunRecord
from ioc.observables import Properties
from ioc.ports import ReadingsListener
from ioc.rundb import Measurement, SavedSetting
from ioc.topology.schema import Observable


class RecorderStore(Protocol):
    """What the recorder needs of the run database (`ioc.rundb.SqliteRunStore`)."""

    async def last_run(self, experiment: str) -> RunRecord | None: ...
    async def define_observables(self, experiment: str, observables: Sequence[Observable]) -> None: ...
    async def load_saved_settings(self) -> Mapping[str, SavedSetting]: ...
    async def save_setting(self, name: str, value: str) -> None: ...
    async def save_measurements(self, run: RunId, measurements: Sequence[Measurement]) -> None: ...
    async def load_measurements(self, run: RunId) -> tuple[Measurement, ...]: ...
    async def load_samples(self, run: RunId) -> tuple[Reading, ...]: ...
    def add_samples(self, experiment: str, run: RunId | None, readings: Iterable[Reading]) -> None: ...


class Feed(Protocol):
    """Where readings come from (`ioc.observables.ObservableFeed`)."""

    async def start(
        self,
        observables: Sequence[Observable],
        deliver: ReadingsListener,
        tell_properties: Callable[[str, Properties], None],
    ) -> None: ...
    async def update(self, observables: Sequence[Observable]) -> None: ...
    async def close(self) -> None: ...
