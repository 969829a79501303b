"""The frames that simulated boards send: MFM frames with GET's headers, big-endian, around made-up samples."""

from __future__ import annotations

import re
import struct

_META_TYPE = 0x08
"""Big-endian, sizes in blocks of 2**8 bytes."""
_BLOCK = 1 << _META_TYPE
_COBO, _COBO_REVISION = 1, 5
_MUTANT, _MUTANT_REVISION = 8, 0
_ITEMS = _BLOCK // 4
_SAMPLES = struct.pack(
    f">{_ITEMS}I", *((n % 4) << 30 | (n % 68) << 23 | (8 * n) << 14 | (200 + n) for n in range(_ITEMS))
)
"""Bits of each item: 2 chip, 7 channel, 9 time bucket, 2 unused, 12 sample."""


def _start(blocks: int, frame_type: int, revision: int) -> bytes:
    """Begin of every MFM frame: meta type, size, data source, frame type, revision."""
    return struct.pack(">BxHBHB", _META_TYPE, blocks, 0, frame_type, revision)


class Board:
    """Makes the frames of one source: one per AsAd and event of a CoBo, one per event of a MuTAnT."""

    def __init__(self, source: str, asads: int) -> None:
        number = re.search(r"\[(\d+)\]", source)
        self._cobo = int(number[1]) % 256 if number else 0
        self._asads = 0 if source.lower().startswith("mutant") else asads

    def event(self, number: int, ticks: int = 0) -> bytes:
        """The frames of one event; `ticks` is its time stamp, in 10 ns."""
        stamp = ticks.to_bytes(6, "big")
        if not self._asads:  # only the type and the event number are in the same places as in frames of the real MuTAnT
            frame = _start(1, _MUTANT, _MUTANT_REVISION) + struct.pack(">6sI", stamp, number)
            return frame.ljust(_BLOCK, b"\0")
        frames = b""
        for asad in range(self._asads):  # partial readout: header of one block, then items of 4 bytes
            header = struct.pack(">HHI6sIBB", 1, 4, _ITEMS, stamp, number, self._cobo, asad)
            frames += (_start(2, _COBO, _COBO_REVISION) + header).ljust(_BLOCK, b"\0") + _SAMPLES
        return frames
