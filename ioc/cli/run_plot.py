# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Observables over a run, as a picture."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ioc.cli.extras import how_to_install
from ioc.cli.progress import progress
from ioc.cli.run_curves import Curve, curve
from ioc.errors import Refused
from ioc.model import Severity
from ioc.rundb.queries import Row, RunBook
from ioc.rundb.times import from_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 40
"""Observables on one picture."""
_MOST_TEXTS = 12
"""Different texts of an observable that are named beside its panel."""
_TEXT_LENGTH = 20
"""Of a text beside a panel."""
_MOST_EVENTS = 20
"""Changes of state and alarms that are numbered and listed below the panels."""
_MESSAGE_LENGTH = 130
_MARGIN = 0.02
"""Of the run's time, left and right of it."""
_DAY = 86400.0
"""matplotlib counts days since 1970."""
_STATE_SOURCES = {"Run", "System"}
_COLOURS = {Severity.MINOR: "tab:orange", Severity.MAJOR: "tab:red", Severity.INVALID: "tab:purple"}
_GAP_COLOUR = "0.85"


def plot_run(book: RunBook, number: int, observables: Sequence[str], output: Path) -> None:
    """Write what `draw_run` draws as a PNG."""
    figure = draw_run(book, number, observables)
    with warnings.catch_warnings():
        # A title may be in a script that the font does not have.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(output, format="png")


def draw_run(book: RunBook, number: int, observables: Sequence[str]) -> Figure:
    """Draw a panel for each of `observables` (empty: all) that has values in the run.

    A value lasts until the next; while a source was disconnected the panel is grey. Vertical lines are changes of state
    and alarms, from the log of the run, which are listed below.

    Raises:
        Refused: matplotlib is not installed, or there is nothing, or too much, to plot, or no such run or observable.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise Refused(f"runs plot needs matplotlib: install it with  {how_to_install('plot')}") from None
    page = book.page(number)
    began, ended = book.span(number)
    margin = _MARGIN * max(ended - began, 1.0)
    curves = _curves(book, number, observables, began, ended)
    events = _shown(page.events, began - margin, ended + margin)
    with rc_context({"text.parse_math": False}):  # a dollar in a title is a dollar
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
        figure.suptitle(f"{book.experiment}, run {number}: {page.run['title']}".rstrip(": "))
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
    """The changes of state and the alarms of that time."""
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
    """Number them above the panel; those within `near` seconds of one another share a place."""
    groups: list[list[int]] = []
    for number, event in enumerate(events):
        if groups and _when(event) - _when(events[groups[-1][0]]) < near:
            groups[-1].append(number)
        else:
            groups.append([number])
    for group in groups:
        axis.annotate(
            str(group[0] + 1) if len(group) == 1 else f"{group[0] + 1}-{group[-1] + 1}",
            (_when(events[group[0]]) / _DAY, 1),
            xycoords=axis.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
        )


def _list_events(figure: Figure, events: Sequence[Row]) -> None:
    """Say below the panels what the numbers mean."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - an optional extra

    listed = events[:_MOST_EVENTS]
    lines = [Line2D([], [], color=_colour(event), linewidth=0.8, linestyle="--") for event in listed]
    texts = [
        f"{number}  {_local(_when(event)):%H:%M:%S}  {_cut(event['message'], _MESSAGE_LENGTH)}"
        for number, event in enumerate(listed, 1)
    ]
    if len(events) > len(listed):
        lines.append(Line2D([], [], linewidth=0))
        texts.append(f"and {len(events) - len(listed)} more: attpc-ioc runs show")
    if texts:
        figure.legend(lines, texts, loc="outside lower left", fontsize="x-small", frameon=False)


def _colour(event: Row) -> str:
    return _COLOURS.get(Severity(event["severity"]), "tab:gray")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _when(event: Row) -> float:
    return from_text(event["occurred_at"])


def _local(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone()


def _show_local_time(axis: Any, began: float) -> None:
    """Label the axis with the time of day that the shift had."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - an optional extra

    zone = _local(began).tzinfo
    locator = AutoDateLocator(tz=zone)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axis.set_xlabel("local time")
