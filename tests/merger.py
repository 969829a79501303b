"""A reader as strict as attpc_merger (version 0.3.1, its public source), for tests.

It follows the rules of that program one by one; each function names the one whose rules it has. What that program only
warns of is an error here, and so is what it accepts by mistake (channel 68, time bucket 512).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COBOS = range(11)
ASADS = range(4)
UNIT = 256
META_TYPE = 8
HEADER_UNITS = 1
ITEM_SIZES = {1: 4, 2: 2}
"""By frame type: partial readout, full readout."""
CHANNELS, BUCKETS = 68, 512
_HEADER = struct.Struct(">B3sBHBHHI6sIBBHB")


class MergerError(Exception):
    """The program ends with this run, and with all later runs of the same worker."""


@dataclass(frozen=True)
class Header:
    """Header of a frame."""

    meta_type: int
    units: int
    source: int
    frame_type: int
    revision: int
    header_units: int
    item_size: int
    items: int
    time: int
    event: int
    cobo: int
    asad: int

    @classmethod
    def read(cls, data: bytes) -> Header:
        """graw_frame: ``GrawFrameHeader::read_from_buffer``."""
        meta, units, source, kind, revision, header, item_size, items, time, event, cobo, asad, _, _ = (
            _HEADER.unpack_from(data)
        )
        big = int.from_bytes
        return cls(
            *(meta, big(units, "big"), source, kind, revision, header, item_size, items),
            *(big(time, "big"), event, cobo, asad),
        )

    def check(self, length: int) -> None:
        """graw_frame: ``GrawFrameHeader::check_header``."""
        _expect("meta type", self.meta_type, META_TYPE)
        _expect("frame size", self.units * UNIT, length)
        _expect("frame type", self.frame_type in ITEM_SIZES, True)
        _expect("header size", self.header_units, HEADER_UNITS)
        _expect("item size", self.item_size, ITEM_SIZES[self.frame_type])
        _expect("calculated size", self.units, -(-(self.items * self.item_size + UNIT) // UNIT))


@dataclass(frozen=True)
class Frame:
    """A frame with its samples by chip, channel and time bucket."""

    header: Header
    samples: dict[tuple[int, int, int], int]
    multiplicity: tuple[int, ...]

    @classmethod
    def read(cls, data: bytes) -> Frame:
        """graw_frame: ``GrawFrame::try_from``."""
        header = Header.read(data)
        header.check(len(data))
        end = UNIT + header.items * header.item_size
        words = data[UNIT:end]
        samples = dict(_partial(words) if header.frame_type == 1 else _full(words))
        for chip, channel, bucket in samples:
            _expect("sample", chip < 4 and channel < CHANNELS and bucket < BUCKETS, True)  # ``GrawData::check_data``
        _expect("number of samples", len(samples), header.items)
        return cls(header, samples, struct.unpack_from(">4H", data, 67))


def _partial(words: bytes) -> Iterator[tuple[tuple[int, int, int], int]]:
    """graw_frame: ``extract_partial_data``."""
    for (word,) in struct.iter_unpack(">I", words):
        yield (word >> 30, word >> 23 & 0x7F, word >> 14 & 0x1FF), word & 0xFFF


def _full(words: bytes) -> Iterator[tuple[tuple[int, int, int], int]]:
    """graw_frame: ``extract_full_data``."""
    counts = [0] * 4
    for (word,) in struct.iter_unpack(">H", words):
        chip = word >> 14
        bucket, channel = divmod(counts[chip], CHANNELS)
        yield (chip, channel, bucket), word & 0xFFF
        counts[chip] += 1


class File:
    """graw_file: ``GrawFile``."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._at = 0

    def next_header(self) -> Header | None:
        """``get_next_frame_metadata``: None at the end; fewer bytes than a header are the end, too."""
        if len(self._data) - self._at < UNIT:
            return None
        return Header.read(self._data[self._at : self._at + UNIT])

    def next_frame(self) -> Frame:
        """``get_next_frame``."""
        header = self.next_header()
        assert header is not None
        end = self._at + header.units * UNIT
        if end > len(self._data):
            raise MergerError("the last frame of a file is cut off")
        frame = Frame.read(self._data[self._at : end])
        self._at = end
        return frame


class Stack:
    """asad_stack: ``AsadStack``, the files of one AsAd."""

    def __init__(self, directory: Path, cobo: int, asad: int) -> None:
        self.paths = files_of(directory, cobo, asad)
        self._left = deque(self.paths)
        self._file = File(self._left.popleft()) if self._left else None

    def next_header(self) -> Header | None:
        """``get_next_frame_metadata``: goes to the next file at the end of one."""
        while self._file is not None:
            header = self._file.next_header()
            if header is not None:
                return header
            self._file = File(self._left.popleft()) if self._left else None
        return None

    def next_frame(self) -> Frame:
        """``get_next_frame``."""
        assert self._file is not None
        return self._file.next_frame()


def files_of(directory: Path, cobo: int, asad: int) -> list[Path]:
    """asad_stack: ``get_file_stack``; a pattern counts wherever it is in the whole path, of hidden files too."""
    found: list[Path] = []
    for path in directory.iterdir():
        try:
            text = str(path).encode().decode()
        except UnicodeError:
            raise MergerError(f"it panics at the name {path!r}, which is not UTF-8") from None
        if f"CoBo{cobo}_AsAd{asad}" in text and ".graw" in text:
            found.append(path)
    return sorted(found)


def run_directory(graw_path: Path, run: int, cobo: int) -> Path:
    """config: ``get_run_directory``."""
    place = graw_path / f"run_{run:04d}" / f"mm{cobo}"
    if not place.exists():
        raise MergerError(f"{place} is missing")
    return place


def frames_of(graw_path: Path, run: int) -> Iterator[Frame]:
    """merger: ``Merger::new`` and ``get_next_frame``: the lowest event number of all AsAds comes first."""
    stacks = [Stack(run_directory(graw_path, run, cobo), cobo, asad) for cobo in COBOS for asad in ASADS]
    stacks = [stack for stack in stacks if stack.paths]
    if not stacks:
        raise MergerError("the run has no files")
    while True:
        waiting = [(header.event, stack) for stack in stacks if (header := stack.next_header()) is not None]
        if not waiting:
            return
        yield min(waiting, key=lambda each: each[0])[1].next_frame()


def merge(graw_path: Path, run: int) -> dict[int, dict[tuple[int, int], Frame]]:
    """Return the frames by event and by CoBo and AsAd; event_builder: ``EventBuilder::append_frame``."""
    events: dict[int, dict[tuple[int, int], Frame]] = {}
    last = -1
    for frame in frames_of(graw_path, run):
        header = frame.header
        if header.event < last:
            raise MergerError(f"a frame was out of order: event {header.event} after {last}")
        last = header.event
        event = events.setdefault(last, {})
        _expect("one frame per AsAd and event", (header.cobo, header.asad) in event, False)
        event[header.cobo, header.asad] = frame
    return events


def _expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise MergerError(f"incorrect {what}: {actual}, expected {expected}")
