"""Dead band and rate limit of one observable."""

from __future__ import annotations

import math

from ioc.model import Reading


class Throttle:
    """Decides which readings are passed on; pure, the caller gives the time.

    A change of severity, status or connection is always passed on. With a rate limit, the newest reading is held and
    passed on when its time has come, so the last value is never lost.
    """

    def __init__(self, deadband: float, max_rate: float | None) -> None:
        """`deadband` is an absolute change; `max_rate` is per second, None for no limit."""
        self.limit(deadband, max_rate)
        self._last: Reading | None = None
        self._next_at = -math.inf
        self._held: Reading | None = None

    def limit(self, deadband: float, max_rate: float | None) -> None:
        """Use these from the next reading that is passed on."""
        self._deadband = deadband
        self._interval = 1.0 / max_rate if max_rate else 0.0

    def offer(self, reading: Reading, now: float) -> Reading | None:
        """Return the reading if it is passed on at `now` (seconds of any steady clock), else None."""
        if not self._news(reading):
            self._held = None  # it returned to the last value passed on
            return None
        if now < self._next_at and not self._alarm_changed(reading):
            self._held = reading
            return None
        return self._pass(reading, now)

    def due_at(self) -> float | None:
        """When a held reading is due; None if none is held."""
        return None if self._held is None else self._next_at

    def release(self, now: float) -> Reading | None:
        """Return the held reading, if there is one."""
        return None if self._held is None else self._pass(self._held, now)

    def _pass(self, reading: Reading, now: float) -> Reading:
        self._last = reading
        self._held = None
        self._next_at = now + self._interval
        return reading

    def _alarm_changed(self, reading: Reading) -> bool:
        last = self._last
        return last is None or (last.severity, last.status) != (reading.severity, reading.status)

    def _news(self, reading: Reading) -> bool:
        if self._last is None or self._deadband == 0 or self._alarm_changed(reading):
            return True
        before, now = self._last.value, reading.value
        if isinstance(before, (int, float)) and isinstance(now, (int, float)):
            if math.isfinite(before) and math.isfinite(now):
                return abs(now - before) >= self._deadband
            return repr(before) != repr(now)
        return before != now
