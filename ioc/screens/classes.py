"""The widget classes of the screens (``.bcf``): an installation may change the looks of all screens here."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box, display
from ioc.screens.widgets import caption, choice, command, entry, heading, label, reading

_COLOURS = ("foreground_color", "background_color")
_LETTERING = ("font", "foreground_color", "transparent")


def widget_classes() -> str:
    """Return the class file: one example of each class, with the properties marked that the class decides."""
    examples = (
        (heading("Heading", Box(10, 10, 300, 28)), _LETTERING),
        (caption("Caption", Box(10, 50, 300, 28)), _LETTERING),
        (label("Text", Box(10, 90, 300, 28)), ("foreground_color", "transparent")),
        (reading("", Box(10, 130, 300, 28)), _COLOURS),
        (entry("", Box(10, 170, 300, 28), as_text=False), _COLOURS),
        (choice("", Box(10, 210, 300, 28)), _COLOURS),
        (command("Button", "", Box(10, 250, 300, 28)), _COLOURS),
    )
    return display("Widget classes of the AT-TPC screens", 320, 300, [_define(*each) for each in examples])


def _define(example: ET.Element, decided: tuple[str, ...]) -> ET.Element:
    """Turn a widget into the definition of its class, whose name is the widget's."""
    name, own_class = example.find("name"), example.find("class")
    assert name is not None
    assert own_class is not None
    name.text = own_class.text
    example.remove(own_class)
    for tag in decided:
        for element in example.findall(tag):
            element.set("use_class", "true")
    return example
