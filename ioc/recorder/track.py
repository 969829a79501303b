"""One observable as the recorder keeps it."""

from __future__ import annotations

import time
from dataclasses import replace

from ioc.model import ObservableView, Reading, Scalar, Severity, Statistics
from ioc.recorder.statistics import NO_STATISTICS, RunStatistics
from ioc.rundb import Measurement
from ioc.topology.schema import Observable

_CLOCK_ERROR_SECONDS = 10.0
"""A reading that is older or newer than this comes from a source with a wrong clock: statistics use ours."""


class Track:
    """The last reading of an observable, and its statistics in the open or the last run."""

    def __init__(self, observable: Observable) -> None:
        self.observable = observable
        self.units = ""
        self.precision: int | None = None
        self.labels: tuple[str, ...] = ()
        self.reading: Reading | None = None
        self.begin_value: Scalar | None = None
        self._running: RunStatistics | None = None
        self._finished = NO_STATISTICS
        self._gap_at = time.time()

    @property
    def connected(self) -> bool:
        """Whether there is a value now."""
        return self.reading is not None and self.reading.connected

    def take(self, reading: Reading, now: float) -> Reading:
        """Make this the last reading, which came at `now`; returns the sample to be recorded for it.

        After a gap the source may come back with a time stamp from before the gap: such a sample gets the time of
        its arrival, so that the gap ends there.
        """
        sample = reading
        if not reading.connected:
            self._gap_at = reading.sampled_at
        elif not self.connected and reading.sampled_at <= self._gap_at:
            sample = reading._replace(sampled_at=now)
        self.reading = reading
        if self._running is not None:
            in_time = abs(sample.sampled_at - now) <= _CLOCK_ERROR_SECONDS
            self._running.add(sample if in_time else sample._replace(sampled_at=now))
        return sample

    def begin(self, began_at: float) -> list[Reading]:
        """Start the statistics of a run; returns the samples that its record begins with (none or one)."""
        self._running = RunStatistics(began_at)
        self.begin_value = recorded_value(self.reading)
        return self.go_on(began_at) or self.add_gap(began_at)

    def go_on(self, now: float) -> list[Reading]:
        """Count the value that is there already from `now` on; returns what is to be recorded."""
        if self.reading is None or not self.reading.connected:
            return []
        return self._count(self.reading._replace(sampled_at=now))

    def add_gap(self, since: float) -> list[Reading]:
        """Note a time without a value that began at `since`, unless manual; returns what is to be recorded."""
        return [sample for gap in self._gap(since) for sample in self._count(gap)]

    def resume(self, gap_at: float, now: float, begin_value: Scalar | None) -> list[Reading]:
        """Go on `now` with a run of which nothing is known since `gap_at`; returns what is to be recorded.

        The statistics are those from now on, until `prepend` adds the past.
        """
        self._running = RunStatistics(now)
        self.begin_value = begin_value
        return self._gap(gap_at) + self.go_on(now)

    def prepend(self, past: RunStatistics, gap_at: float, now: float) -> None:
        """Add the statistics of the run before `resume`, to which the same times were given."""
        for gap in self._gap(gap_at):
            past.add(gap)
        past.advance(now)
        if self._running is not None:
            self._running.prepend(past)

    def restore(self, past: RunStatistics, begin_value: Scalar | None) -> None:
        """Make these the statistics of a run that nobody went on with."""
        self._running = past
        self.begin_value = begin_value

    def show(self, measurement: Measurement | None) -> None:
        """Show the statistics of a finished run, or none."""
        self._finished = NO_STATISTICS if measurement is None else measurement.statistics

    def measurement(self, now: float, end_value: Scalar | None) -> Measurement:
        """The row of the open run, as if it ended now."""
        statistics = self.statistics(now)
        if self.observable.pv is None:
            statistics = replace(statistics, disconnected_seconds=0.0)
        return Measurement(self.observable.name, self.begin_value, end_value, statistics)

    def finish(self, ended_at: float) -> None:
        """End the statistics of the run; they stay visible."""
        self._finished = self.statistics(ended_at)
        self._running = None

    def shift(self, seconds: float) -> None:
        """Count on from a clock that was set by so much."""
        if self._running is not None:
            self._running.shift(seconds)

    def statistics(self, now: float) -> Statistics:
        """Of the open run until now, else of the last one."""
        return self._finished if self._running is None else self._running.until(now)

    def _gap(self, since: float) -> list[Reading]:
        if self.observable.pv is None:
            return []
        return [Reading(self.observable.name, None, Severity.INVALID, "disconnected", since)]

    def _count(self, sample: Reading) -> list[Reading]:
        if self._running is not None:
            self._running.add(sample)
        return [sample]

    def view(self, statistics: Statistics | None = None) -> ObservableView:
        """What it is now, with these statistics."""
        observable = self.observable
        return ObservableView(
            observable.name,
            self.reading,
            observable.pv is None or self.connected,
            observable.units or self.units,
            self.precision,
            self.labels,
            statistics,
        )


def recorded_value(reading: Reading | None) -> Scalar | None:
    """What the database gets for a reading: the text of an enum, None without one."""
    if reading is None:
        return None
    return reading.label or reading.value
