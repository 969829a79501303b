# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingImports=false
"""Observables over a run, as a picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ioc.errors import Refused
from ioc.rundb.queries import RunBook


def plot_run(book: RunBook, number: int, output: Path) -> None:
    """Write a PNG with one panel for each observable that has numbers in the run; gaps are gaps in the line.

    Raises:
        Refused: matplotlib is not installed, or the run has no numbers to plot.
    """
    try:
        from matplotlib.dates import ConciseDateFormatter  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise Refused("runs plot needs matplotlib: install it with  pip install 'attpc-ioc[plot]'") from None
    curves: dict[str, tuple[str, list[datetime], list[float]]] = {}
    for row in book.samples(number):
        if isinstance(row["value"], str):
            continue
        _, times, values = curves.setdefault(row["name"], (row["units"], [], []))
        times.append(datetime.fromtimestamp(row["sampled_us"] / 1e6, UTC).astimezone())
        values.append(float("nan") if row["value"] is None else row["value"])
    curves = {name: curve for name, curve in curves.items() if any(value == value for value in curve[2])}  # noqa: PLR0124
    if not curves:
        raise Refused(f"run {number} has no samples with numbers to plot")
    run = book.run(number)
    figure = Figure(figsize=(10, 1 + 1.6 * len(curves)), layout="constrained")
    axes: Any = figure.subplots(len(curves), 1, sharex=True, squeeze=False)
    for axis, (name, (units, times, values)) in zip(axes[:, 0], curves.items(), strict=True):
        axis.plot(times, values, drawstyle="steps-post", marker=".", markersize=3)
        axis.set_ylabel(f"{name}\n[{units}]" if units else name)
        axis.grid(visible=True, alpha=0.3)
    bottom = axes[-1, 0]
    bottom.xaxis.set_major_formatter(
        ConciseDateFormatter(bottom.xaxis.get_major_locator(), tz=datetime.now(UTC).astimezone().tzinfo)
    )
    figure.suptitle(f"{book.experiment}, run {number}: {run['title']}")
    figure.savefig(output)
