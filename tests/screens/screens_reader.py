"""Reads display files as Phoebus does: macros through embedding and links, places relative to what holds a widget."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

_MACRO = re.compile(r"\$[({](?P<name>[A-Za-z_][\w\[\].]*)(?:=(?P<default>[^)}]*))?[)}]")
_DEFAULT_SIZES = {"action_button": (100, 30), "combo": (100, 30), "embedded": (400, 300), "group": (300, 200)}
_ESCAPED = re.compile(r"\\\$")


class UndefinedMacroError(Exception):
    """A macro has neither a value nor a default."""


def expand(text: str, macros: Mapping[str, str]) -> str:
    """Return `text` with its macros replaced."""

    def value(match: re.Match[str]) -> str:
        found = macros.get(match["name"], match["default"])
        if found is None:
            raise UndefinedMacroError(f"{match[0]} in {text!r}")
        return found

    return _MACRO.sub(value, _ESCAPED.sub("\0", text)).replace("\0", "$")


@dataclass(frozen=True)
class Shown:
    """One widget of one display, as shown with these macros."""

    file: str
    element: ET.Element
    macros: Mapping[str, str]

    @property
    def kind(self) -> str:
        return self.element.get("type", "")

    @cached_property
    def own(self) -> dict[str, str]:
        """Macros that texts of this widget may use: the display's and its own PV."""
        found = dict(self.macros)
        pv = self.element.findtext("pv_name")
        if pv is not None:
            found["pv_name"] = expand(pv, self.macros)
            found["pv_value"] = "a value"
        return found

    def text(self, tag: str) -> str | None:
        """Return the expanded text of a property, None if the widget has none."""
        found = self.element.findtext(tag)
        return None if found is None else expand(found, self.own)

    def box(self) -> tuple[int, int, int, int]:
        """Return place and size; Phoebus leaves out what is the default of a widget."""
        width, height = _DEFAULT_SIZES.get(self.kind, (100, 20))
        defaults = {"x": 0, "y": 0, "width": width, "height": height}
        x, y, width, height = (int(self.element.findtext(tag, default)) for tag, default in defaults.items())
        return x, y, width, height

    def ruled(self, prop: str, values: Mapping[str, tuple[float, int]]) -> str | None:
        """Return what a rule sets `prop` to, as Phoebus evaluates it; None if no rule does.

        `values` are numbers and severities of the PVs by their names without ``$(P)``.
        """
        for rule in self.element.findall(f"rules/rule[@prop_id='{prop}']"):
            names = [expand(pv.text or "", {**self.own, "P": ""}) for pv in rule.findall("pv_name")]
            known: dict[str, float] = {}
            for i, name in enumerate(names):
                known[f"pv{i}"], known[f"pvSev{i}"] = values[name]
            for expression in rule.findall("exp"):
                text = expand(expression.get("bool_exp", ""), self.own)
                text = re.sub(r"!(?!=)", " not ", text).replace("&&", " and ").replace("||", " or ")
                if eval(text, known):
                    return expression.findtext("value")
        return None

    @property
    def is_control(self) -> bool:
        """Whether it writes a PV."""
        scripts = self.element.find("actions/action[@type='execute']") is not None
        return self.kind in {"textentry", "combo"} or scripts or any(self.written_pvs())

    def written_pvs(self) -> Iterator[tuple[str, str]]:
        """Yield (PV, value) of every write_pv action."""
        for action in self.element.findall("actions/action[@type='write_pv']"):
            yield expand(action.findtext("pv_name", ""), self.own), expand(action.findtext("value", ""), self.own)

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.element.findtext('name')!r} {dict(self.macros)}"


@dataclass(frozen=True)
class Page:
    """One display with the macros it is shown with."""

    file: str
    macros: tuple[tuple[str, str], ...]
    clicks: int
    """From the main screen."""
    embedded: bool


class Screens:
    """Everything that can be reached from main.bob."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.roots = {
            name: ET.fromstring(text.encode()) for name, text in files.items() if name.endswith((".bob", ".bcf"))
        }
        self.pages = self._reach()

    def _reach(self) -> list[Page]:
        """Return each display once for each set of values of the macros that it uses."""
        first = Page("main.bob", (), 0, embedded=False)
        pages = {(first.file, first.macros): first}
        todo = [first]
        while todo:
            page = todo.pop(0)
            for widget in self.widgets_of(page):
                for file, macros, clicks in self.leads_to(widget):
                    given = {**widget.macros, **macros}
                    key = (file, tuple(sorted((n, v) for n, v in given.items() if f"$({n}" in self.files[file])))
                    if key not in pages:
                        pages[key] = Page(*key, page.clicks + clicks, embedded=clicks == 0)
                        todo.append(pages[key])
        return list(pages.values())

    @staticmethod
    def leads_to(widget: Shown) -> Iterator[tuple[str, dict[str, str], int]]:
        """Yield (file, macros, clicks) of what a widget embeds, without a click, or opens."""
        if widget.kind == "embedded":
            yield widget.text("file") or "", _macros(widget.element, widget.own), 0
        for action in widget.element.findall("actions/action[@type='open_display']"):
            yield expand(action.findtext("file", ""), widget.own), _macros(action, widget.own), 1

    def widgets_of(self, page: Page) -> list[Shown]:
        """Return all widgets of a page, those in groups too."""
        return [Shown(page.file, element, dict(page.macros)) for element in self.roots[page.file].iter("widget")]

    def shown_on(self, page: Page) -> Iterator[Shown]:
        """Yield all widgets that are seen on a page, those of embedded displays too."""
        for widget in self.widgets_of(page):
            yield widget
            for file, macros, clicks in self.leads_to(widget):
                if clicks == 0:
                    inner = tuple(sorted({**widget.macros, **macros}.items()))
                    yield from self.shown_on(Page(file, inner, page.clicks, embedded=True))

    def widgets(self) -> Iterator[Shown]:
        """Yield every widget of every page that can be reached, with its macros."""
        for page in self.pages:
            yield from self.widgets_of(page)

    def size(self, file: str) -> tuple[int, int]:
        root = self.roots[file]
        return int(root.findtext("width", "0")), int(root.findtext("height", "0"))


def _macros(element: ET.Element, known: Mapping[str, str]) -> dict[str, str]:
    return {each.tag: expand(each.text or "", known) for each in element.findall("macros/*")}


def pvs_of(widget: Shown) -> Iterator[str]:
    """Yield every PV that a widget connects to."""
    for path in ("pv_name", "rules/rule/pv_name", "scripts/script/pv_name", "traces/trace/x_pv", "traces/trace/y_pv"):
        for element in widget.element.findall(path):
            pv = expand(element.text or "", widget.own)
            if not pv.startswith("sim://"):  # made by Phoebus
                yield pv
    for pv, _ in widget.written_pvs():
        yield pv
