"""Dead band and rate limit without Channel Access."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.model import Reading, Scalar, Severity
from ioc.observables.throttle import Throttle


def reading(value: Scalar | None, severity: Severity = Severity.NO_ALARM) -> Reading:
    return Reading("x", value, severity, severity.name, 0.0)


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        (10.0, 10.05, False),
        (10.0, 9.95, False),
        (10.0, 10.1, True),
        (10, 11, True),
        (10.0, math.nan, True),
        (math.nan, math.nan, False),
        (math.inf, math.inf, False),
        (math.inf, -math.inf, True),
        ("a", "a", False),
        ("a", "b", True),
        (10.0, None, True),
        (None, 10.0, True),
    ],
)
def test_dead_band_is_an_absolute_change(before: Scalar | None, after: Scalar | None, passed: bool) -> None:
    """A change smaller than the dead band is not passed on; a connection, a text and what is not finite are news."""
    throttle = Throttle(0.09, None)
    assert throttle.offer(reading(before), 0.0) is not None
    assert (throttle.offer(reading(after), 1.0) is not None) == passed


def test_an_alarm_passes_dead_band_and_rate_limit() -> None:
    """A change of severity is told at once, even with the same value."""
    throttle = Throttle(1.0, 0.1)
    assert throttle.offer(reading(5.0), 0.0) is not None
    assert throttle.offer(reading(5.0, Severity.MAJOR), 0.01) is not None


def test_a_slow_drift_is_seen() -> None:
    """Small steps add up: each is compared with the last value that was passed on."""
    throttle = Throttle(1.0, None)
    passed = [throttle.offer(reading(step / 10), 0.0) for step in range(31)]
    assert [each.value for each in passed if each] == [0.0, 1.0, 2.0, 3.0]


def test_the_last_value_is_passed_on_when_its_time_comes() -> None:
    """With a rate limit the newest of the held readings is released later."""
    throttle = Throttle(0.0, 2.0)
    assert throttle.offer(reading(1.0), 0.0) is not None
    assert throttle.offer(reading(2.0), 0.1) is None
    assert throttle.offer(reading(3.0), 0.2) is None
    assert throttle.due_at() == 0.5
    released = throttle.release(0.5)
    assert released is not None
    assert released.value == 3.0
    assert throttle.due_at() is None
    assert throttle.release(1.0) is None


def test_a_value_that_went_back_is_not_released() -> None:
    """A held reading is forgotten when the value is again where it was, within the dead band."""
    throttle = Throttle(1.0, 2.0)
    throttle.offer(reading(1.0), 0.0)
    assert throttle.offer(reading(5.0), 0.1) is None
    assert throttle.offer(reading(1.1), 0.2) is None
    assert throttle.release(0.5) is None


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.floats(-10, 10)), max_size=60),
    st.floats(0, 3),
    st.floats(1, 20),
)
def test_neither_limit_loses_where_the_value_is(
    updates: list[tuple[float, float]], deadband: float, rate: float
) -> None:
    """However values come, the rate is kept and what was passed on last is within the dead band of the newest."""
    throttle = Throttle(deadband, rate)
    now = 0.0
    passed: list[tuple[float, Scalar | None]] = []

    def note(result: Reading | None, moment: float) -> None:
        if result is not None:
            passed.append((moment, result.value))

    for pause, value in updates:
        due = throttle.due_at()
        if due is not None and due <= now + pause:
            note(throttle.release(due), due)
        now += pause
        note(throttle.offer(reading(value), now), now)
    due = throttle.due_at()
    if due is not None:
        note(throttle.release(due), due)
    moments = [moment for moment, _ in passed]
    assert all(later - earlier >= 1 / rate - 1e-9 for earlier, later in itertools.pairwise(moments))
    if updates:
        last = passed[-1][1]
        assert isinstance(last, float)
        assert abs(last - updates[-1][1]) <= deadband
