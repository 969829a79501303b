"""Curves as SVG: the sparkline of the last hour, a run's observable, an observable over the runs.

Pictures are documents of their own, with their own colours for light and dark. Their page describes them in words.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

SPARK_WIDTH, SPARK_HEIGHT = 360, 40
WIDTHS = (360, 800)
"""Widths of pictures: for a phone, and for others."""
_HEIGHT = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 12, 26
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}
.grid{stroke:#ccc;stroke-width:1}
.line{fill:none;stroke:#0b5cad;stroke-width:1.5}
.range{stroke:#0b5cad;stroke-opacity:.45;stroke-width:2}
.first{fill:none;stroke:#a04000;stroke-width:1.5}
.mean{fill:#0b5cad}
.gap{fill:#888;fill-opacity:.3}
.bad{fill:#c00;fill-opacity:.18;stroke:#c00;stroke-dasharray:3 2}
@media (prefers-color-scheme:dark){
text{fill:#ccc}.grid{stroke:#444}.line,.range{stroke:#6ab7ff}.mean{fill:#6ab7ff}.first{stroke:#ffb066}
.bad{fill:#f66;stroke:#f66}}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""For the Content-Security-Policy of a picture."""
_STEPS = (60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800)


def sparkline(values: Sequence[float]) -> str:
    """The path of a curve in a box of `SPARK_WIDTH` by `SPARK_HEIGHT`; empty where nothing is known."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = (SPARK_HEIGHT - 4) / (high - low) if high > low else 0.0
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    parts: list[str] = []
    drawing = False
    for place, value in enumerate(values):
        if not math.isfinite(value):
            drawing = False
            continue
        y = round(SPARK_HEIGHT - 2 - (value - low) * scale) if scale else SPARK_HEIGHT // 2
        parts.append(f"{'L' if drawing else 'M'}{round(place * step)} {y}")
        if not drawing:
            parts.append("h1")  # a value alone is a dot
        drawing = True
    return "".join(parts)


@dataclass(frozen=True)
class Piece:
    """The values in one piece of a run's time."""

    at: float
    """POSIX seconds of the first."""
    low: float
    high: float


Span = tuple[float, float]
"""Begin and end, POSIX seconds."""


@dataclass(frozen=True)
class RunCurve:
    """An observable during a run."""

    pieces: Sequence[Piece]
    gaps: Sequence[Span]
    bad: Sequence[Span]
    began: float
    ended: float


@dataclass(frozen=True)
class Point:
    """An observable in one run."""

    run: int
    first: float | None
    mean: float | None
    low: float | None
    high: float | None


class _Frame:
    """Axes and their scales."""

    def __init__(self, width: int, across: Span, values: Iterable[float]) -> None:
        known = list(values)
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - margin, high + margin
        self.begin, self.end = across if across[1] > across[0] else (across[0] - 0.5, across[0] + 0.5)
        self.width = width

    def x(self, value: float) -> str:
        value = min(max(value, self.begin), self.end)
        return f"{_LEFT + (self.width - _LEFT - _RIGHT) * (value - self.begin) / (self.end - self.begin):.1f}"

    def y(self, value: float) -> str:
        return f"{_TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low):.1f}"

    def axes(self, marks: Iterable[tuple[float, str]]) -> Iterator[str]:
        for value in _round_numbers(self.low, self.high, 4):
            yield f'<path class="grid" d="M{_LEFT} {self.y(value)}H{self.width - _RIGHT}"/>'
            yield f'<text x="{_LEFT - 6}" y="{self.y(value)}" dy="4" text-anchor="end">{value:.6g}</text>'
        for value, label in marks:
            yield f'<path class="grid" d="M{self.x(value)} {_HEIGHT - _BOTTOM}v4"/>'
            yield f'<text x="{self.x(value)}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'

    def band(self, name: str, spans: Iterable[Span]) -> Iterator[str]:
        for begin, end in spans:
            left, right = float(self.x(begin)), float(self.x(end))
            yield (
                f'<rect class="{name}" x="{left}" y="{_TOP}" width="{max(right - left, 1):.1f}" '
                f'height="{_HEIGHT - _TOP - _BOTTOM}"/>'
            )


