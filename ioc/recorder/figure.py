"""What one observable has done in one run so far."""

from __future__ import annotations

from dataclasses import replace

from ioc.model import Reading, Scalar, Statistics
from ioc.recorder.statistics import RunStatistics
from ioc.rundb import Measurement
from ioc.rundb.times import to_microseconds


class Figure:
    """Values at begin and end, and the statistics between."""

    def __init__(self, observable_id: int, name: str, began_at: float, *, manual: bool) -> None:
        self.observable_id = observable_id
        self.name = name
        self.manual = manual
        self.begin_value: Scalar | None = None
        self.end_value: Scalar | None = None
        """The last value; None while the source is gone."""
        self._statistics = RunStatistics(began_at)
        self._last_sample: tuple[int, int] | None = None

    def begin(self, reading: Reading | None) -> None:
        """This is what there is at the begin of the run."""
        self.begin_value = recorded_value(reading)

    def add(self, sample: Reading, at: float) -> None:
        """Count a sample, or the news that the source went away, from `at` on."""
        self._statistics.add(sample, at)
        self.end_value = recorded_value(sample)
        sampled_us, last = to_microseconds(sample.sampled_at), self._last_sample
        if last is None or sampled_us > last[0]:
            self._last_sample = sampled_us, 0
        elif sampled_us == last[0]:
            self._last_sample = sampled_us, last[1] + 1

    def shift(self, seconds: float) -> None:
        """Count on from a clock that was set by so much."""
        self._statistics.shift(seconds)

    def statistics(self, now: float) -> Statistics:
        """As if the run ended now; a manual observable is never disconnected."""
        statistics = self._statistics.until(now)
        return replace(statistics, disconnected_seconds=0.0) if self.manual else statistics

    def measurement(self, now: float) -> Measurement:
        """The row of the run, as if it ended now."""
        return Measurement(
            self.name,
            self.begin_value,
            self.end_value,
            self.statistics(now),
            self.observable_id,
            self._statistics.mean_seconds(now),
            max(now, self._statistics.counted_until),
            self._last_sample,
        )

    def go_on_with(self, measured: Measurement, measured_at: float, last: Reading | None) -> None:
        """Count on from what an earlier process has stored; `last` is the last sample that counts in it."""
        self.end_value = measured.end_value
        self._statistics = RunStatistics.gone_on_with(
            measured.statistics, measured.mean_seconds or 0.0, measured_at, last
        )
        self._last_sample = measured.last_sample

    def advance(self, time: float) -> None:
        """Let the last value last until then."""
        self._statistics.advance(time)

    def prepend(self, earlier: Figure) -> None:
        """Add what there was until this began."""
        self._statistics.prepend(earlier._statistics)
        self.begin_value = earlier.begin_value
        if earlier._last_sample is not None:
            self._last_sample = max(earlier._last_sample, self._last_sample or earlier._last_sample)


def recorded_value(reading: Reading | None) -> Scalar | None:
    """What the database gets for a reading: the text of an enum, None without one."""
    if reading is None:
        return None
    return reading.label or reading.value
