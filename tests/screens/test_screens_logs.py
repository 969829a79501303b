"""The log of the IOC on the pages: short local times everywhere, and above the lines of each day its date."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import pytest
from screens_reader import Screens, Shown, pvs_of


def _showing_the_log(screens: Screens) -> list[Shown]:
    return [each for each in screens.widgets() if any(pv.endswith("Log:Lines") for pv in pvs_of(each))]


def test_no_page_shows_the_lines_of_the_log_as_they_are(screens: Screens) -> None:
    """`Log:Lines` has dates and offsets for programs; on all three pages a script makes short lines of it."""
    logs = _showing_the_log(screens)
    assert {each.file for each in logs} == {"history.bob", "expert.bob", "log_list.bob"}
    assert [each for each in logs if (each.text("pv_name") or "").endswith("Log:Lines")] == []


class _Widget:
    """What a script does to a widget."""

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {}

    def setPropertyValue(self, name: str, value: Any) -> None:
        self.properties[name] = value


def _run(screens: Screens, file: str, text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that the script of a page shows, with stand-ins for what it calls of Phoebus."""
    (log,) = {each.file: each for each in _showing_the_log(screens) if each.file == file}.values()
    found: dict[str, _Widget] = {}

    def find(_: object, name: str) -> _Widget:
        return found.setdefault(name, _Widget())

    parts = {
        "org.csstudio.display.builder.model.persist": {"WidgetColorService": types.SimpleNamespace(getColor=str)},
        "org.csstudio.display.builder.runtime.script": {
            "PVUtil": types.SimpleNamespace(getString=lambda pv, whole: text),
            "ScriptUtil": types.SimpleNamespace(findWidgetByName=find),
        },
        "org.epics.vtype": {
            "Alarm": types.SimpleNamespace(none=str),
            "Time": types.SimpleNamespace(now=str),
            "VString": types.SimpleNamespace(of=lambda value, alarm, now: value),
        },
        "org.phoebus.pv": {"PV": types.SimpleNamespace(isDisconnected=lambda value: False)},
    }
    for name, names in parts.items():
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        vars(sys.modules[name]).update(names)
    widget = _Widget()
    script = log.element.findtext("scripts/script/text", "")
    exec(script, {"widget": widget, "pvs": [types.SimpleNamespace(read=str)]})
    if "pv_value" in widget.properties:
        return widget.properties["pv_value"].split("\n")
    rows = [
        [find(widget, f"{part} {i}").properties["text"] for part in ("time", "severity", "text")] for i in range(20)
    ]
    return [" ".join(filter(None, row)) for row in rows if any(row)]


@pytest.mark.parametrize("file", ["history.bob", "expert.bob", "log_list.bob"])
def test_a_line_has_its_time_of_day_and_each_day_its_date(
    screens: Screens, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day has its date, also today: no line of yesterday looks new when midnight passes without another one."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}T12:00:01-05:00 info Run: run 3 is Running",
        "2026-03-04T23:59:59-05:00 error ECC:CoBo0: lost",
        "2026-03-04T08:00:00-05:00 info Run: run 2 is complete",
        "2026-03-03T08:00:00-05:00 info Run: run 1 is complete",
    ]
    assert _run(screens, file, "\n".join(lines), monkeypatch) == [
        time.strftime("%d %b"),
        "12:00:01 info Run: run 3 is Running",
        "04 Mar",
        "23:59:59 error ECC:CoBo0: lost",
        "08:00:00 info Run: run 2 is complete",
        "03 Mar",
        "08:00:00 info Run: run 1 is complete",
    ]
    assert _run(screens, file, "", monkeypatch) in ([], [""])


@pytest.mark.parametrize("file", ["history.bob", "expert.bob", "log_list.bob"])
@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("2026-03-01T00:00:00+01:00", "2026-02-28T23:59:59+01:00"),
        ("2027-01-01T00:00:00+01:00", "2026-12-31T23:59:59+01:00"),
        ("2026-12-04T08:00:00+01:00", "2026-11-04T09:00:00+01:00"),
        ("2026-03-29T00:00:00+01:00", "2026-03-28T23:59:59+01:00"),
        ("2026-10-25T02:00:00+01:00", "2026-10-24T23:59:59+02:00"),
    ],
)
def test_the_day_is_told_by_the_local_date_of_the_line(
    screens: Screens, file: str, newer: str, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At midnight, the end of a month and of a year, the same day of two months, and where summer time changes."""
    shown = _run(screens, file, f"{newer} info Run: new\n{older} info Run: old", monkeypatch)
    dates = [time.strftime("%d %b", time.strptime(each[:10], "%Y-%m-%d")) for each in (newer, older)]
    assert shown == [dates[0], f"{newer[11:19]} info Run: new", dates[1], f"{older[11:19]} info Run: old"]


@pytest.mark.parametrize("file", ["history.bob", "expert.bob", "log_list.bob"])
def test_the_repeated_hour_of_the_end_of_summer_time_stays_in_its_day(
    screens: Screens, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times go back by an hour in it; the lines are in their order, under one date."""
    lines = "2026-10-25T02:00:00+01:00 info Run: after\n2026-10-25T02:59:59+02:00 info Run: before"
    assert _run(screens, file, lines, monkeypatch) == [
        "25 Oct",
        "02:00:00 info Run: after",
        "02:59:59 info Run: before",
    ]
