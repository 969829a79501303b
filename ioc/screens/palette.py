"""Named colours and fonts of the screens.

Grey and quiet while all is well: the only hues beside Phoebus' own alarm colours are blue for the next sensible
button, amber for the simulated detector, and the traces of the charts. Each display also carries the values, so that
it looks the same where the definition files are not loaded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A named colour, red, green and blue from 0 to 255."""

    name: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Font:
    """A named font; `size` in pixels, never under 14, which can be read from two metres."""

    name: str
    size: int
    style: str = "REGULAR"
    family: str = "Liberation Sans"


BACKGROUND = Colour("ATTPC Background", (214, 216, 219))
PANEL = Colour("ATTPC Panel", (232, 234, 236))
HEADER = Colour("ATTPC Header", (62, 70, 80))
HEADER_TEXT = Colour("ATTPC Header Text", (240, 242, 244))
TEXT = Colour("ATTPC Text", (24, 26, 28))
CAPTION = Colour("ATTPC Caption", (76, 82, 90))
READBACK = Colour("ATTPC Readback", (222, 225, 228))
ENTRY = Colour("ATTPC Entry", (255, 255, 255))
BUTTON = Colour("ATTPC Button", (200, 204, 209))
NEXT_STEP = Colour("ATTPC Next Step", (122, 180, 240))
SIMULATED = Colour("ATTPC Simulated", (255, 190, 60))
TRACES = (
    Colour("ATTPC Trace 1", (0, 84, 166)),
    Colour("ATTPC Trace 2", (168, 76, 0)),
    Colour("ATTPC Trace 3", (96, 48, 140)),
    Colour("ATTPC Trace 4", (0, 110, 90)),
    Colour("ATTPC Trace 5", (120, 100, 0)),
    Colour("ATTPC Trace 6", (70, 74, 80)),
)
COLOURS = (
    BACKGROUND,
    PANEL,
    HEADER,
    HEADER_TEXT,
    TEXT,
    CAPTION,
    READBACK,
    ENTRY,
    BUTTON,
    NEXT_STEP,
    SIMULATED,
    *TRACES,
)

SMALL = Font("ATTPC Small", 14)
BODY = Font("ATTPC Body", 16)
BOLD = Font("ATTPC Bold", 16, "BOLD")
HEADING = Font("ATTPC Heading", 18, "BOLD")
LARGE = Font("ATTPC Large", 24, "BOLD")
HUGE = Font("ATTPC Huge", 40, "BOLD")
FIXED = Font("ATTPC Fixed", 15, family="Liberation Mono")
FONTS = (SMALL, BODY, BOLD, HEADING, LARGE, HUGE, FIXED)


def colour_definitions() -> str:
    """Return the colour file (``.def``) for Phoebus."""
    lines = [f"{colour.name} = {', '.join(map(str, colour.rgb))}" for colour in COLOURS]
    return "\n".join(["// Named colours of the AT-TPC screens: name = red, green, blue", *lines, ""])


def font_definitions() -> str:
    """Return the font file (``.def``) for Phoebus."""
    lines = [f"{font.name} = {font.family}-{font.style.lower()}-{font.size}" for font in FONTS]
    return "\n".join(["// Named fonts of the AT-TPC screens: name = family-style-pixels", *lines, ""])
