"""The samples of a run as curves with few points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ioc.rundb.queries import Row

_PIECES = 2000
"""Of the run's time: the first, last, least and greatest value of each draw the same line as all of them."""


@dataclass
class Curve:
    """What one observable did: each value lasts until the next; none of it is lost to the eye."""

    name: str
    units: str
    times: list[float] = field(default_factory=list[float])
    """POSIX seconds."""
    values: list[float] = field(default_factory=list[float])
    """NaN where there is none; for texts their place in `texts`."""
    gaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From when to when the source was disconnected."""
    texts: list[str] = field(default_factory=list[str])
    """The texts that occurred, in that order."""

    @property
    def empty(self) -> bool:
        return all(math.isnan(value) for value in self.values)


def curve(rows: Iterable[Row], began: float, ended: float) -> Curve:
    """Make the curve of one observable of its samples by time; its last value lasts until `ended`.

    `rows` must have at least one row; times in POSIX seconds.
    """
    made: Curve | None = None
    width = max(ended - began, 1e-6) / _PIECES
    piece: list[tuple[float, float]] = []
    gap_since: float | None = None
    for row in rows:
        made = made or Curve(row["name"], row["units"])
        moment, value = row["sampled_us"] / 1e6, _number(made, row)
        if gap_since is not None:
            made.gaps.append((gap_since, moment))
        gap_since = moment if row["status"] == "disconnected" else None
        if piece and (math.isnan(value) or math.isnan(piece[0][1]) or moment - piece[0][0] > width):
            _keep(made, piece)
        piece.append((moment, value))
    if made is None:
        raise ValueError("a curve needs at least one sample")
    last = piece[-1]
    _keep(made, piece)
    if gap_since is not None and ended > gap_since:
        made.gaps.append((gap_since, ended))
    elif ended > last[0]:
        made.times.append(ended)
        made.values.append(last[1])
    return made


def _number(made: Curve, row: Row) -> float:
    value = row["value"]
    if value is None:
        return math.nan
    if not isinstance(value, str):
        return float(value)
    if value not in made.texts:
        made.texts.append(value)
    return float(made.texts.index(value))


def _keep(made: Curve, piece: list[tuple[float, float]]) -> None:
    """Add what is worth drawing of the values that came in one piece of time, and forget them."""
    for moment, value in sorted(set(_extremes(piece))):
        made.times.append(moment)
        made.values.append(value)
    piece.clear()


def _extremes(piece: Sequence[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    return piece[0], min(piece, key=_value), max(piece, key=_value), piece[-1]


def _value(point: tuple[float, float]) -> float:
    return point[1]
