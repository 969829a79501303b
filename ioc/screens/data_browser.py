"""The Data Browser plot (``.plt``) of the observables."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import document
from ioc.screens.charts import plotted, trace_of
from ioc.screens.palette import TRACES
from ioc.topology.schema import Topology


def data_browser_plot(topology: Topology) -> str:
    """Return a plot of the last hour, with one axis for each unit."""
    root = ET.Element("databrowser")
    _fields(root, title="Observables of the AT-TPC", show_legend="true", scroll="true", update_period="3.0")
    _fields(root, start="-1 hour", end="now")
    traces = [trace_of(each, topology.prefix) for each in plotted(topology)]
    units = list(dict.fromkeys(trace.unit for trace in traces))
    axes = ET.SubElement(root, "axes")
    for unit in units:
        axis = ET.SubElement(axes, "axis")
        _fields(axis, visible="true", name=unit, use_axis_name="true", autoscale="true")
    pvs = ET.SubElement(root, "pvlist")
    for number, trace in enumerate(traces):
        pv = ET.SubElement(pvs, "pv")
        _fields(pv, display_name=trace.name, visible="true", name=trace.pv, axis=str(units.index(trace.unit)))
        red, green, blue = (str(part) for part in TRACES[number % len(TRACES)].rgb)
        _fields(ET.SubElement(pv, "color"), red=red, green=green, blue=blue)
        _fields(pv, trace_type="AREA", linewidth="2", period="0.0", ring_size="5000", request="OPTIMIZED")
    return document(root)


def _fields(parent: ET.Element, **texts: str) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = text
