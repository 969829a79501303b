"""What monitors of both protocols have in common."""

from __future__ import annotations

import pytest

from ioc.model import Reading, Severity, ValueType
from ioc.observables.monitor import Monitor, Source


class Unsubscribed(Monitor):
    """A monitor without a client."""

    def check(self) -> None:
        pass

    async def _unsubscribe(self) -> None:
        pass


async def test_a_pv_that_cannot_be_followed_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A failure that repeats is logged once, and again when the PV has had a reading in between."""
    monitor = Unsubscribed(Source("x", "T:X", ValueType.Float, 0.0, None), lambda _: None, lambda *_: None)
    monitor.complain("no read access")
    monitor.complain("no read access")
    assert caplog.messages == ["observable x: T:X cannot be followed: no read access"]
    monitor.take(Reading("x", 1.0, Severity.NO_ALARM, "NO_ALARM", 1e9))
    monitor.complain("no read access")
    assert len(caplog.messages) == 2
