"""The recorder's state of one observable."""

from __future__ import annotations

import time

from ioc.model import ObservableView, Reading, Statistics
from ioc.observables import Properties, disconnected
from ioc.recorder.recorded_run import RecordedRun
from ioc.recorder.statistics import NO_STATISTICS, RunStatistics, recorded_value
from ioc.topology.schema import Observable

_CLOCK_ERROR_SECONDS = 10.0
"""If the time stamp differs by more, the source's clock is wrong: statistics use the local time."""


class ObservableState:
    """The latest reading of an observable, and its statistics in the open run or in the last one."""

    def __init__(self, observable: Observable, observable_id: int = 0) -> None:
        """`observable_id` is 0 until the database has defined it."""
        self.observable_id = observable_id
        self.describe(observable)
        self.properties: Properties | None = None
        """Of its source, once they are known."""
        self.reading: Reading | None = None
        self._statistics: RunStatistics | None = None
        self._finished = NO_STATISTICS
        self._gap_at = time.time()

    def describe(self, observable: Observable) -> None:
        """Take texts, dead band and rate from the topology."""
        self.observable = observable
        # A reading held back by a rate limit is old, but correct.
        self._tolerance = _CLOCK_ERROR_SECONDS + (1 / observable.max_rate if observable.max_rate else 0.0)

    @property
    def manual(self) -> bool:
        return self.observable.pv is None

    @property
    def connected(self) -> bool:
        """Whether it has a value now."""
        reading = self.reading
        return reading is not None and reading.connected

    def take(self, reading: Reading, now: float) -> Reading:
        """Make this the latest reading, received at `now`; returns the sample to be recorded for it.

        After a gap, the source may return with a time stamp from before the gap: such a sample gets its time of
        arrival, so that the gap ends there.
        """
        sample = reading
        if not reading.connected:
            self._gap_at = reading.sampled_at
        elif not self.connected and reading.sampled_at <= self._gap_at:
            sample = reading._replace(sampled_at=now)
        self.reading = reading
        if self._statistics is not None:
            in_time = abs(sample.sampled_at - now) <= self._tolerance
            self._statistics.add(sample, sample.sampled_at if in_time else now)
        return sample

    def join(self, run: RecordedRun, now: float) -> list[Reading]:
        """Take part in a run from `now` on; returns the initial samples of its record (none or one).

        If it took part before, its statistics continue.
        """
        statistics = run.statistics.get(self.observable_id)
        if statistics is None:
            statistics = run.statistics[self.observable_id] = RunStatistics(
                now,
                observable_id=self.observable_id,
                name=self.observable.name,
                manual=self.manual,
                begin_value=recorded_value(self.reading),
            )
        self._statistics = statistics
        if self.manual and self.reading is None:
            return []
        sample = (self.reading or disconnected(self.observable.name, now))._replace(sampled_at=now)
        statistics.add(sample, now)
        return [sample]

    def leave(self, now: float) -> list[Reading]:
        """Stop following it; returns the samples to be recorded."""
        gaps = [disconnected(self.observable.name, now)] if self.connected and not self.manual else []
        samples = [self.take(gap, now) for gap in gaps]
        self._statistics = None
        return samples

    def finish(self, statistics: Statistics | None) -> None:
        """The run has ended; its statistics stay visible."""
        self._statistics = None
        self._finished = NO_STATISTICS if statistics is None else statistics

    def view(self, now: float | None = None) -> ObservableView:
        """Its view; if `now` is given, with the statistics of the open run until then, else of the last one."""
        observable, of_source = self.observable, self.properties
        statistics: Statistics | None = None
        if now is not None:
            statistics = self._finished if self._statistics is None else self._statistics.until(now)
        return ObservableView(
            observable.name,
            self.reading,
            self.manual or self.connected,
            observable.units or (of_source.units if of_source else ""),
            of_source.precision if of_source else None,
            of_source.labels if of_source else (),
            statistics,
        )
