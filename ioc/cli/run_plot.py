# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Observables over a run, as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ioc.cli.progress import with_progress
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
_DAY = 86400.0
"""matplotlib counts days since 1970."""
_MOST_EVENTS = 20
"""Lines about changes of state and alarms below the panels."""
_MESSAGE_LENGTH = 130
_MARGIN = 0.02
"""Of the run's time, left and right of it."""
_STATE_SOURCES = {"Run", "System"}
_COLOURS = {Severity.MINOR: "tab:orange", Severity.MAJOR: "tab:red", Severity.INVALID: "tab:purple"}
_GAP_COLOUR = "0.85"


def plot_run(book: RunBook, number: int, observables: Sequence[str], output: Path) -> None:
    """Write what `draw_run` draws as a PNG."""
    draw_run(book, number, observables).savefig(output, format="png")


def draw_run(book: RunBook, number: int, observables: Sequence[str]) -> Figure:
    """Draw a panel for each of `observables` (empty: all) that has values in the run.

    A value lasts until the next; while a source was disconnected the panel is grey. Vertical lines are changes of state
    and alarms, from the log of the run, which are listed below.

    Raises:
        Refused: matplotlib is not installed, or there is nothing, or too much, to plot, or no such run or observable.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise Refused("runs plot needs matplotlib: install it with  pip install 'attpc-ioc[plot]'") from None
    page = book.page(number)
    began, ended = _span(book, number)
    curves = _curves(book, number, observables, began, ended)
    events = _shown(page.events, began, ended)
    height = 1.2 + 1.6 * len(curves) + 0.17 * min(len(events), _MOST_EVENTS)
    figure = Figure(figsize=(11, height), layout="constrained")
    axes: Any = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axis, each in zip(axes, curves, strict=True):
        _draw(axis, each)
    margin = _MARGIN * max(ended - began, 1.0)
    axes[0].set_xlim((began - margin) / _DAY, (ended + margin) / _DAY)
    _draw_events(axes, events)
    _list_events(figure, axes[0].lines[1:], events)
    _show_local_time(axes[-1])
    figure.suptitle(f"{book.experiment}, run {number}: {page.run['title']}".rstrip(": "))
    return figure


def _span(book: RunBook, number: int) -> tuple[float, float]:
    span = book.span(number)
    if span is None:
        raise Refused(f"run {number} has no samples to plot")
    stopped_at = book.run(number)["stopped_at"]
    ended = span[1] / 1e6
    return span[0] / 1e6, ended if stopped_at is None else max(ended, from_text(stopped_at))


def _curves(book: RunBook, number: int, observables: Sequence[str], began: float, ended: float) -> list[Curve]:
    rows: Iterable[Row] = itertools.chain.from_iterable(book.samples(number, name) for name in observables or (None,))
    rows = with_progress(rows, book.count_samples(number, observables), "reading")
    curves: list[Curve] = []
    for _, of_one in itertools.groupby(rows, key=lambda row: row["name"]):
        made = curve(of_one, began, ended)
        if not made.empty:
            curves.append(made)
        if len(curves) > _MOST:
            raise Refused(
                f"run {number} has samples of more than {_MOST} observables, which is too much for one picture: "
                "choose some with --observable NAME, which may be repeated"
            )
    if not curves:
        raise Refused(f"run {number} has no values to plot")
    return curves


def _draw(axis: Any, each: Curve) -> None:
    marker = "." if len(each.times) < 200 else ""
    axis.plot([time / _DAY for time in each.times], each.values, drawstyle="steps-post", marker=marker, markersize=3)
    gaps = [(begin / _DAY, (end - begin) / _DAY) for begin, end in each.gaps]
    axis.broken_barh(gaps, (0, 1), transform=axis.get_xaxis_transform(), color=_GAP_COLOUR, zorder=0)
    axis.set_ylabel(f"{each.name}\n[{each.units}]" if each.units else each.name)
    if 0 < len(each.texts) <= _MOST_TEXTS:
        axis.set_yticks(range(len(each.texts)), each.texts)
    axis.grid(visible=True, alpha=0.3)


def _shown(events: Iterable[Row], began: float, ended: float) -> list[Row]:
    """The changes of state and the alarms while the run was taken, as the picture shows that time."""
    margin = _MARGIN * (ended - began)
    return [
        event
        for event in events
        if (event["source"] in _STATE_SOURCES or event["severity"])
        and began - margin <= from_text(event["occurred_at"]) <= ended + margin
    ]


def _draw_events(axes: Sequence[Any], events: Sequence[Row]) -> None:
    """A line through all panels for each, with its number above them."""
    numbers: dict[float, str] = {}
    near = _MARGIN / 2 * (axes[0].get_xlim()[1] - axes[0].get_xlim()[0])
    for number, event in enumerate(events, 1):
        colour = _COLOURS.get(Severity(event["severity"]), "tab:gray")
        for axis in axes:
            axis.axvline(_when(event), color=colour, linewidth=0.8, linestyle="--")
        place = next((each for each in numbers if abs(each - _when(event)) < near), _when(event))
        numbers[place] = f"{numbers[place]}, {number}" if place in numbers else str(number)
    for place, text in numbers.items():
        axes[0].annotate(
            text,
            (place, 1),
            xycoords=axes[0].get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
        )


def _list_events(figure: Figure, lines: Sequence[Any], events: Sequence[Row]) -> None:
    """Say below the panels what the numbers mean."""
    texts = [f"{number}  {_clock(event)}  {_cut(event['message'])}" for number, event in enumerate(events, 1)]
    if len(texts) > _MOST_EVENTS:
        texts[_MOST_EVENTS - 1 :] = [f"and {len(texts) - _MOST_EVENTS + 1} more: attpc-ioc runs show"]
    if texts:
        figure.legend(lines[: len(texts)], texts, loc="outside lower left", fontsize="x-small", frameon=False)


def _clock(event: Row) -> str:
    return datetime.fromtimestamp(from_text(event["occurred_at"]), UTC).astimezone().strftime("%H:%M:%S")


def _cut(message: str) -> str:
    return message if len(message) <= _MESSAGE_LENGTH else f"{message[: _MESSAGE_LENGTH - 1]}…"


def _when(event: Row) -> float:
    return from_text(event["occurred_at"]) / _DAY


def _show_local_time(axis: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - an optional extra

    zone = datetime.now(UTC).astimezone().tzinfo
    locator = AutoDateLocator(tz=zone)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axis.set_xlabel("local time")
