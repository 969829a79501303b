# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The run sheet and samples as Parquet files, which pandas, polars, DuckDB and ROOT's RDataFrame tools read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ioc.cli.extras import how_to_install
from ioc.cli.run_export import FIGURES, RUN_COLUMNS, figures_of, numbers
from ioc.errors import Refused
from ioc.model import Scalar
from ioc.rundb.queries import Row, RunBook, SheetColumn

_ROWS_AT_ONCE = 100_000


def write_sheet_parquet(book: RunBook, output: Path) -> None:
    """One row a run, columns as in the view `run_sheet`, times as timestamps, units in the metadata of each column.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = _arrow()
    columns = book.columns()
    rows: list[dict[str, Any]] = []
    for run, values in book.sheet():
        found = book.figures(run["id"])
        figures = {
            f"{each.heading}.{name}": value
            for each in numbers(columns)
            for name, value in zip(FIGURES, figures_of(found, each), strict=True)
        }
        of_run = {name: run[name] for name in RUN_COLUMNS}
        rows.append({**of_run, **{each.heading: values[each] for each in columns}, **figures})
    kinds = {"run_number": arrow.int64(), "duration": arrow.float64(), "bytes": arrow.int64()}
    kinds |= {name: _timestamp(arrow) for name in RUN_COLUMNS if name.endswith("_at")}
    fields = [arrow.field(name, kinds.get(name, arrow.string())) for name in RUN_COLUMNS]
    fields += [
        arrow.field(
            each.heading, _type(arrow, each, [row[each.heading] for row in rows]), metadata={"units": each.units}
        )
        for each in columns
    ]
    fields += [
        arrow.field(f"{each.heading}.{name}", arrow.float64(), metadata={"units": each.units})
        for each in numbers(columns)
        for name in FIGURES
    ]
    _write(arrow, arrow.schema(fields), rows, output)


def _type(arrow: Any, observable: SheetColumn, values: Iterable[Scalar | None]) -> Any:
    if observable.value_type == "integer":
        # A source may give an infinity also where whole numbers are expected.
        return arrow.float64() if any(isinstance(value, float) for value in values) else arrow.int64()
    return arrow.float64() if observable.value_type == "float" else arrow.string()


def write_samples_parquet(samples: Iterable[Row], output: Path) -> None:
    """One row a sample, as they come; numbers in `value`, texts in `text`.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = _arrow()
    schema = arrow.schema(
        [
            ("observable", arrow.dictionary(arrow.int32(), arrow.string())),
            ("sampled_at", _timestamp(arrow)),
            ("value", arrow.float64()),
            ("text", arrow.string()),
            ("severity", arrow.int8()),
            ("status", arrow.dictionary(arrow.int32(), arrow.string())),
        ]
    )
    rows = (
        {
            "observable": row["name"],
            "sampled_at": row["sampled_at"],
            "value": None if isinstance(row["value"], str) else row["value"],
            "text": row["value"] if isinstance(row["value"], str) else None,
            "severity": row["severity"],
            "status": row["status"],
        }
        for row in samples
    )
    _write(arrow, schema, rows, output)


def _arrow() -> Any:
    try:
        import_module("pyarrow.parquet")  # an optional extra
        return import_module("pyarrow")
    except ImportError:
        raise Refused(f"Parquet needs pyarrow: install it with  {how_to_install('parquet')}") from None


def _timestamp(arrow: Any) -> Any:
    return arrow.timestamp("us", tz="UTC")


def _write(arrow: Any, schema: Any, rows: Iterable[Mapping[str, Any]], output: Path) -> None:
    source = iter(rows)
    with arrow.parquet.ParquetWriter(output, schema) as writer:
        while batch := list(itertools.islice(source, _ROWS_AT_ONCE)):
            writer.write_table(arrow.table([_column(arrow, field, batch) for field in schema], schema=schema))


def _column(arrow: Any, field: Any, batch: Sequence[Mapping[str, Any]]) -> Any:
    values = [row[field.name] for row in batch]
    if arrow.types.is_timestamp(field.type):
        return arrow.array(values, arrow.string()).cast(field.type)
    if arrow.types.is_string(field.type):
        values = [None if value is None else str(value) for value in values]
    elif arrow.types.is_floating(field.type) or arrow.types.is_integer(field.type):
        # An observable's type may have been changed in the topology since the run.
        values = [value if isinstance(value, (int, float)) else None for value in values]
    return arrow.array(values, field.type, safe=False)
