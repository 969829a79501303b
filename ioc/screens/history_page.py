"""``history.bob``: the last run and the log."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.page import TOP, page
from ioc.screens.palette import FIXED, LARGE
from ioc.screens.widgets import LINE, caption, command, label, log, panel, reading, text


def history_page(p: str) -> str:
    """Return the run history; `p` is the prefix as a macro."""
    return page(
        "Run history",
        p,
        [
            panel("Open or last run", Box(6, TOP, 620, 350), _last(p)),
            panel("All runs", Box(6, 416, 620, 506), _all_runs()),
            panel("Log, newest first", Box(632, TOP, 1262, 922 - TOP), _log(p)),
        ],
    )


def _last(p: str) -> list[ET.Element]:
    return [
        caption("Run", Box(10, 40, 110, 40)),
        reading(f"{p}Run:Number", Box(124, 40, 120, 40), font=LARGE, centred=True),
        reading(f"{p}Run:State", Box(254, 40, 180, 40), font=LARGE, centred=True),
        reading(f"{p}Run:DurationText", Box(444, 40, 166, 40), font=LARGE, centred=True),
        caption("Started", Box(10, 94, 110, LINE)),
        reading(f"{p}Run:StartTime", Box(124, 94, 250, LINE)),
        caption("Stopped", Box(10, 130, 110, LINE)),
        reading(f"{p}Run:StopTime", Box(124, 130, 250, LINE)),
        caption("Run says", Box(10, 170, 110, LINE)),
        text(f"{p}Run:Message", Box(124, 170, 486, 90), lines=True),
        caption("Configurations", Box(10, 270, 110, LINE)),
        text(f"{p}Run:Configs", Box(124, 270, 486, 70), lines=True),
    ]


def _all_runs() -> list[ET.Element]:
    return [
        label(
            "Every run, its values and its files are in the run database. In a terminal on the machine of the IOC:",
            Box(10, 36, 600, 50),
        ),
        label("attpc-ioc runs list", Box(30, 92, 570, LINE), font=FIXED),
        label("attpc-ioc runs show 12", Box(30, 124, 570, LINE), font=FIXED),
        label("attpc-ioc runs --help", Box(30, 156, 570, LINE), font=FIXED),
    ]


def _log(p: str) -> list[ET.Element]:
    return [
        caption("Errors since cleared", Box(830, 3, 140, 26)),
        reading(f"{p}Log:Errors", Box(974, 3, 120, 26), centred=True),
        command("Clear", f"{p}Log:Clear", Box(1130, 2, 120, 28)),
        log(f"{p}Log:Lines", Box(6, 36, 1250, 820)),
    ]
