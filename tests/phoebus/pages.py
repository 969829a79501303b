"""The pages of the example installation, and what their display files say is on them."""

from __future__ import annotations

from pathlib import Path

from ioc.screens import screen_files
from ioc.topology.load import load
from tests.screens.screens_reader import Page, Screens, Shown, pvs_of

ROOT = Path(__file__).resolve().parents[2]
OPI = ROOT / "opi"
SCREENS = Screens({file.name: file.read_text(encoding="utf-8") for file in sorted(OPI.iterdir())})
_WRITING = {"textentry", "combo", "bool_button", "checkbox", "choice", "radio", "slide_button", "spinner"}
"""Kinds of widgets that write their PV; buttons write those of their actions."""


def write_screens(topology: Path, folder: Path) -> Screens:
    """Write the screens of a topology to a folder, and return them."""
    files = screen_files(load(topology))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Screens(files)


def pvs_on(page: Page, screens: Screens = SCREENS) -> set[str]:
    """Return every PV that Phoebus connects to on a page and all that it embeds."""
    return {pv for widget in screens.shown_on(page) for pv in pvs_of(widget)}


def pages() -> dict[str, Page]:
    """Return the pages that an operator can open, by file and component, each once.

    Some are reached with macros that they do not use.
    """
    found: dict[tuple[str, frozenset[str]], Page] = {}
    for page in sorted(SCREENS.pages, key=lambda page: len(page.macros)):
        if not page.embedded:
            found.setdefault((page.file, frozenset(pvs_on(page))), page)
    return {f"{kind_of(page)} {dict(page.macros).get('NAME', '')}".strip(): page for page in found.values()}


def kind_of(page: Page) -> str:
    """Return the name of a page in the tables."""
    return page.file.removesuffix(".bob")


def controls_on(page: Page) -> list[tuple[str, Shown]]:
    """Return the PV and the widget of everything on a page, and on what it embeds, that writes a PV."""
    found: list[tuple[str, Shown]] = []
    for widget in SCREENS.shown_on(page):
        written = [pv for pv, _ in widget.written_pvs()]
        if widget.kind in _WRITING or widget.element.find("actions/action[@type='execute']") is not None:
            written = [widget.text("pv_name") or ""]
        if written:
            found.append((widget.text("pv_name") or written[0], widget))
    return found


def links_on(page: Page) -> list[tuple[str, Page]]:
    """Return the buttons of a page that lead to another: the display file in which it is, and the page."""
    opened = pages().values()
    return [
        (widget.file, target)
        for widget in SCREENS.shown_on(page)
        for file, macros, clicks in SCREENS.leads_to(widget)
        if clicks == 1
        for target in opened
        if target.file == file and dict(target.macros).items() <= {**widget.macros, **macros}.items()
    ]


def asks(widget: Shown) -> bool:
    """Whether a button asks before it does something."""
    return widget.element.findtext("show_confirm_dialog", "false") in {"true", "1"}
