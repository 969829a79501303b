"""The frame that all screens share: size, title, way to the other screens, banner of the simulation, sign of life."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ioc.screens.bob import Box, display
from ioc.screens.palette import HEADER, HEADER_TEXT, LARGE, SIMULATED, SMALL
from ioc.screens.widgets import group, label, lamp, link, reading, text

WIDTH = 1900
HEIGHT = 928
"""What Phoebus leaves of a screen of 1920 by 1080 between its menus, tabs and status bar."""
TOP = 60
"""Where the content of a page begins."""

_PAGES = (
    ("Main", "main.bob"),
    ("Run sheet", "run.bob"),
    ("Observables", "observables.bob"),
    ("Run history", "history.bob"),
    ("Expert", "expert.bob"),
)


def page(title: str, p: str, content: Iterable[ET.Element]) -> str:
    """Return the file of a screen; `p` is the prefix as a macro."""
    return display(title, WIDTH, HEIGHT, [_header(title, p), *content])


def _header(title: str, p: str) -> ET.Element:
    links = [link(name, file, Box(290 + 140 * i, 9, 132, 36)) for i, (name, file) in enumerate(_PAGES)]
    return group(
        "Header",
        Box(0, 0, WIDTH, 54),
        [
            label(title, Box(14, 6, 270, 42), font=LARGE, colour=HEADER_TEXT, style=""),
            *links,
            lamp(
                f"{p}IOC:Simulated",
                Box(1000, 9, 300, 36),
                {"": HEADER, "SIMULATED DETECTOR": SIMULATED},
                disconnected="NO CONNECTION TO THE IOC",
            ),
            label("Experiment", Box(1318, 12, 86, 30), font=SMALL, colour=HEADER_TEXT, style=""),
            text(f"{p}Experiment", Box(1406, 11, 250, 32)),
            label("IOC alive", Box(1672, 12, 70, 30), font=SMALL, colour=HEADER_TEXT, style=""),
            reading(f"{p}IOC:Heartbeat", Box(1744, 11, 142, 32)),
        ],
        HEADER,
    )
