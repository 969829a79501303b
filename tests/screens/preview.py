"""Draws the screens with the values of a running IOC, without Phoebus: a look at the layout before Phoebus is at hand.

    python tests/screens/preview.py --output FOLDER [--label idle] [--page main.bob] [--ecc CoBo0] [--router data0]

Chromium draws the same boxes, fonts and colours as the display files give; alarm borders and disconnected widgets
follow Phoebus' defaults. What Phoebus makes of the files itself only `tests/phoebus` can tell.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aioca import FORMAT_CTRL, caget, purge_channel_caches
from screens_reader import Page, Screens, Shown, expand, pvs_of

_BORDERS = {1: "#ff8000 solid", 2: "#ff0000 solid", 3: "#ff00ff solid", 4: "#c800c8 dashed"}
_DISCONNECTED = 4
_ALIGN = {"0": "flex-start", "1": "center", "2": "flex-end", None: "flex-start"}
_SAMPLES = 24


@dataclass(frozen=True)
class Value:
    """A PV as a widget shows it."""

    text: str
    number: float
    severity: int


def _value(reply: Any) -> Value:
    if not reply.ok:
        return Value("", 0.0, _DISCONNECTED)
    if getattr(reply, "enums", None):
        return Value(reply.enums[int(reply)], float(reply), reply.severity)
    if hasattr(reply, "dtype") and reply.dtype.kind == "u":
        return Value(bytes(reply).split(b"\0")[0].decode(errors="replace"), 0.0, reply.severity)
    severity, units, precision = reply.severity, getattr(reply, "units", ""), getattr(reply, "precision", 0)
    if isinstance(reply, float):
        return Value(f"{reply:.{max(0, precision)}f} {units or ''}".strip(), float(reply), severity)
    if isinstance(reply, int):
        return Value(f"{reply} {units or ''}".strip(), float(reply), severity)
    return Value(str(reply), 0.0, severity)


async def read(names: Iterable[str]) -> dict[str, list[Value]]:
    """Read all PVs, numbers several times for the charts."""
    wanted = sorted(set(names))
    rounds: list[list[Value]] = []
    for number in range(_SAMPLES):
        replies = await caget(wanted, format=FORMAT_CTRL, timeout=4, throw=False)
        rounds.append([_value(reply) for reply in replies])
        if number == 0 and all(value.severity == _DISCONNECTED for value in rounds[0]):
            break
        await asyncio.sleep(0.3)
    purge_channel_caches()
    return {name: [values[i] for values in rounds] for i, name in enumerate(wanted)}


class Drawing:
    """HTML of one page."""

    def __init__(self, screens: Screens, values: Mapping[str, list[Value]]) -> None:
        self._screens = screens
        self._values = values
        self._drawers: dict[str, Callable[[Shown, str], str]] = {
            "label": self._label,
            "multi_state_led": self._lamp,
            "action_button": self._button,
            "textupdate": self._reading,
            "textentry": self._reading,
            "combo": self._reading,
        }

    def page(self, page: Page) -> str:
        width, height = self._screens.size(page.file)
        body = self._children(self._screens.roots[page.file], page.file, dict(page.macros))
        background = _rgb(self._screens.roots[page.file].find("background_color"))
        return (
            "<style>*{box-sizing:border-box;margin:0}div{position:absolute;overflow:hidden;white-space:pre}"
            f"</style><body style='background:{background}'>"
            f"<div style='left:0;top:0;width:{width}px;height:{height}px;background:{background}'>{body}</div>"
        )

    def _children(self, holder: ET.Element, file: str, macros: Mapping[str, str]) -> str:
        return "".join(self._widget(Shown(file, element, macros)) for element in holder.findall("widget"))

    def _widget(self, shown: Shown) -> str:
        x, y, width, height = shown.box()
        style = f"left:{x}px;top:{y}px;width:{width}px;height:{height}px;"
        match shown.kind:
            case "group":
                style += f"background:{_rgb(shown.element.find('background_color'))};"
                return f"<div style='{style}'>{self._children(shown.element, shown.file, shown.macros)}</div>"
            case "embedded":
                file = shown.text("file") or ""
                own = {each.tag: expand(each.text or "", shown.own) for each in shown.element.findall("macros/*")}
                inside = self._children(self._screens.roots[file], file, {**shown.macros, **own})
                scroll = "overflow-y:auto;" if shown.text("resize") == "0" else ""
                return f"<div style='{style}{scroll}'>{inside}</div>"
            case "stripchart":
                return f"<div style='{style}'>{self._chart(shown, width, height)}</div>"
            case kind:
                return self._drawers[kind](shown, style)

    def _label(self, shown: Shown, style: str) -> str:
        return _text(style + _font(shown) + "align-items:center;white-space:normal;", shown.text("text") or "")

    def _now(self, pv: str | None) -> Value:
        return self._values[pv][-1] if pv else Value("", 0.0, 0)

    def _reading(self, shown: Shown, style: str) -> str:
        value = self._now(shown.text("pv_name"))
        background = _rgb(shown.element.find("background_color"))
        middle = shown.text("vertical_alignment") == "1" or shown.kind == "combo"
        style += f"background:{background};padding:0 3px;{_font(shown)}{_border(value)}"
        style += f"align-items:{'center' if middle else 'flex-start'};"
        style += f"justify-content:{_ALIGN[shown.text('horizontal_alignment')]};"
        if shown.text("wrap_words") == "true":
            style += "white-space:pre-wrap;overflow-wrap:anywhere;"
        text = f"<{shown.text('pv_name')}>" if value.severity == _DISCONNECTED else value.text
        return _text(style, text + (" ▾" if shown.kind == "combo" else ""))

    def _button(self, shown: Shown, style: str) -> str:
        value = self._now(shown.text("pv_name"))
        background = self._ruled(shown, "background_color") or shown.element.find("background_color")
        dead = value.severity == _DISCONNECTED or self._ruled(shown, "enabled") is not None
        style += f"background:{_rgb(background)};{_font(shown)}{_border(value)}align-items:center;"
        style += "justify-content:center;border-radius:4px;" + ("opacity:.4;" if dead else "")
        return _text(style + ("" if value.severity else "border:1px solid #888;"), shown.text("text") or "")

    def _ruled(self, shown: Shown, prop: str) -> ET.Element | None:
        """Return the value that a rule gives to a property now, None if it gives none."""
        rule = shown.element.find(f"rules/rule[@prop_id='{prop}']")
        if rule is None:
            return None
        values = [self._now(expand(pv.text or "", shown.own)) for pv in rule.findall("pv_name")]
        expression = rule.find("exp")
        if expression is None or any(value.severity == _DISCONNECTED for value in values):
            return None
        text = re.sub(r"!(?!=)", " not ", expression.get("bool_exp", ""))
        text = text.replace("&&", " and ").replace("||", " or ")
        holds = eval(text, {f"pv{i}": value.number for i, value in enumerate(values)})
        return expression.find("value") if holds else None

    def _lamp(self, shown: Shown, style: str) -> str:
        value = self._now(shown.text("pv_name"))
        states = shown.element.findall("states/state")
        if value.severity == _DISCONNECTED:
            label = shown.text("fallback_label") or ""
            return _text(f"{style}background:#c800c8;{_font(shown)}align-items:center;justify-content:center;", label)
        state = states[int(value.number)]
        style += f"background:{_rgb(state.find('color'))};{_font(shown)}{_border(value)}"
        return _text(style + "align-items:center;justify-content:center;", state.findtext("label", ""))

    def _chart(self, shown: Shown, width: int, height: int) -> str:
        left = 64 * len(shown.element.findall("y_axes/y_axis"))
        inner = width - left - 10, height - 56
        parts = [f"<rect x={left} y=8 width={inner[0]} height={inner[1]} fill='#fff' stroke='#888'/>"]
        for number, axis in enumerate(shown.element.findall("y_axes/y_axis")):
            x = left - 64 * number - 44
            style = f"font:14px Liberation Sans;fill:{_rgb(axis.find('color'))}"
            title = html.escape(axis.findtext("title", ""))
            parts.append(
                f"<text x={x} y={height // 2} transform='rotate(-90 {x} {height // 2})' style='{style}'>{title}</text>"
            )
        x = left
        for trace in shown.element.findall("traces/trace"):
            values = [value.number for value in self._values[expand(trace.findtext("y_pv", ""), shown.own)]]
            low, high = min(values), max(values)
            scale = (high - low) or 1.0
            step = inner[0] / max(1, len(values) - 1)
            points = " ".join(
                f"{left + i * step:.0f},{8 + inner[1] * (0.9 - 0.8 * (v - low) / scale):.0f}"
                for i, v in enumerate(values)
            )
            colour = _rgb(trace.find("color"))
            parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width=2 />")
            name = html.escape(trace.findtext("name", ""))
            parts.append(f"<text x={x} y={height - 8} style='font:14px Liberation Sans;fill:{colour}'>{name}</text>")
            x += 24 + 6 * len(name)
        return f"<svg width={width} height={height}>{''.join(parts)}</svg>"


def _text(style: str, text: str) -> str:
    return f'<div class=text style="display:flex;{style}">{html.escape(text)}</div>'


def _font(shown: Shown) -> str:
    font = shown.element.find("font/font")
    assert font is not None, f"{shown} has no font"
    weight = "bold " if font.get("style") == "BOLD" else ""
    colour = _rgb(shown.element.find("foreground_color"))
    return f"font:{weight}{font.get('size')}px '{font.get('family')}';color:{colour};"


def _border(value: Value) -> str:
    return (
        f"border:2px {_BORDERS[value.severity].split()[1]} {_BORDERS[value.severity].split()[0]};"
        if value.severity
        else ""
    )


def _rgb(holder: ET.Element | None) -> str:
    colour = None if holder is None else holder.find("color")
    return "#fff" if colour is None else f"rgb({colour.get('red')},{colour.get('green')},{colour.get('blue')})"


def draw(drawing: Drawing, screens: Screens, page: Page, target: Path) -> None:
    """Write the PNG of one page."""
    width, height = screens.size(page.file)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(f"<!doctype html><meta charset=utf-8>{drawing.page(page)}", encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        command = ["chromium", *options, f"--window-size={width},{height}", f"--screenshot={target}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    """Draw the pages that can be reached from main, one picture each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--opi", type=Path, default=Path("opi"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--label", default="now", help="becomes part of the file names")
    parser.add_argument("--page", action="append", help="only this file; may be repeated")
    parser.add_argument("--ecc", default="CoBo0", help="the ECC server whose page is drawn")
    parser.add_argument("--router", default="data0", help="the data router whose page is drawn")
    arguments = parser.parse_args()
    files = {path.name: path.read_text(encoding="utf-8") for path in arguments.opi.iterdir() if path.is_file()}
    screens = Screens(files)
    pages = [page for page in screens.pages if not page.embedded]
    pages = [page for page in pages if not arguments.page or page.file in arguments.page]
    wanted = {"ecc.bob": arguments.ecc, "router.bob": arguments.router}
    pages = [page for page in pages if page.file not in wanted or dict(page.macros)["NAME"] == wanted[page.file]]
    pages = list({page.file: page for page in reversed(pages)}.values())
    values = asyncio.run(read(pv for widget in screens.widgets() for pv in pvs_of(widget)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for page in pages:
        target = arguments.output / f"{page.file.removesuffix('.bob')}-{arguments.label}.png"
        draw(Drawing(screens, values), screens, page, target)
        print(target)


if __name__ == "__main__":
    main()
