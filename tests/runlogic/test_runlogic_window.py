"""Limits: what is inside, what is outside, and why."""

from __future__ import annotations

import math

import pytest

from ioc.model import Reading, Scalar, Severity, Window

BOTH, LOW, HIGH = Window(350, 420), Window(low=29), Window(high=5)
VALVE = Window(allowed=("Open", 2))


def reading(value: Scalar | None, label: str = "", severity: Severity = Severity.NO_ALARM) -> Reading:
    return Reading("pressure", value, severity, "NO_ALARM", 1000.0, label)


@pytest.mark.parametrize(
    ("window", "value", "label"),
    [
        (BOTH, 350, ""),
        (BOTH, 420.0, ""),
        (LOW, 1e9, ""),
        (HIGH, -1e9, ""),
        (VALVE, 1, "Open"),
        (VALVE, 2, "Moving"),
        (VALVE, "Open", ""),
        (Window(allowed=(0, 1)), 1.0, ""),
    ],
)
def test_a_value_within_the_limits_is_inside(window: Window, value: Scalar, label: str) -> None:
    """Limits themselves are inside; an enum is allowed by its label or its number."""
    assert window.why_outside(reading(value, label)) == ""


@pytest.mark.parametrize(
    ("window", "value", "label", "why"),
    [
        (BOTH, 349.9, "", "is 349.9 Torr, but must be 350 to 420 Torr"),
        (BOTH, 420.001, "", "is 420.001 Torr, but must be 350 to 420 Torr"),
        (BOTH, 420.0000001, "", "is 420.0000001 Torr, but must be 350 to 420 Torr"),
        (BOTH, 420.00000000001, "", "is 420.00000000001 Torr, but must be 350 to 420 Torr"),
        (BOTH, 420.1234567, "", "is 420.123 Torr, but must be 350 to 420 Torr"),
        (Window(high=101325.2), 101325.4, "", "is 101325.4 Torr, but must be at most 101325.2 Torr"),
        (Window(allowed=(2,)), 2.0000001, "", "is 2.0000001 Torr, but must be 2"),
        (Window(1e-3, 1234567.5), 1e7, "", "is 1e+07 Torr, but must be 0.001 to 1234567.5 Torr"),
        (BOTH, math.nan, "", "is nan Torr, but must be 350 to 420 Torr"),
        (LOW, math.inf, "", "is inf Torr, but must be at least 29 Torr"),
        (HIGH, 6, "", "is 6 Torr, but must be at most 5 Torr"),
        (BOTH, "400", "", "is '400', but must be 350 to 420 Torr"),
        (BOTH, None, "", "is disconnected"),
        (VALVE, 0, "Closed", "is Closed, but must be Open or 2"),
        (VALVE, "open", "", "is 'open', but must be Open or 2"),
        (VALVE, 1, "", "is 1 Torr, but must be Open or 2"),
    ],
)
def test_a_value_outside_the_limits_says_why(window: Window, value: Scalar | None, label: str, why: str) -> None:
    """What is not inside has a reason with the value and what it must be."""
    assert window.why_outside(reading(value, label), "Torr") == why


def test_a_value_that_cannot_be_trusted_is_outside() -> None:
    """A value that its source declares INVALID, and one that never came, are outside."""
    assert BOTH.why_outside(reading(400, severity=Severity.INVALID)) == "is INVALID (NO_ALARM)"
    assert BOTH.why_outside(reading(400, severity=Severity.MAJOR)) == ""
    assert BOTH.why_outside(None) == "has no value yet"


def test_a_limit_can_be_moved() -> None:
    """Moving one limit leaves the other."""
    assert BOTH.moved(low=300) == Window(300, 420)
    assert BOTH.moved(high=430) == Window(350, 430)
    assert LOW.moved(high=31).text("kV") == "29 to 31 kV"
