"""The frames of the simulated boards, read as the program that merges files reads them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from sim_clients import frames

from ioc.sim.frames import Board
from tests.merger import Frame

T = TypeVar("T")


@pytest.mark.parametrize(("readout", "size"), [("partial", 512), ("full", 256 * 1089)])
def test_frames_can_be_merged_and_looked_at(readout: Any, size: int) -> None:
    """The merger's reader accepts each frame; in each there are two pulses, on channels that have an input."""
    board = Board("CoBo[10]", 4, readout)
    for number in (0, 1, 8, 2**32 - 1):
        event = board.event(number, 2**48 - 1)
        assert len(event) == 4 * size
        for asad in range(4):
            data = event[asad * size : (asad + 1) * size]
            frame = Frame.read(data)
            header = frame.header
            assert (header.event, header.time, header.cobo, header.asad) == (number, 2**48 - 1, 10, asad)
            assert (header.source, header.revision) == (0, 5)
            peaks = {(chip, channel) for (chip, channel, _), sample in frame.samples.items() if sample > 450}
            assert len(peaks) == 2
            assert not {channel for _, channel in peaks} & {11, 22, 45, 56}
            for chip in range(4):
                hits = int.from_bytes(data[31 + 9 * chip : 40 + 9 * chip], "big")
                assert {channel for channel in range(72) if hits >> channel & 1} == {
                    channel for its, channel in peaks if its == chip
                }
                assert frame.multiplicity[chip] == hits.bit_count()


def test_events_of_all_asads_have_one_number() -> None:
    """Whatever events were made before, all frames of an event have its number and time, and those differ in nothing
    else from the same event made anew.
    """
    used, new = Board("CoBo[2]", 3), Board("CoBo[2]", 3)
    for number in range(20):
        used.event(number, number)
    assert used.event(5, 7) == new.event(5, 7)
    assert {frame.event for frame in frames(used.event(13))} == {13}


def test_a_board_that_is_switched_on_has_its_events() -> None:
    """The first Start makes nothing: the first event takes as few calls as the others, a fraction of the board's."""
    board, making = _calls(lambda: Board("CoBo[2]", 4))
    first, second = (_calls(partial(board.event, number))[1] for number in (0, 1))
    assert first == second < making / 10


def _calls(do: Callable[[], T]) -> tuple[T, int]:
    """The result of a function, and how many functions it called."""
    counted = 0

    def count(_frame: object, event: str, _: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        result = do()
    finally:
        sys.setprofile(None)
    return result, counted


def test_pulses_differ_between_boards_and_events() -> None:
    """No two AsAds, and no two events that follow each other, show the same pulses."""
    seen = [
        event[512 * asad + 256 : 512 * (asad + 1)]
        for cobo in range(3)
        for event in map(Board(f"CoBo[{cobo}]", 4).event, range(8))
        for asad in range(4)
    ]
    assert len(set(seen)) == len(seen)
