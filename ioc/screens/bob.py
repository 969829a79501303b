"""Writes Phoebus display files (``.bob``, ``.bcf``) as XML: the same input gives the same bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ioc.screens.palette import BACKGROUND, Colour, Font

# Phoebus 5.0.5, as its WidgetFactory says; a file with another version is converted on reading.
_VERSIONS = {
    "action_button": "3.0.0",
    "combo": "2.0.0",
    "embedded": "2.0.0",
    "group": "3.0.0",
    "label": "2.0.0",
    "multi_state_led": "2.0.0",
    "stripchart": "2.1.0",
    "textentry": "3.0.0",
    "textupdate": "2.0.0",
}

Value = bool | int | float | str | Colour | Font | ET.Element


class Box(NamedTuple):
    """Place and size in pixels, relative to the group or display that holds it."""

    x: int
    y: int
    width: int
    height: int


def widget(kind: str, name: str, box: Box, properties: Mapping[str, Value], style: str = "") -> ET.Element:
    """Return a widget of the type `kind`; `style` is the widget class that it uses."""
    element = ET.Element("widget", type=kind, version=_VERSIONS[kind])
    _text(element, "name", name)
    if style:
        _text(element, "class", style)
    for key, number in zip(Box._fields, box, strict=True):
        _text(element, key, str(number))
    for key, value in properties.items():
        element.append(_property(key, value))
    return element


def display(title: str, width: int, height: int, widgets: Iterable[ET.Element]) -> str:
    """Return the text of a display file."""
    root = ET.Element("display", version="2.0.0")
    _text(root, "name", title)
    _text(root, "width", str(width))
    _text(root, "height", str(height))
    root.append(_property("background_color", BACKGROUND))
    _text(root, "grid_visible", "false")
    root.extend(widgets)
    return document(root)


def document(root: ET.Element) -> str:
    """Return an XML document, indented, with a final newline."""
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def macros(values: Mapping[str, str]) -> ET.Element:
    """Return the macros that an embedded or opened display gets."""
    element = ET.Element("macros")
    for name, value in values.items():
        _text(element, name, value)
    return element


def items(tag: str, elements: Iterable[ET.Element]) -> ET.Element:
    """Return a property that is a list: actions, rules, states, traces…"""
    element = ET.Element(tag)
    element.extend(elements)
    return element


def record(tag: str, fields: Mapping[str, Value], **attributes: str) -> ET.Element:
    """Return one structured element, such as an action or a trace."""
    element = ET.Element(tag, attributes)
    for key, value in fields.items():
        element.append(_property(key, value))
    return element


def _property(key: str, value: Value) -> ET.Element:
    if isinstance(value, ET.Element):
        return value
    element = ET.Element(key)
    if isinstance(value, Colour):
        red, green, blue = (str(part) for part in value.rgb)
        ET.SubElement(element, "color", name=value.name, red=red, green=green, blue=blue)
    elif isinstance(value, Font):
        ET.SubElement(element, "font", name=value.name, family=value.family, style=value.style, size=f"{value.size}.0")
    elif isinstance(value, bool):
        element.text = str(value).lower()
    else:
        element.text = str(value)
    return element


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
