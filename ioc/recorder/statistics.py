"""The statistics of one observable in one run."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from ioc.model import Reading, Scalar, Severity, Statistics
from ioc.rundb import Measurement
from ioc.rundb.times import to_microseconds

NO_STATISTICS = Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)


@dataclass(slots=True)
class RunStatistics:
    """Values at begin and end, and the statistics of the samples between, added in the order of their arrival.

    A value lasts until the next sample. A sample that would count from before an earlier one (a clock was set back)
    counts from the earlier one on. Until the first sample the source counts as disconnected, unless it is manual.
    Texts, enum states and values that are not finite count as samples, but not for minimum, maximum and mean.
    """

    counted_until: float
    """POSIX seconds; at first, when they began."""
    _: KW_ONLY
    observable_id: int
    name: str
    manual: bool
    begin_value: Scalar | None = None
    end_value: Scalar | None = None
    last_sample: tuple[int, int] | None = None
    """The latest time stamp, and the number of the last sample among those that have it."""
    connected: bool = False
    number: float | None = None
    """The current value; None if it is not a finite number."""
    last_number: float | None = None
    """The last finite number."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float = 0.0
    mean_seconds: float = 0.0
    """Total duration of the values in the mean."""
    samples: int = 0
    worst_severity: Severity = Severity.NO_ALARM
    disconnected_seconds: float = 0.0

    @classmethod
    def continued(cls, stored: Measurement, last: Reading | None, *, manual: bool) -> RunStatistics:
        """Continue stored statistics; `last` is the last sample included in them, None if there is none.

        `stored` must have the id of its observable and the time until which it counts.
        """
        assert stored.observable_id is not None
        assert stored.measured_at is not None
        number = None if last is None else _finite(last)
        statistics = cls(
            stored.measured_at,
            observable_id=stored.observable_id,
            name=stored.observable,
            manual=manual,
            begin_value=stored.begin_value,
            end_value=stored.end_value,
            last_sample=stored.last_sample,
            connected=last is not None and last.connected,
            number=number,
            last_number=stored.statistics.mean if number is None else number,
            mean_seconds=stored.mean_seconds or 0.0,
            **vars(stored.statistics),
        )
        statistics.mean = stored.statistics.mean or 0.0
        return statistics

    def add(self, sample: Reading, at: float) -> None:
        """Add the next sample or gap; it counts from `at` on."""
        self.advance(at)
        self.end_value = recorded_value(sample)
        sampled_us, last = to_microseconds(sample.sampled_at), self.last_sample
        if last is None or sampled_us > last[0]:
            self.last_sample = sampled_us, 0
        elif sampled_us == last[0]:
            self.last_sample = sampled_us, last[1] + 1
        self.connected = sample.connected
        self.worst_severity = max(self.worst_severity, sample.severity)
        self.number = number = _finite(sample)
        if not sample.connected:
            return
        self.samples += 1
        if number is not None:
            self.last_number = number
            if self.minimum is None or number < self.minimum:
                self.minimum = number
            if self.maximum is None or number > self.maximum:
                self.maximum = number

    def until(self, time: float) -> Statistics:
        """The statistics if the run ended at `time`, or at the last sample if that is later."""
        mean, mean_seconds, disconnected = self._after(max(0.0, time - self.counted_until))
        finite: float | None = None
        if self.minimum is not None and self.maximum is not None:
            # Without duration, all samples have the same time.
            finite = min(max(mean, self.minimum), self.maximum) if mean_seconds else self.last_number
        lost = 0.0 if self.manual else disconnected
        return Statistics(self.minimum, self.maximum, finite, self.samples, self.worst_severity, lost)

    def measurement(self, now: float) -> Measurement:
        """The row to store, as if the run ended now."""
        measured_at = max(now, self.counted_until)
        mean_seconds = self._after(measured_at - self.counted_until)[1]
        values = (self.name, self.begin_value, self.end_value, self.until(now), self.observable_id)
        return Measurement(*values, mean_seconds, measured_at, self.last_sample)

    def prepend(self, earlier: RunStatistics) -> None:
        """Add the statistics collected before these began."""
        seconds = earlier.mean_seconds + self.mean_seconds
        if seconds:
            self.mean = earlier.mean * (earlier.mean_seconds / seconds) + self.mean * (self.mean_seconds / seconds)
            self.mean_seconds = seconds
        self.begin_value = earlier.begin_value
        self.minimum = min(_known(earlier.minimum, self.minimum), default=None)
        self.maximum = max(_known(earlier.maximum, self.maximum), default=None)
        self.last_number = earlier.last_number if self.last_number is None else self.last_number
        self.last_sample = max(filter(None, (earlier.last_sample, self.last_sample)), default=None)
        self.samples += earlier.samples
        self.worst_severity = max(self.worst_severity, earlier.worst_severity)
        self.disconnected_seconds += earlier.disconnected_seconds

    def shift(self, seconds: float) -> None:
        """The clock was set: all later times are shifted by this step."""
        self.counted_until += seconds

    def advance(self, time: float) -> None:
        """Let the last value last until `time`, if that is later than all earlier times."""
        lasted = time - self.counted_until
        if lasted > 0:
            self.counted_until = time
            self.mean, self.mean_seconds, self.disconnected_seconds = self._after(lasted)

    def _after(self, lasted: float) -> tuple[float, float, float]:
        """Mean, its duration and the disconnected seconds after the last value has lasted that much longer."""
        if not self.connected:
            return self.mean, self.mean_seconds, self.disconnected_seconds + lasted
        if self.number is None or not lasted:
            return self.mean, self.mean_seconds, self.disconnected_seconds
        seconds = self.mean_seconds + lasted
        fraction = lasted / seconds
        # The difference of the two may overflow.
        return self.mean * (1 - fraction) + self.number * fraction, seconds, self.disconnected_seconds


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
