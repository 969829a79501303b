"""Writes Phoebus display files (``.bob``) and similar files as XML: the same input gives the same bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

Colour = tuple[str, int, int, int]
"""Name, red, green and blue. A display also contains the values, in case the colour file is not loaded."""
Value: TypeAlias = "bool | int | str | Colour | list[ET.Element] | Mapping[str, Value]"
"""Value of a property: a list has elements of its own kind, a mapping (macros, fields) has a child for each key."""

PANEL: Colour = ("ATTPC Panel", 232, 234, 236)
TEXT: Colour = ("ATTPC Text", 24, 26, 28)


class Box(NamedTuple):
    """Place and size in pixels."""

    x: int
    y: int
    width: int
    height: int


def font(name: str, size: int) -> list[ET.Element]:
    return [ET.Element("font", name=name, family="Liberation Sans", style="REGULAR", size=f"{size}.0")]


def widget(kind: str, version: str, box: Box, properties: Mapping[str, Value]) -> ET.Element:
    """Return a widget; `version` is that written by Phoebus 5.0.5."""
    return element("widget", {**properties, **box._asdict()}, type=kind, version=version)


def embedded(name: str, file: str, box: Box, macros: Mapping[str, str]) -> ET.Element:
    """Return an embedded display without scroll bars."""
    properties: dict[str, Value] = {"name": name, "macros": macros, "file": file, "resize": 2, "transparent": True}
    return widget("embedded", "2.0.0", box, properties)


def caption(text: str, width: int, height: int) -> ET.Element:
    """Return a label in small letters."""
    small = font("ATTPC Small", 14)
    properties: dict[str, Value] = {"name": text, "text": text, "font": small, "foreground_color": TEXT}
    return widget("label", "2.0.0", Box(0, 0, width, height), {**properties, "vertical_alignment": 1})


def display(title: str, width: int, height: int, widgets: Iterable[ET.Element], colour: Colour) -> str:
    properties: dict[str, Value] = {
        "name": title,
        "width": width,
        "height": height,
        "background_color": colour,
        "grid_visible": False,
    }
    root = element("display", properties, version="2.0.0")
    root.extend(widgets)
    return document(root)


def insert_after(name: str, page: str, text: str) -> str:
    """Return the text of a page with the text of another widget after the one called `name`, which holds none."""
    begin, found, rest = page.partition(f"<name>{name}</name>")
    widget, end, rest = rest.partition("</widget>")
    assert found, f"the page has no {name}"
    assert end
    return begin + found + widget + end + text + rest


def document(root: ET.Element) -> str:
    """Return an XML document, indented, with a final newline."""
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def element(tag: str, properties: Mapping[str, Value], **attributes: str) -> ET.Element:
    """Return an element with a child for each property."""
    made = ET.Element(tag, attributes)
    made.extend(_property(name, value) for name, value in properties.items())
    return made


def _property(name: str, value: Value) -> ET.Element:
    if isinstance(value, Mapping):
        return element(name, value)
    made = ET.Element(name)
    if isinstance(value, tuple):
        colour, red, green, blue = value
        ET.SubElement(made, "color", name=colour, red=str(red), green=str(green), blue=str(blue))
    elif isinstance(value, list):
        made.extend(value)
    else:
        made.text = str(value).lower() if isinstance(value, bool) else str(value)
    return made
