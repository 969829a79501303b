"""The samples of a run as curves with few points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ioc.rundb.queries import Row

_PIECES = 2000
"""Of the run's time: the first, last, least and greatest value of each draw the same line as all of them."""
_LARGEST = 1e300
"""What is larger than this, as infinity is, cannot be drawn on an axis with others."""
_SLACK = 10.0
"""Seconds before and after a run in which its samples may be: it is recorded until all that it needs has ended."""
_TEXTUAL = {"string", "enum"}


@dataclass
class Curve:
    """What one observable did: each value lasts until the next; none of it is lost to the eye."""

    name: str
    units: str
    times: list[float] = field(default_factory=list[float])
    """POSIX seconds, rising."""
    values: list[float] = field(default_factory=list[float])
    """NaN where there is none; for texts their number in `texts`."""
    gaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From when to when the source was disconnected."""
    texts: dict[str, int] = field(default_factory=dict[str, int])
    """The texts that occurred, numbered in that order."""
    outside: int = 0
    """Samples with times outside the run, left out: the clock of their source was wrong."""

    @property
    def empty(self) -> bool:
        return all(math.isnan(value) for value in self.values)


def curve(name: str, units: str, rows: Iterable[Row], began: float, ended: float) -> Curve:
    """Make the curve of one observable of its samples by time; its last value lasts until `ended`.

    Times are in POSIX seconds.
    """
    made = Curve(name, units)
    width = max(ended - began, 1e-6) / _PIECES
    piece: list[tuple[float, float]] = []
    gap_since: float | None = None
    for row in rows:
        moment = row["sampled_us"] / 1e6
        if not began - _SLACK <= moment <= ended + _SLACK:
            made.outside += 1
            continue
        value = _number(made, row)
        if gap_since is not None:
            made.gaps.append((gap_since, moment))
        gap_since = moment if row["status"] == "disconnected" else None
        if piece and (math.isnan(value) or math.isnan(piece[0][1]) or moment - piece[0][0] > width):
            _keep(made, piece)
        piece.append((moment, value))
    if gap_since is not None:
        made.gaps.append((gap_since, max(ended, gap_since)))
    elif piece and piece[-1][0] < ended:
        piece.append((ended, piece[-1][1]))
    _keep(made, piece)
    return made


def _number(made: Curve, row: Row) -> float:
    value = row["value"]
    if value is None:
        return math.nan
    if row["value_type"] in _TEXTUAL:
        return float(made.texts.setdefault(str(value), len(made.texts)))
    if isinstance(value, str) or not abs(value) < _LARGEST:
        return math.nan
    return float(value)


def _keep(made: Curve, piece: list[tuple[float, float]]) -> None:
    """Add what is worth drawing of the values that came in one piece of time, and forget them."""
    if piece:
        for place in sorted(_extremes([value for _, value in piece])):
            made.times.append(piece[place][0])
            made.values.append(piece[place][1])
    piece.clear()


def _extremes(values: Sequence[float]) -> set[int]:
    """Where the first, the least, the greatest and the last are."""
    return {0, values.index(min(values)), values.index(max(values)), len(values) - 1}
