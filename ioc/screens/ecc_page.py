"""``ecc.bob``: one ECC server, its name in the macro NAME."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.page import TOP, page
from ioc.screens.palette import LARGE
from ioc.screens.widgets import LINE, caption, command, entry, label, log, panel, reading, text

_FORWARD = ("Describe", "Prepare", "Configure", "Start")
_BACK = ("Stop", "Breakup", "Undo", "Reset")
_REST = ("Pause", "Resume")


def ecc_page(p: str) -> str:
    """Return the screen of an ECC server; `p` is the prefix as a macro."""
    base = f"{p}ECC:$(NAME):"
    return page(
        "ECC $(NAME)",
        p,
        [
            panel("State", Box(6, TOP, 700, 330), _state(base)),
            panel("This server alone", Box(6, 396, 700, 526), _commands(base)),
            panel("Configuration", Box(712, TOP, 600, 922 - TOP), _configuration(base)),
            panel("Log of the server", Box(1318, TOP, 576, 922 - TOP), _log(base)),
        ],
    )


def _state(base: str) -> list[ET.Element]:
    return [
        caption("State", Box(10, 38, 100, 40)),
        reading(f"{base}State", Box(114, 38, 200, 40), font=LARGE, centred=True),
        caption("Doing now", Box(330, 38, 80, 40)),
        reading(f"{base}Transition", Box(414, 38, 270, 40), font=LARGE, centred=True),
        caption("Server", Box(10, 90, 100, LINE)),
        reading(f"{base}Online", Box(114, 90, 200, LINE)),
        caption("Drives", Box(330, 90, 80, LINE)),
        text(f"{base}Sources", Box(414, 90, 270, LINE)),
        caption("Server says", Box(10, 132, 100, LINE)),
        text(f"{base}Message", Box(114, 132, 570, 186), lines=True),
    ]


def _commands(base: str) -> list[ET.Element]:
    buttons = [
        command(
            name,
            f"{base}{name}",
            Box(10 + 172 * column, 130 + 64 * row, 164, 54),
            confirm=f"{name} of $(NAME) alone?",
        )
        for row, names in enumerate((_FORWARD, _BACK, _REST))
        for column, name in enumerate(names)
    ]
    return [
        label(
            "For trouble-shooting. Start and Stop here neither open nor close a run: the whole detector is driven "
            "from the main screen. Reset takes the step back that fits the state.",
            Box(10, 38, 680, 76),
        ),
        *buttons,
    ]


def _configuration(base: str) -> list[ET.Element]:
    return [
        caption("In use: describe/prepare/configure", Box(10, 36, 400, 24)),
        entry(f"{base}Config", Box(10, 62, 580, 34), as_text=True),
        caption("or by its number in the list, from 0", Box(10, 106, 240, LINE)),
        entry(f"{base}ConfigIndex", Box(256, 106, 90, LINE), as_text=False),
        command("Read the list again", f"{base}RefreshConfigs", Box(380, 104, 210, 34)),
        caption("The server offers", Box(10, 146, 400, 24)),
        log(f"{base}ConfigList", Box(10, 172, 580, 680)),
    ]


def _log(base: str) -> list[ET.Element]:
    return [
        command("Fetch the log", f"{base}RefreshLog", Box(390, 2, 176, 30)),
        log(f"{base}Log", Box(6, 38, 564, 818)),
    ]
