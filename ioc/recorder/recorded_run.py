"""The statistics of all observables in one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ioc.model import Reading, RunId, Statistics
from ioc.observables import disconnected
from ioc.recorder.statistics import RunStatistics
from ioc.rundb import Measurement


@dataclass
class EarlierPart:
    """The part of a run that an earlier process recorded; all times are POSIX seconds."""

    last_alive: float
    """When that process was last known to run."""
    asked_at: float
    """When this process learned of the run. Later samples are from a source whose clock is ahead."""
    resumed_at: float | None
    """Since when this process records the run; None if the run ended with the earlier process."""
    before: float | None = None
    """Only samples before this time are certainly from the earlier process; None while this one has stored none."""


class RecordedRun:
    """The statistics of a run while it is recorded and until they are stored."""

    def __init__(self, run: RunId, earlier: EarlierPart | None = None, ended_at: float | None = None) -> None:
        self.run = run
        self.earlier = earlier
        """The part that must be added to the statistics before they are stored; None if they are complete."""
        self.ended_at = ended_at
        """None while it is open."""
        self.failure_told = False
        """It was reported that the statistics are not stored."""
        self.statistics: dict[int, RunStatistics] = {}
        """By the id of the observable. Those of a removed observable stay and continue if it returns."""

    def shift(self, seconds: float) -> None:
        """Adjust to a clock that was set by this step."""
        for each in self.statistics.values():
            each.shift(seconds)

    def measurements(self, now: float) -> list[Measurement]:
        """The rows to store; for an open run, as if it ended now."""
        until = now if self.ended_at is None else self.ended_at
        return [each.measurement(until) for each in self.statistics.values()]

    def final(self, observable_id: int) -> Statistics | None:
        """The statistics of an observable over the ended run; None if it has none."""
        statistics = self.statistics.get(observable_id)
        return None if statistics is None or self.ended_at is None else statistics.until(self.ended_at)

    def complete(self, earlier: Iterable[RunStatistics], last_at: float) -> list[Reading]:
        """Add the statistics of the earlier process, until `last_at`; returns the gaps to be recorded in between."""
        assert self.earlier is not None
        resumed_at = self.earlier.resumed_at
        stopped_at = max(last_at, self.earlier.last_alive)
        self.earlier = None
        if resumed_at is None:
            self.statistics = {each.observable_id: each for each in earlier}
            self.ended_at = stopped_at
            return []
        gaps: list[Reading] = []
        for each in earlier:
            gap = disconnected(each.name, stopped_at)
            if not each.manual:
                each.add(gap, stopped_at)
            each.advance(resumed_at)
            present = self.statistics.setdefault(each.observable_id, each)
            if present is not each:
                present.prepend(each)
                gaps += [] if each.manual else [gap]
        return gaps