def run_picture(curve: RunCurve, title: str, width: int) -> str:
    """An observable during a run: grey while it was disconnected, red and dashed in bad times."""
    values = [value for piece in curve.pieces for value in (piece.low, piece.high)]
    frame = _Frame(width, (curve.began, curve.ended), values)
    path: list[str] = []
    gaps = sorted(curve.gaps)
    for piece in curve.pieces:
        while gaps and gaps[0][0] < piece.at:
            begin, end = gaps.pop(0)
            if path:
                path.append(f"H{frame.x(begin)}")
            path.append(f"M{frame.x(max(end, begin))} {frame.y(piece.low)}")
        drawing = path and not path[-1].startswith("M")
        path.append(f"H{frame.x(piece.at)}" if drawing else f"M{frame.x(piece.at)} {frame.y(piece.low)}")
        path.append(f"V{frame.y(piece.low)}")
        if piece.low != piece.high:
            path.append(f"V{frame.y(piece.high)}")
    if path:
        path.append(f"H{frame.x(min([curve.ended, *(begin for begin, _ in gaps)]))}")
    body = [
        *frame.band("bad", curve.bad),
        *frame.band("gap", curve.gaps),
        *frame.axes(_times(curve.began, curve.ended, 3 if width < 500 else 7)),
        f'<path class="line" d="{"".join(path)}"/>',
    ]
    return _document(title, width, body)


def trend_picture(points: Sequence[Point], title: str, width: int) -> str:
    """An observable over the runs: range as a bar, mean as a dot, value at the start as a ring."""
    values = [value for each in points for value in (each.first, each.mean, each.low, each.high) if value is not None]
    runs = [each.run for each in points]
    frame = _Frame(width, (min(runs, default=0) - 0.5, max(runs, default=0) + 0.5), values)
    marks = [(run, f"{run:.0f}") for run in _round_numbers(frame.begin, frame.end, 5) if float(run).is_integer()]
    body = list(frame.axes(marks))
    for each in points:
        x = frame.x(each.run)
        if each.low is not None and each.high is not None:
            body.append(f'<path class="range" d="M{x} {frame.y(each.low)}V{frame.y(each.high)}"/>')
        if each.mean is not None:
            body.append(f'<circle class="mean" cx="{x}" cy="{frame.y(each.mean)}" r="2.5"/>')
        if each.first is not None:
            body.append(f'<circle class="first" cx="{x}" cy="{frame.y(each.first)}" r="4"/>')
    return _document(title, width, body)


def _document(title: str, width: int, body: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" '
        f'role="img"><title>{escape(title)}</title><style>{_STYLE}</style>{"".join(body)}</svg>'
    )


def _round_numbers(low: float, high: float, most: int) -> Iterator[float]:
    """At most about `most` round numbers between two."""
    step = _step((high - low) / most)
    if step <= 0 or not math.isfinite(step):
        return
    first = math.ceil(low / step)
    for number in range(first, first + 3 * most):
        if number * step > high:
            return
        yield number * step


def _step(least: float) -> float:
    if not least > 0:
        return 0.0
    decade = 10.0 ** math.floor(math.log10(least))
    return next((factor * decade for factor in (1, 2, 5) if factor * decade >= least), 10 * decade)


def _times(began: float, ended: float, most: int) -> Iterator[tuple[float, str]]:
    """Round local times with their labels."""
    span = max(ended - began, 1.0)
    step = next((each for each in _STEPS if span / each <= most), span / most)
    form = "%H:%M" if span < 5 * 86400 else "%d %b"
    if span < 120:
        step, form = _step(span / most), "%H:%M:%S"
    moment = datetime.fromtimestamp(began, UTC).astimezone()
    offset = moment.utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    at = math.ceil((began + shift) / step) * step - shift
    while at <= ended:
        yield at, f"{datetime.fromtimestamp(at, UTC).astimezone():{form}}"
        at += step
