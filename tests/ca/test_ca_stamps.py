"""Time stamps on the wire."""

from __future__ import annotations

import math
import struct

import pytest
from caproto import ChannelType

from ioc.ca import FloatPv
from ioc.ca.encoding import encode

EPOCH = 631_152_000
LAST = 2**32 - 1


@pytest.mark.parametrize(
    ("posted", "expected"),
    [
        (EPOCH + 1.5, (1, 500_000_000)),
        (EPOCH - 1.0, (0, 0)),
        (-math.inf, (0, 0)),
        (math.nan, (0, 0)),
        (EPOCH + LAST + 0.0, (LAST, 0)),
        (EPOCH + LAST + 1.5, (LAST, 0)),
        (1.7e12, (LAST, 0)),
        (math.inf, (LAST, 0)),
    ],
)
def test_every_posted_time_stamp_can_be_sent(posted: float, expected: tuple[int, int]) -> None:
    """One outside 1990 to 2126 becomes the nearest that Channel Access has."""
    pv = FloatPv("T:Float", "")
    pv.post(1.0, timestamp=posted)
    payload, _ = encode(pv, pv.snapshot, ChannelType.TIME_DOUBLE, 1)
    assert struct.unpack_from(">II", payload, 4) == expected
