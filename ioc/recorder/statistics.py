"""The statistics of one observable in one run."""

from __future__ import annotations

import math

from ioc.model import Reading, Scalar, Severity, Statistics
from ioc.rundb import Measurement
from ioc.rundb.times import to_microseconds

NO_STATISTICS = Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)


class RunStatistics:
    """Values at begin and end, and the statistics of the samples between, added in the order of their arrival.

    A value lasts until the next sample. A sample that would count from before an earlier one (a clock was set back)
    counts from the earlier one on. Until the first sample the source counts as disconnected, unless it is manual.
    Texts, enum states and values that are not finite count as samples, but not for minimum, maximum and mean.
    """

    def __init__(self, began_at: float, *, observable_id: int, name: str, manual: bool) -> None:
        self.observable_id = observable_id
        self.name = name
        self.manual = manual
        self.begin_value: Scalar | None = None
        self._end_value: Scalar | None = None
        self._last_sample: tuple[int, int] | None = None
        """The latest time stamp, and the number of the last sample among those that have it."""
        self._clock = began_at
        """Until when this counts, POSIX seconds."""
        self._connected = False
        self._number: float | None = None
        """The current value; None if it is not a finite number."""
        self._last: float | None = None
        """The last finite number."""
        self._minimum: float | None = None
        self._maximum: float | None = None
        self._mean = 0.0
        self._weight = 0.0
        """Total duration of the values in the mean, seconds."""
        self._samples = 0
        self._worst = Severity.NO_ALARM
        self._disconnected = 0.0

    @classmethod
    def continued(cls, stored: Measurement, last: Reading | None, *, manual: bool) -> RunStatistics:
        """Continue stored statistics; `last` is the last sample included in them, None if there is none.

        `stored` must have the id of its observable and the time until which it counts.
        """
        assert stored.observable_id is not None
        assert stored.measured_at is not None
        before = stored.statistics
        statistics = cls(stored.measured_at, observable_id=stored.observable_id, name=stored.observable, manual=manual)
        statistics.begin_value, statistics._end_value = stored.begin_value, stored.end_value
        statistics._last_sample = stored.last_sample
        statistics._minimum, statistics._maximum = before.minimum, before.maximum
        statistics._mean, statistics._weight = before.mean or 0.0, stored.mean_seconds or 0.0
        statistics._samples, statistics._worst = before.samples, before.worst_severity
        statistics._disconnected = before.disconnected_seconds
        statistics._last = before.mean
        if last is not None:
            statistics._connected = last.connected
            statistics._number = _finite(last)
            if statistics._number is not None:
                statistics._last = statistics._number
        return statistics

    def add(self, sample: Reading, at: float) -> None:
        """Add the next sample or gap; it counts from `at` on."""
        self.advance(at)
        self._end_value = recorded_value(sample)
        self._count(to_microseconds(sample.sampled_at))
        self._connected = sample.connected
        self._worst = max(self._worst, sample.severity)
        self._number = number = _finite(sample)
        if not sample.connected:
            return
        self._samples += 1
        if number is not None:
            self._last = number
            if self._minimum is None or number < self._minimum:
                self._minimum = number
            if self._maximum is None or number > self._maximum:
                self._maximum = number

    def until(self, time: float) -> Statistics:
        """The statistics if the run ended at `time`, or at the last sample if that is later."""
        return self._statistics(*self._after(max(0.0, time - self._clock)))

    def measurement(self, now: float) -> Measurement:
        """The row to store, as if the run ended now."""
        mean_seconds = self._after(max(0.0, now - self._clock))[1]
        measured_at = max(now, self._clock)
        return Measurement(
            self.name,
            self.begin_value,
            self._end_value,
            self.until(now),
            self.observable_id,
            mean_seconds,
            measured_at,
            self._last_sample,
        )

    def prepend(self, earlier: RunStatistics) -> None:
        """Add the statistics collected before these began."""
        weight = earlier._weight + self._weight
        if weight:
            self._mean = earlier._mean * (earlier._weight / weight) + self._mean * (self._weight / weight)
            self._weight = weight
        self.begin_value = earlier.begin_value
        self._minimum = min(_known(earlier._minimum, self._minimum), default=None)
        self._maximum = max(_known(earlier._maximum, self._maximum), default=None)
        self._last = earlier._last if self._last is None else self._last
        self._last_sample = max(filter(None, (earlier._last_sample, self._last_sample)), default=None)
        self._samples += earlier._samples
        self._worst = max(self._worst, earlier._worst)
        self._disconnected += earlier._disconnected

    def shift(self, seconds: float) -> None:
        """The clock was set: all later times are shifted by this step."""
        self._clock += seconds

    def advance(self, time: float) -> None:
        """Let the last value last until `time`, if that is later than all earlier times."""
        lasted = time - self._clock
        if lasted > 0:
            self._clock = time
            self._mean, self._weight, self._disconnected = self._after(lasted)

    def _count(self, sampled_us: int) -> None:
        last = self._last_sample
        if last is None or sampled_us > last[0]:
            self._last_sample = sampled_us, 0
        elif sampled_us == last[0]:
            self._last_sample = sampled_us, last[1] + 1

    def _after(self, lasted: float) -> tuple[float, float, float]:
        """Mean, its weight and the disconnected seconds after the last value has lasted that much longer."""
        if not self._connected:
            return self._mean, self._weight, self._disconnected + lasted
        if self._number is None or not lasted:
            return self._mean, self._weight, self._disconnected
        weight = self._weight + lasted
        fraction = lasted / weight
        # The difference of the two may overflow.
        return self._mean * (1 - fraction) + self._number * fraction, weight, self._disconnected

    def _statistics(self, mean: float, weight: float, disconnected: float) -> Statistics:
        finite: float | None = None
        if self._minimum is not None and self._maximum is not None:
            # Without weight, all samples have the same time.
            finite = min(max(mean, self._minimum), self._maximum) if weight else self._last
        lost = 0.0 if self.manual else disconnected
        return Statistics(self._minimum, self._maximum, finite, self._samples, self._worst, lost)


def recorded_value(reading: Reading | None) -> Scalar | None:
    """The database value of a reading: the text of an enum, None without a value."""
    if reading is None:
        return None
    return reading.label or reading.value


def _finite(sample: Reading) -> float | None:
    """The value as a number; None for a text, an enum state or a number that is not finite."""
    if isinstance(sample.value, (int, float)) and not sample.label and math.isfinite(sample.value):
        return float(sample.value)
    return None


def _known(*numbers: float | None) -> list[float]:
    return [number for number in numbers if number is not None]
