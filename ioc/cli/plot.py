# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Observables over a run, as a picture.

Samples are read one by one and reduced at once to curves with few points: a run may have many millions of them.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ioc.cli.extras import required
from ioc.cli.options import PathName
from ioc.cli.output import progress, whole_file
from ioc.cli.runs import number_argument, observables_option, with_book
from ioc.errors import Refused
from ioc.model import RunQuality, Severity
from ioc.rundb.queries import Row, RunBook
from ioc.rundb.times import from_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 40
"""Maximum of observables in one picture."""
_MOST_TEXTS = 12
"""Maximum of different texts listed beside an observable's panel."""
_TEXT_LENGTH = 20
"""Maximum length of a text beside a panel."""
_MOST_EVENTS = 20
"""Maximum of state changes and alarms numbered and listed below the panels."""
_MESSAGE_LENGTH = 130
_MARGIN = 0.02
"""Margin left and right, as a fraction of the run's duration."""
_DAY = 86400.0
"""matplotlib counts days since 1970."""
_STATE_SOURCES = {"Run", "System"}
_COLOURS = {Severity.MINOR: "tab:orange", Severity.MAJOR: "tab:red", Severity.INVALID: "tab:purple"}
_GAP_COLOUR = "0.85"
_PIECES = 2000
"""Number of time bins: first, minimum, maximum and last value of each bin draw the same line as all samples."""
_LARGEST = 1e300
"""Larger values, including infinity, cannot be drawn on an axis with others."""
_SLACK = 10.0
"""Seconds before and after a run in which it may have samples: recording continues until everything has ended."""
_TEXTUAL = {"string", "enum"}


@click.command()
@number_argument
@observables_option
@click.option("--output", type=PathName(dir_okay=False), help="PNG file; default: run_NNNN.png.")
@with_book
def plot(book: RunBook, number: int, observables: tuple[str, ...], output: Path | None) -> None:
    """Plot the observables of a run (needs matplotlib).

    The PNG also shows gaps, alarms and state changes.
    """
    target = output or Path(f"run_{number:04d}.png")
    with whole_file(target, book.path) as path:
        figure = draw_run(book, number, observables)
        with warnings.catch_warnings():
            # The font may lack the script of a title.
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            figure.savefig(path, format="png")
    click.echo(target)


def draw_run(book: RunBook, number: int, observables: Sequence[str]) -> Figure:
    """Draw a panel for each of `observables` (empty: all) that has values in the run.

    A value lasts until the next; where the source was disconnected, the panel is grey. Vertical lines mark state
    changes and alarms from the log of the run, which are listed below.

    Raises:
        Refused: matplotlib is not installed, or there is nothing, or too much, to plot, or no such run or observable.
    """
    required("matplotlib.figure", "plot", "runs plot needs matplotlib")
    from matplotlib import rc_context  # noqa: PLC0415 - an optional extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    page = book.page(number)
    began, ended = book.span(number)
    margin = _MARGIN * max(ended - began, 1.0)
    curves = _curves(book, number, observables, began, ended)
    events = _shown(page.events, began - margin, ended + margin)
    with rc_context({"text.parse_math": False}):  # no math text in a title
        height = 1.2 + 1.6 * len(curves) + 0.17 * min(len(events), _MOST_EVENTS)
        figure = Figure(figsize=(11, height), layout="constrained")
        axes: Any = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
        for axis, each in zip(axes, curves, strict=True):
            _draw(axis, each)
            _draw_events(axis, events)
        axes[0].set_xlim((began - margin) / _DAY, (ended + margin) / _DAY)
        _number_events(axes[0], events[:_MOST_EVENTS], margin / 2)
        _list_events(figure, events)
        _show_local_time(axes[-1], began)
        judged = "" if page.run["quality"] == RunQuality.Unknown.name else f" ({page.run['quality']})"
        figure.suptitle(f"{book.experiment}, run {number}{judged}: {page.run['title']}".rstrip(": "))
    return figure


def _curves(book: RunBook, number: int, observables: Sequence[str], began: float, ended: float) -> list[Curve]:
    sampled = book.sampled(number, observables)
    if len(sampled) > _MOST:
        raise Refused(
            f"run {number} has samples of {len(sampled)} observables, but one picture must not have more than {_MOST}: "
            "choose some with --observable NAME, which may be repeated"
        )
    units = {each.name: each.units for each in sampled}
    with progress(book.samples(number, sampled), book.count_samples(number, sampled), "reading") as rows:
        by_name = itertools.groupby(rows, lambda row: row["name"])
        curves = [curve(name, units[name], of_one, began, ended) for name, of_one in by_name]
    curves = [each for each in curves if not each.empty]
    if not curves:
        raise Refused(f"run {number} has no values to plot")
    return curves


