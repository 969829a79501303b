"""Lists of like things: a template for one row, and a list of all rows, which scrolls where it does not fit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from ioc.model import ValueType
from ioc.screens.bob import Box, display
from ioc.screens.widgets import caption, embedded, entry, label, link, reading, text
from ioc.topology.schema import Observable, Topology

ROW = 30
"""Height of a row."""
SERVERS_WIDTH = 616
ROUTERS_WIDTH = 596
VALUES_WIDTH = 430
STATISTICS_WIDTH = 1180
MANUAL_WIDTH = 640
SCROLL_BAR = 16
"""What a list needs beside its rows where it is longer than its place."""

_GAP = 4
_HEADINGS = 24

Column = tuple[str, int]
"""Heading and width."""
SERVER_COLUMNS: Sequence[Column] = (("Server", 124), ("State", 106), ("Doing now", 112), ("Last message", 262))
ROUTER_COLUMNS: Sequence[Column] = (
    ("Router", 112),
    ("Process", 70),
    ("Staging", 60),
    ("Files", 48),
    ("Rate", 92),
    ("Disk free", 84),
    ("Last message", 130),
)
VALUE_COLUMNS: Sequence[Column] = (("Quantity", 244), ("Now", 178))
STATISTIC_COLUMNS: Sequence[Column] = (
    ("Quantity", 240),
    ("Now", 160),
    ("Connected", 84),
    ("Minimum in run", 138),
    ("Mean in run", 138),
    ("Maximum in run", 138),
    ("Samples", 84),
    ("Follows the PV", 198),
)
MANUAL_COLUMNS: Sequence[Column] = (("Quantity", 240), ("Value", 392))


def column_headings(columns: Sequence[Column], x: int, y: int) -> list[ET.Element]:
    return [caption(title, box) for (title, _), box in zip(columns, _cells(columns, x, y, 22), strict=True)]


def listed(file: str, columns: Sequence[Column], count: int, box: Box) -> list[ET.Element]:
    """Return a list of `count` rows with headings of its columns above, which scrolls if it does not fit into `box`."""
    room = box.height - _HEADINGS
    place = Box(box.x, box.y + _HEADINGS, box.width, room)
    return [
        *column_headings(columns, box.x, box.y),
        embedded(file.removesuffix(".bob"), file, place, scrolls=count * ROW > room),
    ]


def list_files(topology: Topology, p: str) -> dict[str, str]:
    """Return the rows and lists by file name; `p` is the prefix as a macro."""
    servers = [{"NAME": server.name} for server in topology.ecc_servers]
    routers = [{"NAME": router.name} for router in topology.data_routers]
    observables = topology.observables
    return {
        "ecc_row.bob": _server_row(p),
        "ecc_list.bob": _list("ECC servers", SERVERS_WIDTH, [("ecc_row.bob", each) for each in servers]),
        "router_row.bob": _router_row(p),
        "router_list.bob": _list("Data routers", ROUTERS_WIDTH, [("router_row.bob", each) for each in routers]),
        "value_row.bob": _value_row(p),
        "value_list.bob": _list(
            "Observables", VALUES_WIDTH, [("value_row.bob", _macros(each)) for each in observables]
        ),
        "statistic_row.bob": _statistic_row(p, numeric=True),
        "statistic_text_row.bob": _statistic_row(p, numeric=False),
        "statistic_list.bob": _list(
            "Statistics of the observables",
            STATISTICS_WIDTH,
            [(_statistic_file(each), _macros(each)) for each in observables],
        ),
        "manual_row.bob": _manual_row(p, as_text=False),
        "manual_text_row.bob": _manual_row(p, as_text=True),
        "manual_list.bob": _list(
            "Manual observables",
            MANUAL_WIDTH,
            [(_manual_file(each), _macros(each)) for each in observables if each.pv is None],
        ),
    }


def is_numeric(observable: Observable) -> bool:
    return observable.type in {ValueType.Float, ValueType.Integer}


def title_of(observable: Observable) -> str:
    """Return what people call it, without what Phoebus would take for a macro."""
    return (observable.label or observable.name).replace("$(", "(").replace("${", "{")


def _macros(observable: Observable) -> dict[str, str]:
    return {"NAME": observable.name, "LABEL": title_of(observable)}


def _statistic_file(observable: Observable) -> str:
    return "statistic_row.bob" if is_numeric(observable) else "statistic_text_row.bob"


def _manual_file(observable: Observable) -> str:
    return "manual_text_row.bob" if observable.type is ValueType.String else "manual_row.bob"


def _list(title: str, width: int, rows: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    widgets = [
        embedded(given["NAME"], file, Box(0, ROW * i, width, ROW), scrolls=False, given=given)
        for i, (file, given) in enumerate(rows)
    ]
    return display(title, width, max(ROW, ROW * len(rows)), widgets)


def _cells(columns: Sequence[Column], x: int = 0, y: int = 1, height: int = ROW - 2) -> list[Box]:
    boxes: list[Box] = []
    for _, width in columns:
        boxes.append(Box(x, y, width - _GAP, height))
        x += width
    return boxes


def _server_row(p: str) -> str:
    base = f"{p}ECC:$(NAME):"
    name, state, doing, message = _cells(SERVER_COLUMNS)
    return display(
        "ECC server",
        SERVERS_WIDTH,
        ROW,
        [
            link("$(NAME)", "ecc.bob", name, given={"NAME": "$(NAME)"}),
            reading(f"{base}State", state),
            reading(f"{base}Transition", doing),
            text(f"{base}Message", message),
        ],
    )


def _router_row(p: str) -> str:
    base = f"{p}Router:$(NAME):"
    name, online, clean, files, rate, disk, message = _cells(ROUTER_COLUMNS)
    return display(
        "Data router",
        ROUTERS_WIDTH,
        ROW,
        [
            link("$(NAME)", "router.bob", name, given={"NAME": "$(NAME)"}),
            reading(f"{base}Online", online),
            reading(f"{base}Clean", clean),
            reading(f"{base}FileCount", files),
            reading(f"{base}RateMBps", rate),
            reading(f"{base}DiskFreeGB", disk),
            text(f"{base}Message", message),
        ],
    )


def _value_row(p: str) -> str:
    name, now = _cells(VALUE_COLUMNS)
    return display("Observable", VALUES_WIDTH, ROW, [label("$(LABEL)", name), reading(f"{p}Obs:$(NAME):Value", now)])


def _statistic_row(p: str, *, numeric: bool) -> str:
    base = f"{p}Obs:$(NAME):"
    name, now, connected, *numbers, samples, source = _cells(STATISTIC_COLUMNS)
    statistics = zip(("RunMin", "RunMean", "RunMax"), numbers, strict=True) if numeric else ()
    return display(
        "Observable",
        STATISTICS_WIDTH,
        ROW,
        [
            label("$(LABEL)", name),
            reading(f"{base}Value", now),
            reading(f"{base}Connected", connected),
            *(reading(f"{base}{each}", box) for each, box in statistics),
            reading(f"{base}Samples", samples),
            text(f"{base}Source", source),
        ],
    )


def _manual_row(p: str, *, as_text: bool) -> str:
    """Return the row of what is typed.

    Phoebus sends as many bytes of a DBR_STRING as it has characters, which cuts what is not ASCII; so a string is
    written as the array of characters that a record's ``.VAL$`` is. A bare $ would be taken for a macro.
    """
    name, value = _cells(MANUAL_COLUMNS)
    pv = f"{p}Obs:$(NAME):Value"
    typed = entry(pv + r".VAL\$", value, as_text=True, tooltip="") if as_text else entry(pv, value, as_text=False)
    return display("Manual observable", MANUAL_WIDTH, ROW, [label("$(LABEL)", name), typed])
