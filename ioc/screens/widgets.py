"""The widgets that the screens are made of, each with the looks that all of its kind share."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ioc.screens.bob import Box, Value, items, macros, record, widget
from ioc.screens.palette import (
    BODY,
    BUTTON,
    CAPTION,
    ENTRY,
    FIXED,
    HEADING,
    LARGE,
    NEXT_STEP,
    PANEL,
    READBACK,
    SMALL,
    TEXT,
    TRACES,
    Colour,
    Font,
)

_CENTRE = 1
_MIDDLE = 1
_AS_STRING = 6
_NO_FRAME = 3
_SCROLL = 0
_FIT = 2
_STEPS = 2

LINE = 30
"""Height of a line of readings, entries or buttons."""


def group(name: str, box: Box, children: Iterable[ET.Element], colour: Colour = PANEL) -> ET.Element:
    """Return a panel; the places of `children` count from its corner."""
    made = widget("group", name, box, {"style": _NO_FRAME, "background_color": colour, "transparent": False})
    made.extend(children)
    return made


def panel(title: str, box: Box, children: Iterable[ET.Element]) -> ET.Element:
    """Return a panel with a heading, which takes the first 290 by 32 pixels."""
    return group(title, box, [heading(title, Box(10, 2, min(280, box.width - 20), 28)), *children])


def heading(text: str, box: Box) -> ET.Element:
    return label(text, box, font=HEADING, style="ATTPC_HEADING")


def caption(text: str, box: Box) -> ET.Element:
    """Return the name of what stands beside or below it."""
    return label(text, box, font=SMALL, colour=CAPTION, style="ATTPC_CAPTION")


def label(text: str, box: Box, *, font: Font = BODY, colour: Colour = TEXT, style: str = "ATTPC_TEXT") -> ET.Element:
    return widget(
        "label",
        text,
        box,
        {
            "text": text,
            "font": font,
            "foreground_color": colour,
            "transparent": True,
            "vertical_alignment": _MIDDLE,
            "wrap_words": True,
        },
        style,
    )


def reading(pv: str, box: Box, *, font: Font = BODY, centred: bool = False) -> ET.Element:
    """Return a value that is read only, framed by the colour of its alarm."""
    properties: dict[str, Value] = {
        "pv_name": pv,
        "font": font,
        "foreground_color": TEXT,
        "background_color": READBACK,
        "vertical_alignment": _MIDDLE,
        "wrap_words": False,
    }
    if centred:
        properties["horizontal_alignment"] = _CENTRE
    return widget("textupdate", _short(pv), box, properties, "ATTPC_READING")


def text(pv: str, box: Box, *, font: Font = BODY, lines: bool = False) -> ET.Element:
    """Return a text PV (CHAR), which is one line or fills its box with several."""
    properties: dict[str, Value] = {
        "pv_name": pv,
        "font": font,
        "foreground_color": TEXT,
        "background_color": READBACK,
        "format": _AS_STRING,
        "vertical_alignment": 0 if lines else _MIDDLE,
        "wrap_words": lines,
    }
    if lines:
        properties["interactive"] = True
    return widget("textupdate", _short(pv), box, properties, "ATTPC_READING")


def lamp(pv: str, box: Box, looks: Mapping[str, Colour], *, disconnected: str = "not connected") -> ET.Element:
    """Return a field whose text and colour depend on an enum PV: one text and colour for each state, in order.

    Phoebus gives it the colour of a lost connection by itself, and then the text `disconnected`.
    """
    states = [
        record("state", {"value": number, "label": label, "color": colour})
        for number, (label, colour) in enumerate(looks.items())
    ]
    properties: dict[str, Value] = {
        "pv_name": pv,
        "font": HEADING,
        "foreground_color": TEXT,
        "line_color": next(iter(looks.values())),
        "square": True,
        "states": items("states", states),
        "fallback_label": disconnected,
    }
    return widget("multi_state_led", _short(pv), box, properties)


def log(pv: str, box: Box) -> ET.Element:
    """Return a text of many lines, in columns."""
    return text(pv, box, font=FIXED, lines=True)


def entry(pv: str, box: Box, *, as_text: bool, font: Font = BODY, tooltip: str | None = None) -> ET.Element:
    """Return a field to type in; `as_text`: the PV is a text (CHAR). Without `tooltip`, it says PV and value."""
    properties: dict[str, Value] = {
        "pv_name": pv,
        "font": font,
        "foreground_color": TEXT,
        "background_color": ENTRY,
        "vertical_alignment": _MIDDLE,
    }
    if as_text:
        properties["format"] = _AS_STRING
    if tooltip is not None:
        properties["tooltip"] = tooltip
    return widget("textentry", _short(pv.partition(".")[0]), box, properties, "ATTPC_ENTRY")


def choice(pv: str, box: Box) -> ET.Element:
    """Return a list to choose one state of an enum PV from."""
    properties: dict[str, Value] = {
        "pv_name": pv,
        "font": BODY,
        "foreground_color": TEXT,
        "background_color": ENTRY,
        "items_from_pv": True,
    }
    return widget("combo", _short(pv), box, properties, "ATTPC_CHOICE")


class Rule(NamedTuple):
    """Changes a property to `value` while `expression` holds; pv0, pv1… are the numbers of `pvs`."""

    property: str
    expression: str
    value: bool | Colour
    pvs: tuple[str, ...]


def command(
    title: str, pv: str, box: Box, *, confirm: str = "", font: Font = BODY, rules: Sequence[Rule] = ()
) -> ET.Element:
    """Return a button that starts a command; `confirm` is the question that is asked first."""
    action = record("action", {"description": title, "pv_name": "$(pv_name)", "value": "Busy"}, type="write_pv")
    properties: dict[str, Value] = {
        "actions": items("actions", [action]),
        "pv_name": pv,
        "text": title,
        "font": font,
        "foreground_color": TEXT,
        "background_color": BUTTON,
        "tooltip": "$(pv_name)",
    }
    if rules:
        properties["rules"] = items("rules", [_rule(rule) for rule in rules])
    if confirm:
        properties["show_confirm_dialog"] = True
        properties["confirm_message"] = confirm
    return widget("action_button", title, box, properties, "ATTPC_BUTTON")


def step(title: str, pv: str, box: Box, *, confirm: str, possible: str, pvs: tuple[str, ...]) -> ET.Element:
    """Return a big command button that stands out while `possible` holds and cannot be pressed otherwise."""
    rules = (Rule("enabled", f"!({possible})", False, pvs), Rule("background_color", possible, NEXT_STEP, pvs))
    return command(title, pv, box, confirm=confirm, font=LARGE, rules=rules)


def link(title: str, file: str, box: Box, *, given: Mapping[str, str] | None = None, font: Font = BODY) -> ET.Element:
    """Return a button that shows another display in this one's place."""
    fields: dict[str, Value] = {"description": title, "file": file, "target": "replace"}
    if given:
        fields["macros"] = macros(given)
    properties: dict[str, Value] = {
        "actions": items("actions", [record("action", fields, type="open_display")]),
        "text": title,
        "font": font,
        "foreground_color": TEXT,
        "background_color": BUTTON,
        "tooltip": "",
    }
    return widget("action_button", title, box, properties, "ATTPC_BUTTON")