def _draw(axis: Any, each: Curve) -> None:
    marker = "." if len(each.times) < 200 else ""
    axis.plot([time / _DAY for time in each.times], each.values, drawstyle="steps-post", marker=marker, markersize=3)
    gaps = [(begin / _DAY, (end - begin) / _DAY) for begin, end in each.gaps]
    axis.broken_barh(gaps, (0, 1), transform=axis.get_xaxis_transform(), color=_GAP_COLOUR, zorder=0)
    label = f"{each.name}\n[{each.units}]" if each.units else each.name
    if len(each.texts) > _MOST_TEXTS:
        label += f"\n{len(each.texts)} texts"
        axis.set_yticks([])
    elif each.texts:
        axis.set_yticks(list(each.texts.values()), [_cut(text, _TEXT_LENGTH) for text in each.texts])
    if each.outside:
        label += f"\n{each.outside} outside"
    axis.set_ylabel(label)
    axis.grid(visible=True, alpha=0.3)


def _shown(events: Sequence[Row], since: float, until: float) -> list[Row]:
    """The state changes and alarms of that time."""
    return [
        event
        for event in events
        if (event["source"] in _STATE_SOURCES or event["severity"]) and since <= _when(event) <= until
    ]


def _draw_events(axis: Any, events: Sequence[Row]) -> None:
    axis.vlines(
        [_when(event) / _DAY for event in events],
        *(0, 1),
        transform=axis.get_xaxis_transform(),
        colors=[_colour(event) for event in events],
        linewidth=0.8,
        linestyles="--",
    )


def _number_events(axis: Any, events: Sequence[Row], near: float) -> None:
    """Number the events above the panel; those within `near` seconds share a place."""
    groups: list[list[int]] = []
    for number, event in enumerate(events, 1):
        if groups and _when(event) - _when(events[groups[-1][0] - 1]) < near:
            groups[-1].append(number)
        else:
            groups.append([number])
    for group in groups:
        axis.annotate(
            str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}",
            (_when(events[group[0] - 1]) / _DAY, 1),
            xycoords=axis.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
        )


def _list_events(figure: Figure, events: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - an optional extra

    lines = {
        f"{number}  {_local(_when(event)):%H:%M:%S}  {_cut(event['message'], _MESSAGE_LENGTH)}": Line2D(
            [], [], color=_colour(event), linewidth=0.8, linestyle="--"
        )
        for number, event in enumerate(events[:_MOST_EVENTS], 1)
    }
    if len(events) > _MOST_EVENTS:
        lines[f"and {len(events) - _MOST_EVENTS} more: attpc-ioc runs show"] = Line2D([], [], linewidth=0)
    if lines:
        figure.legend(list(lines.values()), list(lines), loc="outside lower left", fontsize="x-small", frameon=False)


def _colour(event: Row) -> str:
    return _COLOURS.get(Severity(event["severity"]), "tab:gray")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _when(event: Row) -> float:
    return from_text(event["occurred_at"])


def _local(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone()


def _show_local_time(axis: Any, began: float) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - an optional extra

    zone = _local(began).tzinfo
    locator = AutoDateLocator(tz=zone)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axis.set_xlabel("local time")


@dataclass
class Curve:
    """The curve of one observable, reduced to few points that look the same; each value lasts until the next."""

    name: str
    units: str
    times: list[float] = field(default_factory=list[float])
    """POSIX seconds, rising."""
    values: list[float] = field(default_factory=list[float])
    """NaN without a value; for texts their index in `texts`."""
    gaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Begin and end of each disconnection."""
    texts: dict[str, int] = field(default_factory=dict[str, int])
    """The texts in order of appearance."""
    outside: int = 0
    """Number of samples left out because their time stamps are outside the run: the source's clock was wrong."""

    @property
    def empty(self) -> bool:
        return all(math.isnan(value) for value in self.values)


def curve(name: str, units: str, rows: Iterable[Row], began: float, ended: float) -> Curve:
    """Make the curve of one observable from its samples, sorted by time; its last value lasts until `ended`.

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
    """Add the first, minimum, maximum and last value of one time bin, and clear the bin."""
    if piece:
        values = [value for _, value in piece]
        for place in sorted({0, values.index(min(values)), values.index(max(values)), len(values) - 1}):
            made.times.append(piece[place][0])
            made.values.append(values[place])
    piece.clear()
