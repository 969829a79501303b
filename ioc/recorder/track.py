"""One observable as the recorder keeps it."""

from __future__ import annotations

import time

from ioc.model import ObservableView, Reading, Statistics
from ioc.observables import disconnected
from ioc.recorder.figure import Figure
from ioc.recorder.run_figures import RunFigures
from ioc.recorder.statistics import NO_STATISTICS
from ioc.topology.schema import Observable

_CLOCK_ERROR_SECONDS = 10.0
"""A reading that is older or newer than this comes from a source with a wrong clock: statistics use ours."""


class Track:
    """The last reading of an observable, and its figure in the open run or its statistics in the last one."""

    def __init__(self, observable: Observable, observable_id: int) -> None:
        self.observable_id = observable_id
        self.follow(observable)
        self.units = ""
        self.precision: int | None = None
        self.labels: tuple[str, ...] = ()
        self.reading: Reading | None = None
        self._figure: Figure | None = None
        self._finished = NO_STATISTICS
        self._gap_at = time.time()

    def follow(self, observable: Observable) -> None:
        """Be described so from now on."""
        self.observable = observable
        # A reading that a rate limit has held back is old, but right.
        self._tolerance = _CLOCK_ERROR_SECONDS + (1 / observable.max_rate if observable.max_rate else 0.0)

    @property
    def manual(self) -> bool:
        return self.observable.pv is None

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
        if self._figure is not None:
            in_time = abs(sample.sampled_at - now) <= self._tolerance
            self._figure.add(sample, sample.sampled_at if in_time else now)
        return sample

    def join(self, figures: RunFigures, now: float) -> list[Reading]:
        """Take part in a run from `now` on; returns the samples that its record begins with (none or one).

        Who took part in it before goes on.
        """
        figure = figures.figure(self.observable_id)
        if figure is None:
            figure = figures.add(Figure(self.observable_id, self.observable.name, now, manual=self.manual))
            figure.begin(self.reading)
        self._figure = figure
        if self.reading is not None and self.reading.connected:
            return self._count(self.reading._replace(sampled_at=now), now)
        return [] if self.manual else self._count(disconnected(self.observable.name, now), now)

    def leave(self, now: float) -> list[Reading]:
        """Be followed no more; returns what is to be recorded."""
        gaps = [disconnected(self.observable.name, now)] if self.connected and not self.manual else []
        for gap in gaps:
            self.take(gap, now)
        self._figure = None
        return gaps

    def finish(self, statistics: Statistics | None) -> None:
        """The run has ended; its statistics stay visible."""
        self._figure = None
        self._finished = NO_STATISTICS if statistics is None else statistics

    def statistics(self, now: float) -> Statistics:
        """Of the open run until now, else of the last one."""
        return self._finished if self._figure is None else self._figure.statistics(now)

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

    def _count(self, sample: Reading, now: float) -> list[Reading]:
        if self._figure is not None:
            self._figure.add(sample, now)
        return [sample]
