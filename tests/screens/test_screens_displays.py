"""Every display is what Phoebus 5.0.5 reads without a word, and fits the IOC of the same topology."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from screens_reader import Screens, Shown, expand, pvs_of

from ioc.app.listing import PvDescription
from ioc.model import PVA_SCHEME

ROOT = Path(__file__).resolve().parents[2]
KNOWN = json.loads((ROOT / "tests/fixtures/phoebus-widgets.json").read_text(encoding="utf-8"))

SCROLL_BAR = 20
"""What a list needs beside its rows where it is longer than its place."""

HARMLESS = {"RefreshLog", "RefreshConfigs", "Clear"}
"""Commands that change nothing at the detector: no question is asked."""

STRUCTURES = {
    "actions/action": {"description", "pv_name", "value", "file", "target", "macros", "script"},
    "scripts/script": {"text", "pv_name"},
    "rules/rule": {"exp", "pv_name"},
    "rules/rule/exp": {"value"},
    "states/state": {"value", "label", "color"},
    "y_axes/y_axis": {
        "title",
        "autoscale",
        "log_scale",
        "minimum",
        "maximum",
        "show_grid",
        "title_font",
        "scale_font",
        "on_right",
        "visible",
        "color",
    },
    "traces/trace": {
        "name",
        "x_pv",
        "y_pv",
        "axis",
        "trace_type",
        "color",
        "line_width",
        "point_type",
        "point_size",
        "visible",
    },
}


def test_only_widgets_and_properties_that_phoebus_knows(screens: Screens) -> None:
    """ModelReader skips an unknown property without a word: none may be written."""
    for name, root in screens.roots.items():
        for element in root.iter("widget"):
            kind = element.get("type", "")
            assert kind in KNOWN, f"{name}: widget type {kind!r} is unknown"
            assert element.get("version") == KNOWN[kind]["version"], f"{name}: {kind} has an old version"
            unknown = {child.tag for child in element} - set(KNOWN[kind]["props"]) - {"widget"}
            assert not unknown, f"{name}: {kind} {element.findtext('name')!r} has {unknown}"
            if element.find("widget") is not None:
                assert "children" in KNOWN[kind]["props"], f"{name}: {kind} cannot hold widgets"


def test_only_known_parts_of_actions_rules_states_axes_and_traces(screens: Screens) -> None:
    """What is inside a structured property is known to Phoebus, too."""
    for name, root in screens.roots.items():
        for element in root.iter("widget"):
            for path, allowed in STRUCTURES.items():
                for part in element.findall(path):
                    unknown = {child.tag for child in part} - allowed
                    assert not unknown, f"{name}: {path} of {element.findtext('name')!r} has {unknown}"


def test_every_macro_is_defined_and_every_file_present(screens: Screens) -> None:
    """With the macros that a display gets from those that show it, no text keeps a macro without a value.

    Only the template of a row may be without use, where there is nothing of its kind.
    """
    reached = {page.file for page in screens.pages}
    others = {name for name in screens.roots if name.endswith(".bob")} - reached
    assert all(name.endswith("_row.bob") for name in others), f"{others} cannot be reached"
    for widget in screens.widgets():
        for element in _own(widget.element):
            if element.text:
                expand(element.text, widget.own)


def _own(element: ET.Element) -> Iterator[ET.Element]:
    """Yield what is part of a widget and not of the widgets in it."""
    yield element
    for child in element:
        if child.tag != "widget":
            yield from _own(child)


def test_everything_is_two_clicks_from_main(screens: Screens) -> None:
    """No page is further away than a link on a page that main has a link to."""
    clicks: dict[tuple[str, str], int] = {}
    for page in screens.pages:
        key = page.file, dict(page.macros).get("NAME", "")
        clicks[key] = min(page.clicks, clicks.get(key, page.clicks))
    assert max(clicks.values()) <= 2


def test_every_pv_is_served(screens: Screens, served: dict[str, PvDescription]) -> None:
    """Each PV of a widget, rule, trace or action is one of the IOC's; a table is one by PVAccess."""
    named = {f"{widget}: {pv}": pv for widget in screens.widgets() for pv in pvs_of(widget)}
    assert {each for each, pv in named.items() if pv.removeprefix(PVA_SCHEME) not in served} == set()
    tables = {pv for pv in named.values() if served[pv.removeprefix(PVA_SCHEME)].type == "table"}
    assert tables == {pv for pv in named.values() if pv.startswith(PVA_SCHEME)}


