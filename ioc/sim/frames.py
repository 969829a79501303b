"""The frames that simulated boards send: MFM frames with GET's headers, big-endian, around made-up pulses.

A CoBo sends one frame per AsAd and event (revision 5 of its format): a header of one block of 256 bytes, then the
samples. Which samples are there depends on the readout:

=======  ==========  =======================================================  =============
readout  frame type  samples                                                  item
=======  ==========  =======================================================  =============
partial  1           those around the pulses                                  chip, channel,
                                                                              bucket, sample
full     2           of every chip and channel, bucket by bucket              chip, sample
=======  ==========  =======================================================  =============

Making a frame takes far longer than sending it, so a board makes a few events when it is switched on, not in the first
Start, which would seem slow, and repeats them; only time stamp and event number are new in each.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Readout = Literal["partial", "full"]

_META_TYPE = 0x08
"""Big-endian, sizes in blocks of 2**8 bytes."""
_BLOCK = 1 << _META_TYPE
_COBO_PARTIAL, _COBO_FULL, _COBO_REVISION = 1, 2, 5
_MUTANT, _MUTANT_REVISION = 8, 0
_START = struct.Struct(">BxHBHB")
"""Meta type, size in blocks (24 bits), data source, frame type, revision: the begin of every MFM frame."""
_COBO = struct.Struct(">HHI6sIBBHB36s4HI4H")
"""Header size in blocks, item size, items, time, event, CoBo, AsAd, read offset, status, hit pattern and multiplicity
of each chip, output of the multiplicity's sliding window, last cell of each chip."""
_NUMBERS = struct.Struct(">6sI")
"""Time stamp and event number,"""
_NUMBERS_AT = 16
"""and where they are in the header of a CoBo's frame."""

_CHIPS, _CHANNELS, _BUCKETS, _CELLS = 4, 68, 512, 512
_NOISE_CHANNELS = {11, 22, 45, 56}
"""They have no input and measure the fixed pattern noise of the chip: no hit is there."""
_BASELINE, _FULL_SCALE = 350, 4095
_PULSES, _PULSE_BUCKETS = 2, 32
"""In each frame; both together fill one block of a partial readout."""
_BEFORE, _SHAPING = 5, 6.0
"""Buckets of a pulse before it rises; time constant of the shaper in buckets."""
_EVENTS = {"partial": 8, "full": 1}
"""How many different events a board makes; one of a full readout has 1.1 MB."""


@dataclass(frozen=True)
class _Pulse:
    """Signal of one channel."""

    chip: int
    channel: int
    bucket: int
    """Of the first sample."""
    samples: tuple[int, ...]


def _shape(bucket: int) -> float:
    """Response of a chip to a charge at bucket 0, in units of about its maximum."""
    x = max(0.0, bucket / _SHAPING)
    return 22.5 * math.exp(-3 * x) * x**3 * math.sin(x)


def _pulses(random: Random) -> list[_Pulse]:
    chips = random.sample(range(_CHIPS), _PULSES)
    inputs = [channel for channel in range(_CHANNELS) if channel not in _NOISE_CHANNELS]
    pulses: list[_Pulse] = []
    for chip in chips:
        height = random.uniform(300, 3000)
        levels = (_BASELINE + height * _shape(at - _BEFORE) + random.gauss(0, 3) for at in range(_PULSE_BUCKETS))
        samples = tuple(min(max(round(level), 0), _FULL_SCALE) for level in levels)
        pulses.append(_Pulse(chip, random.choice(inputs), random.randrange(30, _BUCKETS - 2 * _PULSE_BUCKETS), samples))
    return pulses


def _partial(pulses: list[_Pulse]) -> tuple[int, bytes]:
    """Number of items, and the items: 2 bits chip, 7 channel, 9 time bucket, 2 unused, 12 sample."""
    items = [
        pulse.chip << 30 | pulse.channel << 23 | (pulse.bucket + at) << 14 | sample
        for pulse in pulses
        for at, sample in enumerate(pulse.samples)
    ]
    return len(items), struct.pack(f">{len(items)}I", *items)


def _full(pulses: list[_Pulse]) -> tuple[int, bytes]:
    """Number of items, and the items: 2 bits chip, 2 unused, 12 sample; the chips of a channel follow each other."""
    bucket = struct.pack(f">{_CHIPS}H", *(chip << 14 | _BASELINE for chip in range(_CHIPS))) * _CHANNELS
    items = bytearray(bucket * _BUCKETS)
    for pulse in pulses:
        for at, sample in enumerate(pulse.samples):
            place = ((pulse.bucket + at) * _CHANNELS + pulse.channel) * _CHIPS + pulse.chip
            struct.pack_into(">H", items, 2 * place, pulse.chip << 14 | sample)
    return len(items) // 2, bytes(items)


def _cobo_frame(cobo: int, asad: int, readout: Readout, random: Random) -> bytes:
    pulses = _pulses(random)
    count, items = _partial(pulses) if readout == "partial" else _full(pulses)
    item_size = len(items) // count
    blocks = 1 + math.ceil(len(items) / _BLOCK)
    hits = [0] * _CHIPS
    for pulse in pulses:
        hits[pulse.chip] |= 1 << pulse.channel
    pattern = b"".join(each.to_bytes(9, "big") for each in hits)
    multiplicity = [each.bit_count() for each in hits]
    last_cells = [random.randrange(_CELLS)] * _CHIPS
    frame_type = _COBO_PARTIAL if readout == "partial" else _COBO_FULL
    header = _START.pack(_META_TYPE, blocks, 0, frame_type, _COBO_REVISION) + _COBO.pack(
        *(1, item_size, count, bytes(6), 0, cobo, asad, 0, 0, pattern, *multiplicity, sum(multiplicity), *last_cells)
    )
    return (header.ljust(_BLOCK, b"\0") + items).ljust(blocks * _BLOCK, b"\0")


class Board:
    """Makes the frames of one source: one per AsAd and event of a CoBo, one per event of a MuTAnT."""

    def __init__(self, source: str, asads: int, readout: Readout = "partial") -> None:
        number = re.search(r"\[(\d+)\]", source)
        self._cobo = int(number[1]) % 256 if number else 0
        self._asads = 0 if source.lower().startswith("mutant") else asads
        self._readout: Readout = readout
        self._made = [] if not self._asads else self._make()
        """The events that are repeated, always the same for a board."""

    def event(self, number: int, ticks: int = 0) -> bytes:
        """The frames of one event; `ticks` is its time stamp, in 10 ns."""
        stamp = ticks.to_bytes(6, "big")
        if not self._asads:  # only the type and the event number are in the same places as in frames of the real MuTAnT
            frame = _START.pack(_META_TYPE, 1, 0, _MUTANT, _MUTANT_REVISION) + _NUMBERS.pack(stamp, number)
            return frame.ljust(_BLOCK, b"\0")
        frames = self._made[number % len(self._made)]
        for start in range(0, len(frames), len(frames) // self._asads):
            _NUMBERS.pack_into(frames, start + _NUMBERS_AT, stamp, number)
        return bytes(frames)

    def _make(self) -> list[bytearray]:
        return [bytearray().join(self._asad_frames(event)) for event in range(_EVENTS[self._readout])]

    def _asad_frames(self, event: int) -> Iterator[bytes]:
        for asad in range(self._asads):
            random = Random(f"CoBo {self._cobo}, AsAd {asad}, event {event}")  # noqa: S311 - no secret
            yield _cobo_frame(self._cobo, asad, self._readout, random)
