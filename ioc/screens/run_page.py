"""``run.bob``: the run sheet, what the shift writes down about a run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.lists import (
    MANUAL_COLUMNS,
    MANUAL_WIDTH,
    SCROLL_BAR,
    VALUE_COLUMNS,
    VALUES_WIDTH,
    listed,
)
from ioc.screens.page import TOP, page
from ioc.screens.palette import HEADING, LARGE
from ioc.screens.widgets import LINE, caption, choice, command, entry, label, panel, reading, text
from ioc.topology.schema import Topology

_HEIGHT = 922 - TOP


def run_page(topology: Topology, p: str) -> str:
    """Return the run sheet; `p` is the prefix as a macro."""
    return page(
        "Run sheet",
        p,
        [
            panel("Open or next run", Box(6, TOP, 700, _HEIGHT), _sheet(p)),
            panel("Typed by the shift", Box(712, TOP, 676, _HEIGHT), _manual(topology)),
            panel("All observables", Box(1394, TOP, 500, _HEIGHT), _values(topology)),
        ],
    )


def _sheet(p: str) -> list[ET.Element]:
    return [
        caption("Run now or last", Box(10, 40, 140, 40)),
        reading(f"{p}Run:Number", Box(154, 40, 120, 40), font=LARGE, centred=True),
        reading(f"{p}Run:State", Box(284, 40, 180, 40), font=LARGE, centred=True),
        caption("Next", Box(484, 40, 50, 40)),
        reading(f"{p}Run:NextNumber", Box(538, 40, 150, 40), font=LARGE, centred=True),
        caption("Title", Box(10, 96, 140, 38)),
        entry(f"{p}Run:Title", Box(154, 96, 534, 38), as_text=True, font=HEADING),
        caption("Class", Box(10, 144, 140, LINE)),
        choice(f"{p}Run:Class", Box(154, 144, 250, LINE)),
        command(
            "Same as previous run",
            f"{p}Run:SameAsPrevious",
            Box(418, 142, 270, 34),
            confirm="Replace title, class and typed values by those of the run before?",
        ),
        caption("Configurations", Box(10, 190, 140, LINE)),
        text(f"{p}Run:Configs", Box(154, 190, 534, 70), lines=True),
        caption("Started", Box(10, 270, 140, LINE)),
        reading(f"{p}Run:StartTime", Box(154, 270, 250, LINE)),
        caption("Stopped", Box(10, 306, 140, LINE)),
        reading(f"{p}Run:StopTime", Box(154, 306, 250, LINE)),
        caption("Duration", Box(418, 306, 80, LINE)),
        reading(f"{p}Run:DurationText", Box(502, 306, 186, LINE)),
        caption("Run says", Box(10, 346, 140, LINE)),
        text(f"{p}Run:Message", Box(154, 346, 534, 90), lines=True),
        caption("What keeps a run from starting", Box(10, 450, 140, 44)),
        text(f"{p}Run:BlockedBy", Box(154, 450, 534, 200), lines=True),
        label(
            "Title, class and typed values belong to the open run; if none is open, to the next one. "
            "Press Enter after typing. After Stop the title is emptied and the rest stays.",
            Box(10, 670, 678, 66),
        ),
    ]


def _manual(topology: Topology) -> list[ET.Element]:
    count = sum(each.pv is None for each in topology.observables)
    return listed("manual_list.bob", MANUAL_COLUMNS, count, Box(6, 34, MANUAL_WIDTH + SCROLL_BAR, _HEIGHT - 40))


def _values(topology: Topology) -> list[ET.Element]:
    count = len(topology.observables)
    return listed("value_list.bob", VALUE_COLUMNS, count, Box(6, 34, VALUES_WIDTH + SCROLL_BAR, _HEIGHT - 40))
