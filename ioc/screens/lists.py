"""Lists with one embedded row for each ECC server, data router or observable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ioc.screens.bob import PANEL, Box, caption, display, embedded
from ioc.topology.schema import Observable, Topology

Row = Mapping[str, str]
"""The macros of a row."""
_ROWS = 12
"""The most rows of components that fit on the main screen; more are shown as tiles, several in a row."""
_CAPTION = 342, 24
"""Size of the place of the captions of the ECC servers; that of the data routers is a little wider."""


class Kind(NamedTuple):
    """A page of a row in ``pages/``, with its size."""

    file: str
    width: int
    height: int
    columns: int = 1


_SERVERS = Kind("ecc_row.bob", 540, 33), Kind("ecc_short_row.bob", 172, 33, 3)
_ROUTERS = Kind("router_row.bob", 506, 33), Kind("router_short_row.bob", 160, 33, 3)
_VALUES, _MANUAL_VALUES = Kind("value_row.bob", 350, 26), Kind("manual_value_row.bob", 350, 26)
_STATISTICS, _MANUAL_STATISTICS = Kind("statistic_row.bob", 1176, 30), Kind("manual_statistic_row.bob", 1176, 30)
_MANUAL = Kind("manual_row.bob", 872, 34)
_INTERLOCKS, _STRIP = Kind("interlock_row.bob", 1856, 46), Kind("interlock_tile_row.bob", 206, 28, 2)
_PARTNER = Kind("partner_tile_row.bob", 206, 28)


def list_files(topology: Topology) -> dict[str, str]:
    required = set(topology.runs.require)
    servers = [
        {"NAME": each.name, "RESUME": str(int(each.supports_resume)), "LOG": each.log_path or ""}
        for each in topology.ecc_servers
    ]
    routers = [{"NAME": each.name, "LOG": each.log_path or ""} for each in topology.data_routers]
    observables = [(each, _macros(each, required=each.name in required)) for each in topology.observables]
    values = [(_MANUAL_VALUES if each.pv is None else _VALUES, macros) for each, macros in observables]
    statistics = [(_MANUAL_STATISTICS if each.pv is None else _STATISTICS, macros) for each, macros in observables]
    manual = [(_MANUAL, macros) for each, macros in observables if each.pv is None]
    interlocks = [{"NAME": each.name} for each in topology.interlocks]
    strip = [(_STRIP, macros) for macros in interlocks]
    strip += [(_PARTNER, {"NAME": each.name}) for each in topology.partners]
    return {
        **_components("ecc", "ECC servers", *_SERVERS, servers),
        **_components("router", "Data routers", *_ROUTERS, routers),
        "value_list.bob": _list("Observables", _VALUES, values),
        "statistic_list.bob": _list("Statistics", _STATISTICS, statistics),
        "interlock_list.bob": _list("Interlocks", _INTERLOCKS, [(_INTERLOCKS, macros) for macros in interlocks]),
        "interlock_strip.bob": _list("Interlocks", _STRIP, strip),
        "manual_list.bob": _list("Manual observables", _MANUAL, manual),
    }


def title_of(observable: Observable) -> str:
    """Return the label or name, without characters that Phoebus would interpret as a macro."""
    return (observable.label or observable.name).replace("$(", "(").replace("${", "{")


def _macros(observable: Observable, *, required: bool) -> dict[str, str]:
    """Return the macros of an observable's rows; a missing manual value is an alarm only if runs require it."""
    return {
        "NAME": observable.name,
        "LABEL": title_of(observable),
        "QUIET": str(not required).lower(),
        "UNITS": observable.units,
    }


def _components(name: str, title: str, row: Kind, tile: Kind, components: Sequence[Row]) -> dict[str, str]:
    """Return the list of rows, or of tiles, whose captions are not those of the rows."""
    kind, captions = row, dict[str, str]()
    if len(components) > _ROWS:
        kind, text = tile, f"all {len(components)}, column by column"
        label = caption(text, *_CAPTION)
        captions[f"{name}_captions.bob"] = display(f"Captions: {title}", *_CAPTION, [label], PANEL)
    return {f"{name}_list.bob": _list(title, kind, [(kind, macros) for macros in components]), **captions}


def _list(title: str, kind: Kind, rows: Sequence[tuple[Kind, Row]]) -> str:
    """Return a display of rows, or of tiles column by column."""
    columns = kind.columns
    lines = max(1, -(-len(rows) // columns))
    widgets = [
        embedded(
            macros["NAME"],
            each.file,
            Box((i // lines) * each.width, (i % lines) * each.height, each.width, each.height),
            macros,
        )
        for i, (each, macros) in enumerate(rows)
    ]
    return display(title, kind.width * columns, kind.height * lines, widgets, PANEL)
