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


def chart_list(topology: Topology, p: str) -> str:
    """Return a display with one chart for each unit, which scrolls where it does not fit."""
    by_unit: dict[str, list[Trace]] = {}
    for observable in plotted(topology):
        trace = trace_of(observable, p)
        by_unit.setdefault(trace.unit, []).append(trace)
    groups = [
        (unit, traces[first : first + _LINES])
        for unit, traces in by_unit.items()
        for first in range(0, len(traces), _LINES)
    ]
    charts = [
        chart(f"{unit} {i}", Box(0, i * _CHART_HEIGHT, CHARTS_WIDTH, _CHART_HEIGHT - 6), traces)
        for i, (unit, traces) in enumerate(groups)
    ]
    return display("Strip charts", CHARTS_WIDTH, max(1, len(charts)) * _CHART_HEIGHT, charts)
