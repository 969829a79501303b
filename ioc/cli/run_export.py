"""The run sheet and samples for other programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from ioc.model import Scalar
from ioc.rundb.queries import Row, RunBook, SheetColumn
from ioc.rundb.run_sheet import observable_column

RUN_COLUMNS = ("run_number", "run_class", "title", "started_at", "stopped_at", "config_name")


def write_sheet_csv(book: RunBook, output: TextIO) -> None:
    """One line a run; an observable's heading is its column of the view `run_sheet`, with its units in brackets."""
    columns = book.columns()
    writer = csv.writer(output, lineterminator="\n")
    headings = [f"{observable_column(each.name)} [{each.units}]".removesuffix(" []") for each in columns]
    writer.writerow([*RUN_COLUMNS, *headings])
    for run, values in book.sheet():
        writer.writerow([*(run[name] for name in RUN_COLUMNS), *(values[each] for each in columns)])


def write_sheet_json(book: RunBook, output: TextIO) -> None:
    """A list of objects, one a run; its observables are in an object of their own, each with value and units."""
    runs = [
        {**{name: run[name] for name in RUN_COLUMNS}, "observables": _observables(values)}
        for run, values in book.sheet()
    ]
    json.dump(runs, output, ensure_ascii=False, indent=2, allow_nan=False)
    output.write("\n")


def _observables(values: Mapping[SheetColumn, Scalar | None]) -> dict[str, dict[str, Any]]:
    """By name; of one that had several units, those of the value."""
    observables: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        if value is not None or column.name not in observables:
            observables[column.name] = {"value": _for_json(value), "units": column.units}
    return observables


def write_samples_csv(samples: Iterable[Row], output: TextIO) -> None:
    """One line a sample, as they come."""
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(("observable", "units", "sampled_at", "value", "severity", "status"))
    writer.writerows(
        (row["name"], row["units"], row["sampled_at"], row["value"], row["severity"], row["status"]) for row in samples
    )


def _for_json(value: Any) -> Any:
    """JSON has no infinity: it becomes a text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
