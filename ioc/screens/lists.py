"""Lists with one embedded row for each ECC server, data router or observable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ioc.model import ValueType
from ioc.screens.bob import Box, display, embedded
from ioc.topology.schema import Observable, Topology

_ROW = 30
"""Height of a row; the widths are those of the rows in ``pages/``."""

Row = tuple[str, Mapping[str, str]]
"""The file of a row and its macros."""


def list_files(topology: Topology) -> dict[str, str]:
    """Return the lists by file name."""
    required = set(topology.runs.require)
    servers = [
        ("ecc_row.bob", {"NAME": each.name, "RESUME": str(int(each.supports_resume))}) for each in topology.ecc_servers
    ]
    routers = [("router_row.bob", {"NAME": each.name}) for each in topology.data_routers]
    observables = [(each, _macros(each, required=each.name in required)) for each in topology.observables]
    return {
        "ecc_list.bob": _list("ECC servers", 612, servers),
        "router_list.bob": _list("Data routers", 592, routers),
        "value_list.bob": _list("Observables", 426, [("value_row.bob", macros) for _, macros in observables]),
        "statistic_list.bob": _list(
            "Statistics of the observables", 1176, [("statistic_row.bob", macros) for _, macros in observables]
        ),
        "manual_list.bob": _list(
            "Manual observables",
            636,
            [(_manual_row(each), macros) for each, macros in observables if each.pv is None],
        ),
    }


def title_of(observable: Observable) -> str:
    """Return the label or name, without characters that Phoebus would interpret as a macro."""
    return (observable.label or observable.name).replace("$(", "(").replace("${", "{")


def _macros(observable: Observable, *, required: bool) -> dict[str, str]:
    """Return the macros of an observable's rows; a missing manual value is an alarm only if runs require it."""
    return {
        "NAME": observable.name,
        "LABEL": title_of(observable),
        "FOLLOWED": str(observable.pv is not None).lower(),
        "QUIET": str(not required).lower(),
    }


def _manual_row(observable: Observable) -> str:
    """Return the file of the row for entering a value; texts are written as an array of characters.

    Phoebus sends as many bytes of a DBR_STRING as it has characters, which cuts text that is not ASCII; so a text is
    written to ``.VAL$``, an array of characters.
    """
    return "manual_text_row.bob" if observable.type is ValueType.String else "manual_row.bob"


def _list(title: str, width: int, rows: Iterable[Row]) -> str:
    widgets = [
        embedded(macros["NAME"], file, Box(0, _ROW * i, width, _ROW), macros) for i, (file, macros) in enumerate(rows)
    ]
    return display(title, width, _ROW * max(1, len(widgets)), widgets)