def test_scripts_use_what_phoebus_offers_to_scripts(screens: Screens) -> None:
    """Scripts import the model, the helpers for scripts, PVs and their types: the rest may change with each release."""
    offered = ("org.csstudio.display.builder.model", "org.csstudio.display.builder.runtime.script", "org.phoebus.pv")
    found: set[str] = set()
    for root in screens.roots.values():
        for script in root.iter("script"):
            found |= set(re.findall(r"^(?:from|import) +(org\.[\w.]+)", script.findtext("text", ""), re.MULTILINE))
    assert {each for each in found if not each.startswith((*offered, "org.epics.vtype"))} == set()
    assert set(offered) & {each.removesuffix(".persist") for each in found} == set(offered), "scripts are found"


def test_the_prefix_can_be_given_on_the_command_line(screens: Screens) -> None:
    """Every PV name begins with the macro P, which no display defines itself."""
    for root in screens.roots.values():
        assert root.find("macros") is None
        assert not [element for element in root.iter("macros") if element.find("P") is not None]
    for widget in screens.widgets():
        name = widget.element.findtext("pv_name")
        assert not name or name.startswith("$(P=")


def test_what_is_written_can_be_written(screens: Screens, served: dict[str, PvDescription]) -> None:
    """Entries and choices are on writable PVs, commands write the name of a state."""
    for widget in screens.widgets():
        pv = widget.text("pv_name")
        if widget.kind in {"textentry", "combo"}:
            assert pv is not None
            assert served[pv].writable, f"{widget}: {pv} is read only"
        if widget.kind == "combo":
            assert served[pv or ""].type == "enum", f"{widget}: {pv} has no states to choose from"
        for name, value in widget.written_pvs():
            assert served[name].writable, f"{widget}: {name} is read only"
            assert value in served[name].states, f"{widget}: {value!r} is no state of {name}"


def test_texts_are_shown_as_texts_and_numbers_as_numbers(screens: Screens, served: dict[str, PvDescription]) -> None:
    """A CHAR waveform without the string format would be a row of numbers; what has no PV is filled by a script."""
    for widget in screens.widgets():
        if widget.kind in {"textupdate", "textentry"}:
            pv = widget.text("pv_name") or ""
            if not pv:
                assert widget.element.find("scripts/script") is not None, f"{widget} shows nothing"
                continue
            assert (widget.text("format") == "6") == (served[pv].type == "text"), f"{widget}: {pv}"


def test_strings_are_typed_as_arrays_of_characters(screens: Screens, served: dict[str, PvDescription]) -> None:
    """Phoebus cuts a DBR_STRING that is not ASCII: it sends as many bytes as there are characters."""
    for widget in screens.widgets():
        if widget.kind == "textentry":
            pv = widget.text("pv_name") or ""
            assert served[pv].type != "string", f"{widget}: {pv}"


def test_states_with_colours_are_states_of_the_pv(screens: Screens, served: dict[str, PvDescription]) -> None:
    """A coloured lamp has an entry for each state of its PV and no other."""
    for widget in screens.widgets():
        if widget.kind == "multi_state_led":
            states = served[widget.text("pv_name") or ""].states
            values = [int(each.text or "") for each in widget.element.findall("states/state/value")]
            assert values == list(range(len(states)))


def test_every_control_fails_closed(screens: Screens) -> None:
    """A button, entry or choice is disabled in the file; only a rule enables it, and only while the IOC answers."""
    controls = 0
    for widget in screens.widgets():
        if not widget.is_control:
            continue
        controls += 1
        assert widget.text("enabled") == "false", f"{widget} can be operated before its rule was evaluated"
        rules = widget.element.findall("rules/rule[@prop_id='enabled']")
        assert [value.text for rule in rules for value in rule.findall("exp/value")] == ["true"], f"{widget}"
        assert all(rule.findall("pv_name") for rule in rules), f"{widget}: its rule depends on no PV"
    assert controls > 20


def test_commands_ask_before_they_act(screens: Screens) -> None:
    """Whatever changes the detector, a run or an installation is confirmed first."""
    asked = 0
    for widget in screens.widgets():
        for pv, _ in widget.written_pvs():
            if pv.rpartition(":")[2] in HARMLESS:
                continue
            assert widget.text("show_confirm_dialog") == "true", f"{widget} does not ask"
            assert (widget.text("confirm_message") or "").endswith("?"), f"{widget} asks nothing"
            asked += 1
    assert asked > 10


