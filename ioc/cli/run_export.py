"""The run sheet and samples for other programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from ioc.model import Scalar
from ioc.rundb.queries import Figures, Row, RunBook, SheetColumn

RUN_COLUMNS = (
    *("run_number", "run_class", "title", "state"),
    *("started_at", "stopped_at", "duration", "config_name", "bytes"),
)
"""Those of the view `run_sheet`, without the experiment, which is one."""
FIGURES = ("minimum", "mean", "maximum")
"""What follows in a column of its own, behind a dot, which no name of an observable has."""

_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""With one of these in front, wide or not, a spreadsheet takes a text for a formula."""


def write_sheet_csv(book: RunBook, output: TextIO) -> None:
    """One line a run: the run, its observables in display order, then their figures."""
    columns = book.columns()
    writer = csv.writer(_UnixLines(output))
    headings = [each.heading for each in columns]
    headings += [f"{each.heading}.{figure}" for each in numbers(columns) for figure in FIGURES]
    writer.writerow(map(_harmless, [*RUN_COLUMNS, *headings]))
    for run, values in book.sheet():
        of_run = [*(run[name] for name in RUN_COLUMNS), *(values[each] for each in columns)]
        writer.writerow(map(_harmless, [*of_run, *_in_line(book.figures(run["id"]), columns)]))


def write_sheet_json(book: RunBook, output: TextIO) -> None:
    """A list of objects, one a run; its observables are in an object of their own, each with value and units."""
    runs = [
        {**{name: run[name] for name in RUN_COLUMNS}, "observables": _observables(values, book.figures(run["id"]))}
        for run, values in book.sheet()
    ]
    json.dump(runs, output, ensure_ascii=False, indent=2, allow_nan=False)
    output.write("\n")


def write_samples_csv(samples: Iterable[Row], output: TextIO) -> None:
    """One line a sample, as they come."""
    writer = csv.writer(_UnixLines(output))
    names = ("name", "units", "sampled_at", "value", "severity", "status")
    writer.writerow(("observable", *names[1:]))
    writer.writerows(map(_harmless, (row[name] for name in names)) for row in samples)


class _UnixLines:
    """Takes rows that end in CR LF, for csv leaves a CR inside a text without quotes if rows end otherwise."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, row: str) -> int:
        return self._output.write(row.removesuffix("\r\n") + "\n")


def numbers(columns: Iterable[SheetColumn]) -> Iterator[SheetColumn]:
    """Those of which there are figures."""
    return (each for each in columns if each.value_type in {"float", "integer"})


def figures_of(found: Mapping[int, Figures], column: SheetColumn) -> Figures:
    """Minimum, mean and maximum in a run; of several definitions of the observable, of the first that has them."""
    return next((found[each] for each in column.ids if each in found), (None, None, None))


def _in_line(found: Mapping[int, Figures], columns: Sequence[SheetColumn]) -> Iterator[float | None]:
    return (figure for each in numbers(columns) for figure in figures_of(found, each))


def _observables(
    values: Mapping[SheetColumn, Scalar | None], found: Mapping[int, Figures]
) -> dict[str, dict[str, Any]]:
    """By name; of one that had several units, those of the value."""
    observables: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        if value is not None or column.name not in observables:
            its: dict[str, Any] = {"value": _for_json(value), "units": column.units}
            if column in numbers([column]):
                its |= dict(zip(FIGURES, map(_for_json, figures_of(found, column)), strict=True))
            observables[column.name] = its
    return observables


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe in front; numbers stay numbers."""
    if isinstance(value, str) and (value[:1] in set("\t\r\n") or value.lstrip()[:1] in set(_FORMULA)):
        return f"'{value}"
    return value


def _for_json(value: Any) -> Any:
    """JSON has no infinity: it becomes a text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
