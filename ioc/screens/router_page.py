"""``router.bob``: one data router, its name in the macro NAME."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.page import TOP, page
from ioc.screens.palette import LARGE
from ioc.screens.widgets import LINE, caption, command, label, log, panel, reading, text

_FACTS = (
    ("Files in staging", "FileCount"),
    ("Size of these files", "StagedMB"),
    ("Data rate", "RateMBps"),
    ("Disk free", "DiskFreeGB"),
    ("Disk used", "DiskUsedPercent"),
)


def router_page(p: str) -> str:
    """Return the screen of a data router; `p` is the prefix as a macro."""
    base = f"{p}Router:$(NAME):"
    return page(
        "Router $(NAME)",
        p,
        [
            panel("State", Box(6, TOP, 700, 540), _state(base)),
            panel("Files left behind", Box(6, 606, 700, 316), _organize(base)),
            panel("Log of the router", Box(712, TOP, 1182, 922 - TOP), _log(base)),
        ],
    )


def _state(base: str) -> list[ET.Element]:
    facts = [
        widget
        for i, (title, name) in enumerate(_FACTS)
        for widget in (
            caption(title, Box(10, 92 + 38 * i, 140, LINE)),
            reading(f"{base}{name}", Box(154, 92 + 38 * i, 220, LINE)),
        )
    ]
    return [
        caption("Process", Box(10, 38, 140, 40)),
        reading(f"{base}Online", Box(154, 38, 220, 40), font=LARGE, centred=True),
        caption("Staging", Box(390, 38, 70, 40)),
        reading(f"{base}Clean", Box(464, 38, 224, 40), font=LARGE, centred=True),
        *facts,
        caption("Writes to", Box(10, 286, 140, LINE)),
        text(f"{base}WorkDir", Box(154, 286, 534, 56), lines=True),
        caption("Router says", Box(10, 352, 140, LINE)),
        text(f"{base}Message", Box(154, 352, 534, 176), lines=True),
    ]


def _organize(base: str) -> list[ET.Element]:
    return [
        label(
            "While this router is Dirty and no run is open, no run can start. Organize moves the files in the staging "
            "directory to the last finished run; nothing is overwritten.",
            Box(10, 38, 680, 66),
        ),
        command(
            "Organize",
            f"{base}Organize",
            Box(10, 116, 200, 54),
            confirm="File what lies in the staging directory of $(NAME) under the last finished run?",
        ),
    ]


def _log(base: str) -> list[ET.Element]:
    return [
        command("Fetch the log", f"{base}RefreshLog", Box(996, 2, 176, 30)),
        log(f"{base}Log", Box(6, 38, 1170, 818)),
    ]
