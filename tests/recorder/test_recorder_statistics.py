"""Statistics of a run against what the recorded samples say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.model import Reading, Scalar, Severity, Statistics
from ioc.recorder.statistics import RunStatistics

BEGAN = 1000.0


def sample(value: Scalar | None, at: float, severity: Severity = Severity.NO_ALARM, label: str = "") -> Reading:
    if value is None:
        return Reading("x", None, Severity.INVALID, "disconnected", at)
    return Reading("x", value, severity, "NO_ALARM", at, label)


def begun(began_at: float = BEGAN) -> RunStatistics:
    return RunStatistics(began_at, observable_id=1, name="x", manual=False)


def over(samples: list[Reading], until: float) -> Statistics:
    statistics = begun()
    for each in samples:
        statistics.add(each, each.sampled_at)
    return statistics.until(until)


def test_each_value_counts_as_long_as_it_lasted() -> None:
    """10 for one second and 20 for three have the mean 17.5; the time before the first sample is disconnected."""
    result = over([sample(10.0, BEGAN + 2), sample(20, BEGAN + 3)], BEGAN + 6)
    assert result == Statistics(10.0, 20.0, 17.5, 2, Severity.NO_ALARM, 2.0)


def test_a_gap_counts_as_disconnected_and_not_as_value() -> None:
    """A gap adds its seconds, makes the worst severity INVALID and leaves the mean alone."""
    result = over([sample(10.0, BEGAN), sample(None, BEGAN + 1), sample(30.0, BEGAN + 5)], BEGAN + 6)
    assert result == Statistics(10.0, 30.0, 20.0, 2, Severity.INVALID, 4.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "P10"])
def test_what_is_no_finite_number_is_counted_only(value: Scalar) -> None:
    """NaN, infinities and texts are samples, but not in minimum, maximum and mean, nor is the time they lasted."""
    assert over([sample(value, BEGAN)], BEGAN + 1) == Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
    mixed = over([sample(10.0, BEGAN), sample(value, BEGAN + 1), sample(20.0, BEGAN + 9)], BEGAN + 10)
    assert mixed == Statistics(10.0, 20.0, 15.0, 3, Severity.NO_ALARM, 0.0)


def test_an_enum_has_no_mean() -> None:
    """The states of an enum are counted, not averaged."""
    assert over([sample(1, BEGAN, label="Open")], BEGAN + 1).mean is None


def test_samples_at_one_moment_have_the_last_value_as_mean() -> None:
    """When nothing lasted there is a mean all the same."""
    assert over([sample(1.0, BEGAN), sample(2.0, BEGAN)], BEGAN).mean == 2.0


def test_a_clock_set_back_takes_nothing_away() -> None:
    """Samples with times before earlier ones never make a duration negative."""
    result = over([sample(10.0, BEGAN + 5), sample(None, BEGAN - 100), sample(20.0, BEGAN + 1)], BEGAN - 500)
    assert result == Statistics(10.0, 20.0, 20.0, 2, Severity.INVALID, 5.0)


@given(st.floats(-1e6, 1e6), st.integers(0, 3))
def test_a_clock_that_is_set_changes_nothing(seconds: float, when: int) -> None:
    """When the clock is set by any amount between samples, the statistics are those of the time that passed."""
    statistics = begun()
    offset = 0.0
    for number, (value, at) in enumerate(((1.0, 0), (5.0, 2), (None, 3), (2.0, 7))):
        if number == when:
            statistics.shift(seconds)
            offset = seconds
        statistics.add(sample(value, BEGAN + at + offset), BEGAN + at + offset)
    result = statistics.until(BEGAN + 8 + offset)
    assert result.mean == pytest.approx((2 * 1.0 + 1 * 5.0 + 1 * 2.0) / 4)
    assert result.disconnected_seconds == pytest.approx(4.0)


def test_looking_does_not_change_what_follows() -> None:
    """Statistics read between two samples do not count time that a later sample with an older stamp takes back."""
    statistics = begun()
    statistics.add(sample(10.0, BEGAN), BEGAN)
    assert statistics.until(BEGAN + 100).mean == 10.0
    statistics.add(sample(20.0, BEGAN + 1), BEGAN + 1)
    assert statistics.until(BEGAN + 2).mean == 15.0


finite = st.floats(min_value=-1e300, max_value=1e300)
values = st.one_of(st.none(), finite, st.integers(-(2**31), 2**31 - 1), st.just(math.nan), st.just(math.inf))
severities = st.sampled_from(list(Severity))


@given(
    st.lists(st.tuples(values, st.floats(min_value=0, max_value=1e5), severities), max_size=30),
    st.integers(0, 30),
)
def test_statistics_of_two_parts_are_those_of_the_whole(
    drawn: list[tuple[Scalar | None, float, Severity]], at: int
) -> None:
    """Collected in two parts, of which the first is added later, the figures are those of one collection."""
    samples, moment = _in_sequence(drawn)
    at = min(at, len(samples))
    split = samples[at].sampled_at if at < len(samples) else moment
    first, second = begun(), begun(split)
    for each in samples[:at]:
        first.add(each, each.sampled_at)
    for each in samples[at:]:
        second.add(each, each.sampled_at)
    first.advance(split)
    second.prepend(first)
    _alike(second.until(moment), over(samples, moment), moment)


@given(
    st.lists(st.tuples(values, st.floats(min_value=0, max_value=1e5), severities), max_size=30),
    st.integers(0, 30),
    st.floats(min_value=0, max_value=1),
)
def test_statistics_that_were_stored_continue(
    drawn: list[tuple[Scalar | None, float, Severity]], at: int, part: float
) -> None:
    """Stored at any moment between two samples and continued, the figures are those of one collection."""
    samples, moment = _in_sequence(drawn)
    at = min(at, len(samples))
    before = samples[at - 1].sampled_at if at else BEGAN
    stored_at = before + part * ((samples[at].sampled_at if at < len(samples) else moment) - before)
    first = begun()
    for each in samples[:at]:
        first.add(each, each.sampled_at)
    second = RunStatistics.continued(first.measurement(stored_at), samples[at - 1] if at else None, manual=False)
    for each in samples[at:]:
        second.add(each, each.sampled_at)
    _alike(second.until(moment), over(samples, moment), moment)


def _in_sequence(drawn: list[tuple[Scalar | None, float, Severity]]) -> tuple[list[Reading], float]:
    """Samples with these pauses between them, and when the last was taken."""
    samples: list[Reading] = []
    moment = BEGAN
    for value, pause, severity in drawn:
        moment += pause
        samples.append(sample(value, moment, severity))
    return samples, moment


def _alike(merged: Statistics, whole: Statistics, moment: float) -> None:
    assert replace(merged, mean=None, disconnected_seconds=0) == replace(whole, mean=None, disconnected_seconds=0)
    assert merged.disconnected_seconds == pytest.approx(whole.disconnected_seconds, abs=1e-6)
    assert (merged.mean is None) == (whole.mean is None)
    if whole.mean is not None and moment > BEGAN:
        largest = max(abs(whole.minimum or 0), abs(whole.maximum or 0))
        assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9 * largest)


@given(
    st.lists(st.tuples(values, st.floats(min_value=0, max_value=1e5), severities), max_size=40),
    st.floats(min_value=0, max_value=1e5),
)
def test_statistics_equal_those_of_the_recorded_samples(
    drawn: list[tuple[Scalar | None, float, Severity]], rest: float
) -> None:
    """For any samples the running figures equal those computed from the whole record at the end."""
    moment = BEGAN
    samples: list[Reading] = []
    for value, pause, severity in drawn:
        moment += pause
        samples.append(sample(value, moment, severity))
    end = moment + rest
    result = over(samples, end)

    ends = [*(each.sampled_at for each in samples), end][1:]
    lasted = [until - each.sampled_at for each, until in zip(samples, ends, strict=True)]
    numbers = [
        (float(each.value), seconds)
        for each, seconds in zip(samples, lasted, strict=True)
        if each.value is not None and math.isfinite(each.value)  # type: ignore[arg-type]
    ]
    assert result.samples == sum(each.connected for each in samples)
    assert result.worst_severity == max((each.severity for each in samples), default=Severity.NO_ALARM)
    gaps = [seconds for each, seconds in zip(samples, lasted, strict=True) if not each.connected]
    before = (samples[0].sampled_at if samples else end) - BEGAN
    assert result.disconnected_seconds == pytest.approx(before + math.fsum(gaps), abs=1e-6)
    if not numbers:
        assert (result.minimum, result.maximum, result.mean) == (None, None, None)
        return
    assert result.minimum == min(value for value, _ in numbers)
    assert result.maximum == max(value for value, _ in numbers)
    assert result.mean is not None
    total = math.fsum(seconds for _, seconds in numbers)
    if total:
        mean = math.fsum(value * (seconds / total) for value, seconds in numbers)
        largest = max(abs(value) for value, _ in numbers)
        assert result.mean == pytest.approx(mean, rel=1e-9, abs=1e-9 * largest)
