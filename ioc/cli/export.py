# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Exports the run sheet and samples: CSV, JSON, Parquet."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ioc.cli import parquet
from ioc.rundb.dataset import SAMPLES, SamplesPage
from ioc.rundb.queries import Row, RunBook, SheetCell, SheetColumn

_RUN_COLUMNS = {
    "run_number": "integer",
    "run_class": "string",
    "title": "string",
    "state": "string",
    "started_at": "time",
    "stopped_at": "time",
    "duration": "float",
    "config_name": "string",
    "bytes": "integer",
    "quality": "string",
    "comment": "string",
}
"""Columns of the view `run_sheet` with their types, without the experiment, which is always the same."""
_STATISTICS = ("minimum", "mean", "maximum")
"""Each has its own column, such as ``OBSERVABLE.minimum``: names of observables have no dot."""
_SAMPLE_COLUMNS = ("name", "units", "sampled_at", "value", "severity", "status")
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet interprets a text that begins with one of these (also full-width) as a formula."""
_CONTROL = frozenset("\t\r\n")


class _Heading(NamedTuple):
    """A column of the exported sheet."""

    name: str
    value_type: str
    units: str | None = None


def _headings(columns: Sequence[SheetColumn]) -> list[_Heading]:
    """The run, then its observables in display order, then the statistics of those that are numbers."""
    return [
        *itertools.starmap(_Heading, _RUN_COLUMNS.items()),
        *(_Heading(each.heading, each.value_type, each.units) for each in columns),
        *(
            _Heading(f"{each.heading}.{name}", "float", each.units)
            for each in columns
            if each.numeric
            for name in _STATISTICS
        ),
    ]


def _lines(book: RunBook, columns: Sequence[SheetColumn]) -> Iterator[list[Any]]:
    """The runs, with values in the order of `_headings`."""
    numeric = [number for number, each in enumerate(columns) if each.numeric]
    for run, cells in book.sheet(columns):
        line = [run[name] for name in _RUN_COLUMNS]
        line += [cell.value for cell in cells]
        for number in numeric:
            line += cells[number][1:]
        yield line


def write_sheet_csv(book: RunBook, output: TextIO) -> None:
    """One line per run."""
    columns = book.columns()
    _write_csv((each.name for each in _headings(columns)), _lines(book, columns), output)


def write_sheet_json(book: RunBook, output: TextIO) -> None:
    """A list of objects, one per run; observables are in a nested object, each with value and units."""
    columns = book.columns()
    runs = [
        {**{name: run[name] for name in _RUN_COLUMNS}, "observables": _observables(columns, cells)}
        for run, cells in book.sheet(columns)
    ]
    json.dump(runs, output, ensure_ascii=False, indent=2, allow_nan=False)
    output.write("\n")


def _observables(columns: Sequence[SheetColumn], cells: Sequence[SheetCell]) -> dict[str, dict[str, Any]]:
    """Observables by name; if one had several units, those of the value."""
    observables: dict[str, dict[str, Any]] = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell.value is not None or column.name not in observables:
            value, *statistics = map(_for_json, cell)
            its = {"value": value, "units": column.units}
            observables[column.name] = its | (dict(zip(_STATISTICS, statistics, strict=True)) if column.numeric else {})
    return observables


def _for_json(value: Any) -> Any:
    """JSON has no infinity: write it as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_samples_csv(samples: Iterable[Row], output: TextIO) -> None:
    """One line per sample, in the order given."""
    _write_csv(
        ("observable", *_SAMPLE_COLUMNS[1:]), ([row[name] for name in _SAMPLE_COLUMNS] for row in samples), output
    )


def _write_csv(headings: Iterable[str], lines: Iterable[Iterable[Any]], output: TextIO) -> None:
    writer = csv.writer(_UnixLines(output))
    writer.writerow(map(_harmless, headings))
    for line in lines:
        writer.writerow([_harmless(value) if isinstance(value, str) else value for value in line])


def _harmless(text: str) -> str:
    """Put an apostrophe in front of a text that a spreadsheet would interpret as a formula."""
    return f"'{text}" if text[:1] in _CONTROL or text.lstrip()[:1] in _FORMULA else text


class _UnixLines:
    """Receives rows that end in CR LF: with other line ends, csv does not quote a text that contains a CR."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, row: str) -> int:
        return self._output.write(row.removesuffix("\r\n") + "\n")


def write_sheet_parquet(book: RunBook, output: Path) -> None:
    """One row per run; times are timestamps, units are in the metadata of each column.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = parquet.arrow()
    columns = book.columns()
    headings, lines = _headings(columns), list(_lines(book, columns))
    types = parquet.kinds(arrow)
    fields: list[Any] = []
    for number, each in enumerate(headings):
        kind = types.get(each.value_type, arrow.string())
        # A source may return infinity even for whole numbers.
        if each.value_type == "integer" and any(isinstance(line[number], float) for line in lines):
            kind = arrow.float64()
        fields.append(arrow.field(each.name, kind, metadata=None if each.units is None else {"units": each.units}))
    schema = arrow.schema(fields)
    parquet.write_tables(arrow, schema, parquet.tables_of(arrow, schema, lines), output)


def write_samples_parquet(pages: Iterable[SamplesPage], output: Path) -> None:
    """One row per sample, in the order given: the table `samples` of a data set.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = parquet.arrow()
    schema = parquet.schema_of(arrow, SAMPLES)
    parquet.write_tables(arrow, schema, parquet.tables_of_samples(arrow, schema, pages), output)


SHEET_FORMATS = {"csv": write_sheet_csv, "json": write_sheet_json, "parquet": write_sheet_parquet}
SAMPLE_FORMATS: dict[str, Callable[[Iterable[Any], Any], None]] = {
    "csv": write_samples_csv,
    "parquet": write_samples_parquet,
}
"""Each function writes to what `data_output` gives for its format; Parquet is made of pages of columns, not of rows."""