def test_nothing_overlaps_or_leaves_its_place(screens: Screens) -> None:
    """Within a group or display all widgets lie inside and apart."""
    for name, root in screens.roots.items():
        holders = [(root, *screens.size(name))]
        holders += [
            (group, *Shown(name, group, {}).box()[2:]) for group in root.iter("widget") if group.get("type") == "group"
        ]
        for holder, width, height in holders:
            children = [Shown(name, child, {}) for child in holder.findall("widget")]
            for child in children:
                x, y, w, h = child.box()
                assert w > 0, f"{child} is empty"
                assert h > 0, f"{child} is empty"
                assert 0 <= x <= x + w <= width, f"{child} is outside"
                assert 0 <= y <= y + h <= height, f"{child} is outside"
            for one, other in combinations(children, 2):
                if _take_turns(one, other):
                    continue
                assert not _overlap(one.box(), other.box()), f"{one} and {other} overlap"


def _take_turns(one: Shown, other: Shown) -> bool:
    """Whether two widgets in one place exclude each other by rules, as a value and the words in its place."""
    if one.box() != other.box():
        return False
    pvs = {each.element.findtext("rules/rule[@prop_id='visible']/pv_name") for each in (one, other)}
    if None in pvs or len(pvs) > 1:
        return False
    seen = [_seen(each) for each in (one, other)]
    return not any(both for both in zip(*seen, strict=True) if all(both))


def _seen(widget: Shown) -> list[bool]:
    """Return whether a widget is seen for each number and severity of the PV of its rule."""
    widget = Shown(widget.file, widget.element, {"NAME": "x"})
    name = expand(widget.element.findtext("rules/rule[@prop_id='visible']/pv_name", ""), {"P": "", "NAME": "x"})
    values = [(float(number), severity) for number in range(-1, 10) for severity in range(4)]
    ruled = [widget.ruled("visible", {name: value}) for value in values]
    return [(found or widget.text("visible") or "true") == "true" for found in ruled]


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def test_embedded_displays_scroll_only_downwards(screens: Screens) -> None:
    """A list that is longer than its place can be scrolled and has room for the bar; nothing is too wide."""
    for widget in screens.widgets():
        if widget.kind == "embedded":
            width, height = screens.size(widget.text("file") or "")
            _, _, room, tall = widget.box()
            longer = height > tall
            assert widget.text("resize") == "2" or widget.element.find("resize") is None, f"{widget}"
            assert not longer or widget.element.find("resize") is None, f"{widget} is {tall} high, its content {height}"
            needed = width + SCROLL_BAR if longer else width
            assert needed <= room, f"{widget} is {room} wide, but needs {needed}"


def test_text_is_large_enough(screens: Screens) -> None:
    """14 pixels can be read from two metres on a screen of 1920 by 1080."""
    sizes = [
        float(font.get("size", "0"))
        for root in screens.roots.values()
        for font in root.iter("font")
        if "size" in font.attrib
    ]
    assert sizes
    assert min(sizes) >= 14


def test_named_colours_fonts_and_classes_are_defined(screens: Screens, files: dict[str, str]) -> None:
    """Each name that a display uses is in the definition files, with the values that the display carries."""
    colours = dict(
        line.split(" = ") for line in files["attpc-colors.def"].splitlines() if " = " in line and line[0] != "/"
    )
    fonts = dict(
        line.split(" = ") for line in files["attpc-fonts.def"].splitlines() if " = " in line and line[0] != "/"
    )
    classes = {
        (element.get("type"), element.findtext("name")) for element in screens.roots["attpc-classes.bcf"].iter("widget")
    }
    for name, root in screens.roots.items():
        for colour in root.iter("color"):
            if "name" in colour.attrib:
                rgb = ", ".join(colour.attrib[part] for part in ("red", "green", "blue"))
                assert colours[colour.attrib["name"]] == rgb, name
        for font in root.iter("font"):
            if "name" in font.attrib:
                family, style, size = fonts[font.attrib["name"]].split("-")
                assert (family, style.upper(), float(size)) == (
                    font.attrib["family"],
                    font.attrib["style"],
                    float(font.attrib["size"]),
                ), name
        for element in root.iter("widget"):
            style = element.findtext("class")
            assert style is None or (element.get("type"), style) in classes, f"{name}: class {style!r}"


def test_every_page_says_that_the_detector_is_simulated(screens: Screens) -> None:
    """The banner is on each page that a click leads to."""
    for page in {page.file: page for page in screens.pages}.values():
        if not page.embedded:
            shown = [pv for widget in screens.shown_on(page) for pv in pvs_of(widget) if pv.endswith("IOC:Simulated")]
            assert shown, f"{page.file} has no banner"
