"""Strip charts of the observables."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box, display
from ioc.screens.lists import is_numeric, title_of
from ioc.screens.widgets import Trace, caption, chart
from ioc.topology.schema import Observable, Topology

CHARTS_WIDTH = 650
_CHART_HEIGHT = 250
_OVERVIEW_LINES = 5
_LINES = 6


def plotted(topology: Topology) -> list[Observable]:
    """Return the observables worth a line: numbers that another IOC measures."""
    return [each for each in topology.observables if is_numeric(each) and each.pv is not None]


def trace_of(observable: Observable, p: str) -> Trace:
    return Trace(title_of(observable), f"{p}Obs:{observable.name}:Value", observable.units or title_of(observable))


def overview(topology: Topology, p: str, box: Box) -> ET.Element:
    """Return one chart of the first observables, or a word that there are none."""
    traces = [trace_of(each, p) for each in plotted(topology)[:_OVERVIEW_LINES]]
    if not traces:
        return caption("No observable follows a PV: there is nothing to plot.", box)
    return chart("Observables", box, traces)


def charts_height(topology: Topology) -> int:
    """Return how tall the list of charts is, in pixels."""
    return max(1, len(_by_unit(topology, ""))) * _CHART_HEIGHT


def chart_list(topology: Topology, p: str) -> str:
    """Return a display with one chart for each unit, one below the other."""
    charts = [
        chart(
            f"{traces[0].unit} {i}",
            Box(0, i * _CHART_HEIGHT, CHARTS_WIDTH, _CHART_HEIGHT - 6),
            traces,
        )
        for i, traces in enumerate(_by_unit(topology, p))
    ]
    return display("Strip charts", CHARTS_WIDTH, charts_height(topology), charts)


def _by_unit(topology: Topology, p: str) -> list[list[Trace]]:
    """Return the lines of each chart: those of one unit, so many as can be told apart."""
    units: dict[str, list[Trace]] = {}
    for observable in plotted(topology):
        trace = trace_of(observable, p)
        units.setdefault(trace.unit, []).append(trace)
    return [traces[first : first + _LINES] for traces in units.values() for first in range(0, len(traces), _LINES)]