def embedded(name: str, file: str, box: Box, *, scrolls: bool, given: Mapping[str, str] | None = None) -> ET.Element:
    """Return another display inside this one: with scroll bars, or taking the size of its content."""
    properties: dict[str, Value] = {"file": file, "resize": _SCROLL if scrolls else _FIT, "transparent": True}
    if given:
        properties["macros"] = macros(given)
    return widget("embedded", name, box, properties)


class Trace(NamedTuple):
    """One line of a chart."""

    name: str
    pv: str
    unit: str


def chart(name: str, box: Box, traces: Sequence[Trace]) -> ET.Element:
    """Return a strip chart of the last ten minutes, with one axis for each unit."""
    units = list(dict.fromkeys(trace.unit for trace in traces))
    axes = [record("y_axis", _axis(unit, traces)) for unit in units]
    lines = [
        record(
            "trace",
            {
                "name": trace.name,
                "y_pv": trace.pv,
                "axis": units.index(trace.unit),
                "trace_type": _STEPS,
                "color": TRACES[number % len(TRACES)],
                "line_width": 2,
            },
        )
        for number, trace in enumerate(traces)
    ]
    properties: dict[str, Value] = {
        "foreground_color": TEXT,
        "background_color": PANEL,
        "show_grid": True,
        "title_font": HEADING,
        "label_font": SMALL,
        "scale_font": SMALL,
        "show_toolbar": False,
        "show_legend": True,
        "start": "10 minutes",
        "end": "now",
        "y_axes": items("y_axes", axes),
        "traces": items("traces", lines),
    }
    return widget("stripchart", name, box, properties)


def _axis(unit: str, traces: Sequence[Trace]) -> dict[str, Value]:
    """Return an axis, in the colour of its first line."""
    first = next(number for number, trace in enumerate(traces) if trace.unit == unit)
    return {"title": unit, "autoscale": True, "show_grid": False, "color": TRACES[first % len(TRACES)]}


def _rule(rule: Rule) -> ET.Element:
    expression = record("exp", {"value": rule.value}, bool_exp=rule.expression)
    made = record("rule", {}, name=f"{rule.property} by state", prop_id=rule.property, out_exp="false")
    made.append(expression)
    for pv in rule.pvs:
        ET.SubElement(made, "pv_name").text = pv
    return made


def _short(pv: str) -> str:
    """Return a name for the widget of a PV: what follows the prefix."""
    return pv.rpartition(")")[2].lstrip(":") or pv
