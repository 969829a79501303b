"""A clock that goes on only when a test says so."""

from __future__ import annotations


class StoppedClock:
    """Call it for the time, as `time.monotonic`; it counts how often it was asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now
