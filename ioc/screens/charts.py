"""Charts of the observables: the last hour on the screens, and the Data Browser plot (``.plt``)."""

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
_LINES = 3
"""Lines in a chart; more of the same unit get another chart."""
OVERVIEW = Box(0, 0, 368, 416)
PAGE = Box(0, 0, 646, 822)
"""Places of the charts: on the main screen, and on the page of the observables."""
_HEIGHTS = 100, 260
"""Minimum and maximum height of a chart; between them, the charts share the height of their place."""
_STEPS = 2
_SCROLL_BAR = 20
_INDENT = "\N{NO-BREAK SPACE}" * 12
"""Before a name in the legend: Phoebus draws the lowest number of the vertical axis into the left end of the legend."""


class Trace(NamedTuple):
    """One line of a chart."""

    name: str
    base: str
    """Its PVs are called ``<base>Value``, ``<base>History``…"""
    unit: str


def charts(topology: Topology, p: str, place: Box) -> str:
    """Return a display with a chart for each unit, one below the other; it is longer than its place if it must be.

    `p` is the prefix as a macro.
    """
    units: dict[str, list[Trace]] = {}
    for trace in _traces(topology, p):
        units.setdefault(trace.unit, []).append(trace)
    groups = [traces[first : first + _LINES] for traces in units.values() for first in range(0, len(traces), _LINES)]
    least, most = _HEIGHTS
    height = max(least, min(most, place.height // max(1, len(groups))))
    width = place.width - (_SCROLL_BAR if height * len(groups) > place.height else 0)
    rows = [
        _chart(Box(0, i * height, width, height - 4), group, p, last=i == len(groups) - 1)
        for i, group in enumerate(groups)
    ]
    content = rows or [_nothing(Box(0, 0, width, height))]
    return display("Charts of the last hour", width, len(content) * height, content, PANEL)


def data_browser_plot(topology: Topology) -> str:
    """Return a plot of the last hour, with one axis for each unit."""
    traces = _traces(topology, topology.prefix)
    units = list(dict.fromkeys(trace.unit for trace in traces))
    axes = [
        element("axis", {"visible": True, "name": unit, "use_axis_name": True, "autoscale": True}) for unit in units
    ]
    pvs: list[ET.Element] = []
    for number, trace in enumerate(traces):
        _, red, green, blue = _colour(number)
        about: dict[str, Value] = {
            "display_name": trace.name,
            "visible": True,
            "name": f"{trace.base}Value",
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
        Trace(title_of(each), f"{p}Obs:{each.name}:", each.units or title_of(each))
        for each in topology.observables
        if each.pv is not None and each.type in {ValueType.Float, ValueType.Integer}
    ]


def _colour(number: int) -> Colour:
    return _COLOURS[number % len(_COLOURS)]


def _chart(box: Box, traces: Sequence[Trace], p: str, *, last: bool) -> ET.Element:
    """Return a chart of the last hour as the IOC remembers it, complete when it is opened; the last one has times."""
    small = font("ATTPC Small", 14)
    fonts: dict[str, Value] = {"title_font": small, "scale_font": small}
    times: dict[str, Value] = {"title": "", "minimum": -60, "maximum": 0, "show_grid": True, **fonts, "visible": last}
    values: dict[str, Value] = {"title": traces[0].unit, "autoscale": True, "show_grid": True, **fonts}
    lines: list[ET.Element] = []
    for number, trace in enumerate(traces):
        about: dict[str, Value] = {
            "name": f"{_INDENT}{trace.name}",
            "x_pv": f"{p}IOC:HistoryMinutes",
            "y_pv": f"{trace.base}History",
            "axis": 0,
            "trace_type": _STEPS,
            "color": _colour(number),
            "line_width": 2,
        }
        lines.append(element("trace", about))
    properties: dict[str, Value] = {
        "name": ", ".join(trace.name for trace in traces),
        "foreground_color": TEXT,
        "background_color": PANEL,
        "show_toolbar": False,
        "show_legend": True,
        "x_axis": times,
        "y_axes": [element("y_axis", values)],
        "traces": lines,
    }
    return widget("xyplot", "3.0.0", box, properties)


def _nothing(box: Box) -> ET.Element:
    properties: dict[str, Value] = {
        "name": "Nothing to plot",
        "text": "No observable has a source PV: there is nothing to plot.",
        "font": font("ATTPC Body", 16),
        "foreground_color": TEXT,
    }
    return widget("label", "2.0.0", box, properties)
