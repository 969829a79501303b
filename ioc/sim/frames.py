"""The frames that simulated boards send: MFM frames with GET's headers, around made-up samples."""

from __future__ import annotations

import re
from collections.abc import Iterator

META_TYPE = 0x08
"""Big-endian, sizes in blocks of 2**8 bytes."""
_BLOCK = 1 << META_TYPE
_COBO_TYPE, _COBO_REVISION = 1, 5
_MUTANT_TYPE, _MUTANT_REVISION = 8, 0
_ITEM_SIZE = 4
_ITEMS = _BLOCK // _ITEM_SIZE
_CHANNELS = 68
_AGETS = 4


class Board:
    """Makes the frames of one source: one a CoBo's AsAd and event, or one a MuTAnT's event."""

    def __init__(self, source: str, asads: int) -> None:
        number = re.search(r"\[(\d+)\]", source)
        self._cobo = int(number[1]) % 256 if number else 0
        self._asads = 0 if source.lower().startswith("mutant") else asads

    @property
    def event_size(self) -> int:
        """Bytes of one event."""
        return 2 * _BLOCK * self._asads if self._asads else _BLOCK

    def event(self, number: int, ticks: int) -> Iterator[bytes]:
        """The frames of one event; `ticks` is its time stamp, in 10 ns."""
        stamp = ticks.to_bytes(6, "big")
        if not self._asads:
            yield _mutant_frame(number, stamp)
        for asad in range(self._asads):
            yield _cobo_frame(self._cobo, asad, number, stamp)


def _start(blocks: int, frame_type: int, revision: int) -> bytes:
    """The 8 bytes that every MFM frame begins with: type of the header, size, data source, frame type, revision."""
    return bytes([META_TYPE]) + blocks.to_bytes(3, "big") + b"\0" + frame_type.to_bytes(2, "big") + bytes([revision])


def _cobo_frame(cobo: int, asad: int, number: int, stamp: bytes) -> bytes:
    """A partial readout: one sample of each of some channels."""
    head = (
        _start(2, _COBO_TYPE, _COBO_REVISION)
        + b"\0\1"  # blocks of the header
        + _ITEM_SIZE.to_bytes(2, "big")
        + _ITEMS.to_bytes(4, "big")
        + stamp
        + number.to_bytes(4, "big")
        + bytes([cobo, asad])
    )
    return head.ljust(_BLOCK, b"\0") + _SAMPLES


def _item(item: int) -> bytes:
    """Chip in 2 bits, channel in 7, time bucket in 9, two bits nothing, sample in 12."""
    chip, channel, bucket = item % _AGETS, item % _CHANNELS, 8 * item
    return (chip << 30 | channel << 23 | bucket << 14 | (200 + item)).to_bytes(_ITEM_SIZE, "big")


_SAMPLES = b"".join(_item(item) for item in range(_ITEMS))


def _mutant_frame(number: int, stamp: bytes) -> bytes:
    """Only what a data router reads of it is as the MuTAnT has it: the type and the event number; the rest is empty."""
    return (_start(1, _MUTANT_TYPE, _MUTANT_REVISION) + stamp + number.to_bytes(4, "big")).ljust(_BLOCK, b"\0")
