"""Colours: told apart without colour, and texts that can be read on them.

Lightness is that of CIE L*, from 0 (black) to 100 (white): what is left of a colour in greyscale, on a bad projector or
for an eye that does not see it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from screens_reader import Screens

from ioc.screens import screen_files
from ioc.topology.load import load

ROOT = Path(__file__).resolve().parents[2]

STEP = 5.0
"""Difference of lightness that is seen between two lamps beside each other."""
CONTRAST = 4.5
"""Of a text to what is behind it (WCAG 2, level AA)."""
ALIKE, BRIGHT = 350.0, 410.0
"""Phoebus draws the word of a lamp in black or white when its own colour is as bright as the lamp, within `ALIKE`."""

STATES = ("Idle", "Described", "Prepared", "Ready", "Running", "Paused", "Busy", "Fault", "Unknown")


class Rgb(NamedTuple):
    """A colour, each part from 0 to 255."""

    red: int
    green: int
    blue: int

    @property
    def luminance(self) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in (self.red / 255, self.green / 255, self.blue / 255)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    @property
    def lightness(self) -> float:
        return 116 * self.luminance ** (1 / 3) - 16

    @property
    def brightness(self) -> float:
        """As Phoebus weighs it, from 0 to 1000."""
        return (299 * self.red + 587 * self.green + 114 * self.blue) / 255


BLACK, WHITE = Rgb(0, 0, 0), Rgb(255, 255, 255)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast as WCAG 2 has it, from 1 to 21."""
    dark, light = sorted((one.luminance, other.luminance))
    return (light + 0.05) / (dark + 0.05)


def on_lamp(text: Rgb, lamp: Rgb) -> Rgb:
    """Return the colour in which Phoebus draws the word of a lamp."""
    if abs(text.brightness - lamp.brightness) >= ALIKE:
        return text
    return BLACK if lamp.brightness > BRIGHT else WHITE


def rgb(element: ET.Element | None) -> Rgb:
    """Return the colour in a property."""
    assert element is not None
    colour = element.find("color")
    assert colour is not None
    return Rgb(*(int(colour.get(part, "-1")) for part in ("red", "green", "blue")))


def ruled(widget: ET.Element, prop: str) -> dict[str, ET.Element]:
    """Return what rules set a property to, by their expressions."""
    found = {
        each.get("bool_exp", ""): each.find("value") for each in widget.findall(f"rules/rule[@prop_id='{prop}']/exp")
    }
    return {when: value for when, value in found.items() if value is not None}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The colours are the same in every installation."""
    return screen_files(load(ROOT / "topology.yaml"))


@pytest.fixture(scope="module")
def screens(files: dict[str, str]) -> Screens:
    return Screens(files)


@pytest.fixture(scope="module")
def named(files: dict[str, str]) -> dict[str, Rgb]:
    """Return the colours of the definition file."""
    lines = (line.split(" = ") for line in files["attpc-colors.def"].splitlines() if " = " in line and line[0] != "/")
    return {name.removeprefix("ATTPC "): Rgb(*map(int, value.split(", "))) for name, value in lines}


def test_states_differ_in_greyscale(named: dict[str, Rgb]) -> None:
    """Any two colours of states are a visible step apart in lightness, and so is each from the panel behind it."""
    lightness = {name: named[name].lightness for name in (*STATES, "Panel")}
    table = "\n".join(f"{name:9} {value:5.1f}" for name, value in sorted(lightness.items(), key=lambda item: item[1]))
    close = [pair for pair in combinations(lightness, 2) if abs(lightness[pair[0]] - lightness[pair[1]]) < STEP]
    assert not close, f"{close}\n{table}"


def test_every_lamp_has_a_word_that_can_be_read(screens: Screens, named: dict[str, Rgb]) -> None:
    """No state is told by its colour alone, and its word stands out from it as Phoebus draws it.

    A lamp without a word has the colour of what is behind it.
    """
    behind = {named[name] for name in ("Background", "Panel", "Header")}
    lamps = 0
    for name, root in screens.roots.items():
        for widget in root.iter("widget"):
            if widget.get("type") != "multi_state_led":
                continue
            lamps += 1
            text = rgb(widget.find("foreground_color"))
            states = [(each.findtext("label"), rgb(each.find("color"))) for each in widget.findall("states/state")]
            for word, colour in [*states, (widget.findtext("fallback_label"), rgb(widget.find("fallback_color")))]:
                where = f"{name}: {widget.findtext('name')}: {word}"
                if word:
                    assert contrast(on_lamp(text, colour), colour) >= CONTRAST, where
                else:
                    assert colour in behind, f"{where} no word"
    assert lamps


def test_every_text_stands_out(screens: Screens) -> None:
    """Labels, readings, entries and buttons, also where a rule gives them another colour."""
    texts = 0
    for name, root in screens.roots.items():
        for widget in root.iter("widget"):
            front, back = widget.find("foreground_color"), widget.find("background_color")
            if front is None or back is None or widget.findtext("transparent") == "true":
                continue
            if widget.get("type") == "xyplot":
                continue
            texts += 1
            fronts, backs = ruled(widget, "foreground_color"), ruled(widget, "background_color")
            for when in {"", *fronts, *backs}:
                behind = rgb(backs.get(when, back))
                where = f"{name}: {widget.findtext('name')} {when}"
                assert contrast(rgb(fronts.get(when, front)), behind) >= CONTRAST, where
    assert texts
