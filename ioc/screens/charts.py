"""Charts of the observables: strip charts on the screens, and the Data Browser plot (``.plt``)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

from ioc.model import ValueType
from ioc.screens.bob import PANEL, TEXT, Box, Colour, Value, display, document, element, font, widget
from ioc.screens.lists import title_of
from ioc.topology.schema import Topology

_COLOURS: Sequence[Colour] = (
    ("ATTPC Trace 1", 0, 84, 166),
    ("ATTPC Trace 2", 168, 76, 0),
    ("ATTPC Trace 3", 96, 48, 140),
    ("ATTPC Trace 4", 0, 110, 90),
    ("ATTPC Trace 5", 120, 100, 0),
    ("ATTPC Trace 6", 70, 74, 80),
)
_OVERVIEW = Box(0, 0, 796, 220)
_OVERVIEW_LINES = 5
_LIST_WIDTH = 646
_LIST_HEIGHT = 822
_CHART_HEIGHTS = 180, 250
"""Minimum and maximum height; between them, the charts share the height of the page."""
_STEPS = 2


class Trace(NamedTuple):
    """One line of a chart."""

    name: str
    pv: str
    unit: str


def overview_chart(topology: Topology, p: str) -> str:
    """Return one chart of the first observables; `p` is the prefix as a macro."""
    traces = _traces(topology, p)[:_OVERVIEW_LINES]
    content = _chart("Observables", _OVERVIEW, traces) if traces else _nothing(_OVERVIEW)
    return display("Overview", _OVERVIEW.width, _OVERVIEW.height, [content])


def chart_list(topology: Topology, p: str) -> str:
    """Return a display with a chart for each unit, one below the other; a chart with many lines is split."""
    units: dict[str, list[Trace]] = {}
    for trace in _traces(topology, p):
        units.setdefault(trace.unit, []).append(trace)
    lines = len(_COLOURS)
    groups = [traces[first : first + lines] for traces in units.values() for first in range(0, len(traces), lines)]
    least, most = _CHART_HEIGHTS
    height = max(least, min(most, _LIST_HEIGHT // max(1, len(groups))))
    charts = [
        _chart(f"{group[0].unit} {i}", Box(0, i * height, _LIST_WIDTH, height - 6), group)
        for i, group in enumerate(groups)
    ]
    content = charts or [_nothing(Box(0, 0, _LIST_WIDTH, height))]
    return display("Strip charts", _LIST_WIDTH, len(content) * height, content)


def data_browser_plot(topology: Topology) -> str:
    """Return a plot of the last hour, with one axis for each unit."""
    traces = _traces(topology, topology.prefix)
    units = _units(traces)
    axes = [
        element("axis", {"visible": True, "name": unit, "use_axis_name": True, "autoscale": True}) for unit in units
    ]
    pvs: list[ET.Element] = []
    for number, trace in enumerate(traces):
        _, red, green, blue = _colour(number)
        about: dict[str, Value] = {
            "display_name": trace.name,
            "visible": True,
            "name": trace.pv,
            "axis": units.index(trace.unit),
            "color": {"red": red, "green": green, "blue": blue},
            "trace_type": "AREA",
            "linewidth": 2,
            "period": "0.0",
            "ring_size": 5000,
            "request": "OPTIMIZED",
        }
        pvs.append(element("pv", about))
    root: dict[str, Value] = {
        "title": "Observables of the AT-TPC",
        "show_legend": True,
        "scroll": True,
        "update_period": "3.0",
        "start": "-1 hour",
        "end": "now",
        "axes": axes,
        "pvlist": pvs,
    }
    return document(element("databrowser", root))


def _traces(topology: Topology, p: str) -> list[Trace]:
    """Return the observables to plot: numbers measured by other IOCs."""
    return [
        Trace(title_of(each), f"{p}Obs:{each.name}:Value", each.units or title_of(each))
        for each in topology.observables
        if each.pv is not None and each.type in {ValueType.Float, ValueType.Integer}
    ]


def _units(traces: Sequence[Trace]) -> list[str]:
    return list(dict.fromkeys(trace.unit for trace in traces))


def _colour(number: int) -> Colour:
    return _COLOURS[number % len(_COLOURS)]


def _chart(name: str, box: Box, traces: Sequence[Trace]) -> ET.Element:
    """Return a strip chart of the last ten minutes, with one axis for each unit in the colour of its first line."""
    units = _units(traces)
    first = {unit: next(i for i, trace in enumerate(traces) if trace.unit == unit) for unit in units}
    axes = [
        element("y_axis", {"title": unit, "autoscale": True, "show_grid": False, "color": _colour(first[unit])})
        for unit in units
    ]
    lines: list[ET.Element] = []
    for number, trace in enumerate(traces):
        about: dict[str, Value] = {
            "name": trace.name,
            "y_pv": trace.pv,
            "axis": units.index(trace.unit),
            "trace_type": _STEPS,
            "color": _colour(number),
            "line_width": 2,
        }
        lines.append(element("trace", about))
    properties: dict[str, Value] = {
        "name": name,
        "foreground_color": TEXT,
        "background_color": PANEL,
        "show_grid": True,
        "title_font": font("ATTPC Heading", 18, "BOLD"),
        "label_font": font("ATTPC Small", 14),
        "scale_font": font("ATTPC Small", 14),
        "show_toolbar": False,
        "show_legend": True,
        "start": "10 minutes",
        "end": "now",
        "y_axes": axes,
        "traces": lines,
    }
    return widget("stripchart", "2.1.0", box, properties)


def _nothing(box: Box) -> ET.Element:
    properties: dict[str, Value] = {
        "name": "Nothing to plot",
        "text": "No observable has a source PV: there is nothing to plot.",
        "font": font("ATTPC Body", 16),
        "foreground_color": TEXT,
    }
    return widget("label", "2.0.0", box, properties)
