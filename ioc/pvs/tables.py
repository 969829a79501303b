"""Tables by PVAccess only: runs, ECC servers, routers and observables, and the current run.

The tables of components take what the PVs show, so both always agree. The table of runs is that of the run sheet, read
again when a run or another program has changed it. Nothing here is computed until somebody reads.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ioc.ca import EnumPv, FloatPv, IntPv, Pv
from ioc.engine import Engine
from ioc.errors import PeerError
from ioc.model import ColumnKind, RunQuality, Scalar, Severity, TableColumn, TableContent
from ioc.pvs.group import Group, shortened
from ioc.pvs.observable import ObservablePvs
from ioc.pvs.tree import PvTree
from ioc.rundb import OF_EVERY_RUN, SheetColumn, SheetRows
from ioc.rundb.times import optional, to_text
from ioc.runlogic.state import State
from ioc.runlogic.subject import Kind

RUNS = 200
_INVALID = Severity.INVALID
_UNKNOWN = "Unknown"
_DATABASE_SECONDS = 2.0
"""How long a table waits for the run database before it says so."""
_AGAIN_SECONDS = 10.0
"""The run sheet is read again after this time, for what was stored late."""
_SLICE = 50
"""Rows that are made in one turn of the event loop."""
_MESSAGE_LENGTH = 200

LastRows = Callable[[str, int], Awaitable[SheetRows]]
"""Reads so many runs of an experiment from the run sheet."""


@dataclass(frozen=True)
class TableView:
    """A table or a record that is served by PVAccess."""

    name: str
    description: str
    read: Callable[[], Awaitable[TableContent]]
    is_record: bool = False
    """It has one row, shown as a structure and read at each new state of the core."""


_Spec = tuple[tuple[str, str, ColumnKind, str], ...]
"""Name, units, kind and PV of each column."""

_SERVER: _Spec = (
    ("state", "", "text", "State"),
    ("transition", "", "text", "Transition"),
    ("online", "", "text", "Online"),
    ("config", "", "text", "Config"),
    ("sources", "", "text", "Sources"),
    ("message", "", "text", "Message"),
)
_ROUTER: _Spec = (
    ("online", "", "text", "Online"),
    ("clean", "", "text", "Clean"),
    ("staging", "", "text", "Staging"),
    ("files", "", "float", "FileCount"),
    ("staged", "MB", "float", "StagedMB"),
    ("rate", "MB/s", "float", "RateMBps"),
    ("silent", "", "text", "Silent"),
    ("disk_free", "GB", "float", "DiskFreeGB"),
    ("disk_used", "%", "float", "DiskUsedPercent"),
    ("work_dir", "", "text", "WorkDir"),
    ("message", "", "text", "Message"),
)
_OBSERVABLE: _Spec = (
    ("connected", "", "text", "Connected"),
    ("minimum", "", "float", "RunMin"),
    ("maximum", "", "float", "RunMax"),
    ("mean", "", "float", "RunMean"),
    ("samples", "", "integer", "Samples"),
    ("source", "", "text", "Source"),
)


def tables(
    prefix: str, tree: PvTree, engine: Engine, last_rows: LastRows, changes: Callable[[], int]
) -> tuple[TableView, ...]:
    """Return everything that is served as a whole; `changes` as in `Services.database_changes`."""

    async def run() -> TableContent:
        return run_record(engine.state)

    def columns_and_changes() -> tuple[object, ...]:
        return changes(), *(group.observable for group in tree.observables.values())

    observables = partial(_components, tree.observables, _OBSERVABLE, _measured)
    runs = RunTable(engine, last_rows, columns_and_changes)
    return (
        TableView(f"{prefix}Run:Info", "The open run, or else the last one", run, is_record=True),
        TableView(f"{prefix}Run:Table", "The last 200 runs, newest first", runs.read),
        TableView(f"{prefix}ECC:Table", "All ECC servers", partial(_components, tree.rows(Kind.Server), _SERVER)),
        TableView(f"{prefix}Router:Table", "All data routers", partial(_components, tree.rows(Kind.Router), _ROUTER)),
        TableView(f"{prefix}Obs:Table", "All observables", observables),
    )


_NAME = TableColumn("name", "name", "text", ())
_ALARM = TableColumn("alarm", "alarm", "text", ())
_MEASURED = (
    TableColumn("value", "value", "text", ()),
    TableColumn("number", "number", "float", ()),
    TableColumn("units", "units", "text", ()),
    TableColumn("time", "time", "text", ()),
)
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Run:Table": tuple(column.name for column in OF_EVERY_RUN),
    "ECC:Table": ("name", "alarm", *(name for name, *_ in _SERVER)),
    "Router:Table": ("name", "alarm", *(name for name, *_ in _ROUTER)),
    "Obs:Table": ("name", "alarm", *(column.name for column in _MEASURED), *(name for name, *_ in _OBSERVABLE)),
}
"""Names of the columns that do not depend on the observables."""

_Row = list[str | float | int]


async def _components(
    groups: Mapping[str, Group], spec: _Spec, own: Callable[[ObservablePvs], _Row] | None = None
) -> TableContent:
    """Return a row for each component: its name, its worst alarm, the columns of its `own`, then those of its PVs."""
    head = [_NAME, _ALARM, *(_MEASURED if own else ())]
    rows: list[_Row] = []
    alarms: dict[str, int] = {}
    for number, (name, group) in enumerate(list(groups.items()), start=1):
        pvs = {pv.name.removeprefix(group.base): pv for pv in group.pvs}
        shown = [pvs[pv] for _, _, _, pv in spec]
        alarms[name] = group.severity if isinstance(group, ObservablePvs) else max(pv.severity for pv in shown)
        rows.append([name, Severity(alarms[name]).name])
        if own is not None and isinstance(group, ObservablePvs):
            rows[-1] += own(group)
        rows[-1] += [_cell(pvs[pv], kind) for _, _, kind, pv in spec]
        if number % _SLICE == 0:  # a thousand at once would delay commands
            await asyncio.sleep(0)
    columns = [*head, *(TableColumn(name, _label(name, units), kind, ()) for name, units, kind, _ in spec)]
    severity = max(alarms.values(), default=0)
    worst = ", ".join(name for name, each in alarms.items() if each == severity) if severity else ""
    return TableContent(_filled(columns, rows), severity, shortened(worst, _MESSAGE_LENGTH))


def _filled(columns: Iterable[TableColumn], rows: Sequence[Sequence[Any]]) -> tuple[TableColumn, ...]:
    return tuple(column._replace(values=tuple(row[number] for row in rows)) for number, column in enumerate(columns))


def _cell(pv: Pv[Any], kind: ColumnKind) -> str | float | int:
    """Return what a PV shows; a number or a state that is not known is not the last one."""
    if kind == "text":
        return _UNKNOWN if isinstance(pv, EnumPv) and pv.severity == _INVALID else pv.label(pv.value)
    return pv.value if kind == "integer" else _number(pv)


def _number(pv: Pv[Any]) -> float:
    """Return the number of a PV, NaN if it is not known."""
    known = isinstance(pv, (FloatPv, IntPv)) and pv.severity != _INVALID
    return float(pv.value) if known and not math.isnan(pv.value) else math.nan


def _measured(group: ObservablePvs) -> _Row:
    """Return value, number, units and time of an observable; nothing while it is disconnected or was never known."""
    pv = group.value
    if not group.connected or pv.status == "UDF":
        return ["", math.nan, pv.properties.units, ""]
    text = pv.label(pv.value)
    number = float(pv.value) if isinstance(pv, (FloatPv, IntPv)) and not math.isnan(pv.value) else math.nan
    return [text, number, pv.properties.units, to_text(pv.timestamp)]


def run_record(state: State) -> TableContent:
    """Return the open run, else the last one, in one row with the columns of the run sheet."""
    run, record = state.run, state.run.record
    values: Mapping[str, Scalar | None] = {
        "experiment": state.experiment,
        "run_number": run.number,
        "run_class": record.run_class.name if record else "",
        "title": record.title if record else "",
        "state": run.state.name if state.restored else _UNKNOWN,
        "started_at": optional(to_text, record.started_at) if record else "",
        "stopped_at": optional(to_text, record.stopped_at) if record else "",
        "duration": record.duration if record else None,
        "config_name": record.config_name if record else "",
        "bytes": record.size if record else 0,
        "quality": (record.quality if record else RunQuality.Unknown).name,
        "comment": record.comment if record else "",
    }
    return _sheet(OF_EVERY_RUN, [[values[column.name] for column in OF_EVERY_RUN]])


class RunTable:
    """The newest rows of the run sheet, kept until a run, an observable or another program may have changed them."""

    def __init__(self, engine: Engine, last_rows: LastRows, changes: Callable[[], object]) -> None:
        """`changes` returns something else when there are other observables, or another program may have written."""
        self._engine = engine
        self._last_rows = last_rows
        self._changes = changes
        self._shown = _sheet(OF_EVERY_RUN, [])
        self._key: tuple[object, ...] = ()
        self._read_at = -math.inf

    async def read(self) -> TableContent:
        """Return the table; with an alarm and the last known rows while the database cannot be read."""
        state, now = self._engine.state, time.monotonic()
        if not state.restored:
            return self._failed("the run database has not been read yet")
        key = (state.experiment, state.run.record, self._changes())
        if key == self._key and now < self._read_at + _AGAIN_SECONDS:
            return self._shown
        try:
            async with asyncio.timeout(_DATABASE_SECONDS):
                sheet = await self._last_rows(state.experiment, RUNS)
        except TimeoutError:
            return self._failed(f"the run database did not answer within {_DATABASE_SECONDS:g} s")
        except PeerError as error:
            return self._failed(str(error))
        self._key, self._read_at = key, now
        self._shown = _sheet(sheet.columns, sheet.rows)
        return self._shown

    def _failed(self, reason: str) -> TableContent:
        self._key = ()
        return self._shown._replace(severity=int(_INVALID), message=shortened(reason, _MESSAGE_LENGTH))


def _sheet(columns: Sequence[SheetColumn], rows: Sequence[Sequence[Scalar | None]]) -> TableContent:
    shown: list[TableColumn] = []
    for number, column in enumerate(columns):
        kind: ColumnKind = (
            "text" if column.is_text else "integer" if column.name in {"run_number", "bytes"} else "float"
        )
        values = tuple(_CELLS[kind](row[number]) for row in rows)
        shown.append(TableColumn(column.name, _label(column.name, column.units), kind, values))
    return TableContent(tuple(shown))


def _float(value: Scalar | None) -> float:
    """Return a number of the database; NaN for a text that somebody has written there."""
    return float(value) if isinstance(value, (int, float)) and not math.isnan(value) else math.nan


def _integer(value: Scalar | None) -> int:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0


def _text(value: Scalar | None) -> str:
    return "" if value is None else str(value)


_CELLS: Mapping[ColumnKind, Callable[[Scalar | None], str | float | int]] = {
    "text": _text,
    "float": _float,
    "integer": _integer,
}


def _label(name: str, units: str) -> str:
    return f"{name} [{units}]" if units else name
