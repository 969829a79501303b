"""The files of the simulated data router: the rules that it was written by, for any stream of frames."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from sim_clients import frames

from ioc.sim import datarouter
from ioc.sim.frames import Board

ONE = Board("CoBo[3]", 1)
FRAMES_A_FILE = 3
_EVENTS = st.lists(st.integers(0, 5), max_size=30)


def frame(event: int) -> bytes:
    return ONE.event(event)


@given(_EVENTS, st.sets(st.integers(0, 30)))
def test_files_of_any_stream(events: list[int], moves: set[int]) -> None:
    """A new time when the number does not rise, the next file when one is full, the same name where one was moved."""
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        stamps = (f"T{number:03d}" for number in itertools.count())
        storage = datarouter.FrameStorage(FRAMES_A_FILE * 512 - 1, lambda: next(stamps))
        kept: dict[str, bytes] = {}
        expected: dict[str, list[int]] = {}
        stamp = ""
        in_file = 0
        for position, event in enumerate(events):
            if position in moves:
                for path in Path().glob("*.graw"):
                    kept[path.name] = kept.get(path.name, b"") + path.read_bytes()
                    path.unlink()
                in_file = 0
            storage.store(frame(event))
            if position == 0 or event <= events[position - 1]:
                stamp = f"T{sum(1 for name in expected if name.endswith('_0000')):03d}_0000"
                in_file = 0
            expected.setdefault(stamp, []).append(event)
            in_file += 1
            if in_file == FRAMES_A_FILE:
                stamp = f"{stamp[:-4]}{int(stamp[-4:]) + 1:04d}"
                expected[stamp] = []
                in_file = 0
        for path in Path().glob("*.graw"):
            kept[path.name] = kept.get(path.name, b"") + path.read_bytes()
    assert {name: [found.event for found in frames(data)] for name, data in kept.items()} == {
        f"CoBo3_AsAd0_{name}.graw": numbers for name, numbers in expected.items()
    }


@settings(deadline=None)  # many small chunks on a busy machine
@given(_EVENTS, st.lists(st.integers(1, 700), min_size=1, max_size=20))
def test_frames_of_any_chunks(events: list[int], sizes: list[int]) -> None:
    """However TCP cuts the stream, the same frames come out."""
    stream = b"".join(frame(event) for event in events)
    pending = bytearray()
    found: list[bytes] = []
    for size in itertools.cycle(sizes):
        chunk, stream = stream[:size], stream[size:]
        pending += chunk
        found += datarouter.take_frames(pending)
        if not stream:
            break
    assert found == [frame(event) for event in events]


@given(st.lists(st.binary(max_size=600)))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """Bytes that are no frames, or frames of no known type, are dropped."""
    pending = bytearray()
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        storage = datarouter.FrameStorage(1000)
        for chunk in chunks:
            pending += chunk
            for found in datarouter.take_frames(pending):
                storage.store(found)
