"""Time stamps of PVAccess sources that Channel Access cannot carry."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import time

import pytest
from p4p.nt import NTScalar

from ioc.model import ValueType
from ioc.observables.monitor import Source
from ioc.observables.pva_monitor import reading_of

LAST = 631_152_000 + 2**32


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (0, False),
        (631_152_000, False),
        (631_152_001, True),
        (1_700_000_000, True),
        (LAST - 1, True),
        (LAST, False),
        (1_700_000_000_000, False),
        (-5, False),
    ],
)
def test_a_time_stamp_outside_the_epics_range_is_that_of_arrival(seconds: int, *, kept: bool) -> None:
    """A source that was never processed, or counts milliseconds, gives a reading with the present time."""
    value = NTScalar("d").wrap(1.0)
    value["timeStamp.secondsPastEpoch"] = seconds
    reading = reading_of(Source("x", "pva://X", ValueType.Float, 0.0, None), value, value, ())
    assert reading.sampled_at == (seconds if kept else pytest.approx(time.time(), abs=60))
