# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Rows and samples of the run database as columns of Parquet files, by pyarrow."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ioc.cli.extras import required
from ioc.rundb.dataset import SAMPLES, DataTable, SamplesPage
from ioc.rundb.formats import as_text
from ioc.rundb.times import read_time, to_microseconds

ROW_GROUP = 500_000
"""Most rows of a row group."""
_CELLS_AT_ONCE = 1_000_000
"""In Python; a run sheet may have hundreds of columns."""
_CELLS = 5_000_000
"""Most cells of a row group, which is in memory as Arrow has it."""


def arrow() -> Any:
    """pyarrow.

    Raises:
        Refused: it is not installed.
    """
    required("pyarrow.compute", "parquet", "Parquet needs pyarrow")
    required("pyarrow.parquet", "parquet", "Parquet needs pyarrow")
    return required("pyarrow", "parquet", "Parquet needs pyarrow")


def kinds(pa: Any) -> dict[str, Any]:
    """The types of columns: those of `ioc.rundb.dataset.Kind`, and those of observables."""
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    time = pa.timestamp("us", tz="UTC")
    ours = {"text": text, "time": time, "number": number, "whole": whole, "level": pa.int8()}
    return ours | {"string": text, "enum": text, "float": number, "integer": whole}


def schema_of(pa: Any, table: DataTable) -> Any:
    """The schema of a table of the data set, with the units of columns that always have the same.

    They are in the metadata of the column, which only Arrow reads, and of the file.
    """
    types = kinds(pa)
    fields = [
        pa.field(each.name, types[each.kind], metadata={"units": each.units} if each.units else None)
        for each in table.columns
    ]
    units = {f"units.{each.name}": each.units for each in table.columns if each.units}
    return pa.schema(fields, metadata={"table": table.name, **units})


def array_of(pa: Any, kind: Any, values: Sequence[Any]) -> Any:
    """A column. A value of the wrong type becomes null: the type of an observable may have changed in the topology, and
    another program may have written to the database."""
    if pa.types.is_timestamp(kind):
        with suppress(pa.ArrowException):  # nearly always, all are times
            return pa.array(values, pa.string()).cast(kind)
        times = (read_time(value) for value in values)
        return pa.array([None if time is None else to_microseconds(time) for time in times], pa.int64()).cast(kind)
    if not pa.types.is_integer(kind):  # for which pyarrow would cut off fractions
        with suppress(pa.ArrowException):  # nearly always, all values fit
            return pa.array(values, kind)
    if pa.types.is_string(kind):
        values = [None if value is None else as_text(value) for value in values]
    elif pa.types.is_floating(kind):
        values = [float(value) if isinstance(value, (int, float)) else None for value in values]
    elif pa.types.is_integer(kind):
        values = [value if isinstance(value, int) else None for value in values]
    return pa.array(values, kind)


def tables_of(pa: Any, schema: Any, rows: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """Rows as tables of this schema, a part at a time; one without rows if there are none."""
    source = iter(rows)
    at_once = max(1, _CELLS_AT_ONCE // len(schema))
    batch = list(itertools.islice(source, at_once))
    if not batch:
        yield schema.empty_table()
    while batch:
        columns = zip(*batch, strict=True)
        arrays = [array_of(pa, field.type, values) for field, values in zip(schema, columns, strict=True)]
        yield pa.table(arrays, schema=schema)
        batch = list(itertools.islice(source, at_once))


def tables_of_samples(pa: Any, schema: Any, pages: Iterable[SamplesPage]) -> Iterator[Any]:
    """Samples as tables of the schema of `SAMPLES`; one without rows if there are none."""
    empty = True
    for page in pages:
        empty = False
        length = len(page.sampled_us)
        values, texts = _values(pa, page.values)
        alarms = pa.array(page.alarms, pa.int32())
        severities, statuses = zip(*page.alarm_names, strict=True)
        columns = {
            "observable": pa.repeat(page.series.observable, length),
            "units": pa.repeat(page.series.units, length),
            "sampled_at": pa.array(page.sampled_us, pa.int64()).view(schema.field("sampled_at").type),
            "value": values,
            "text": texts,
            "severity": pa.array(severities, pa.int8()).take(alarms),
            "status": pa.array(statuses, pa.string()).take(alarms),
        }
        yield pa.table([columns[each.name] for each in SAMPLES.columns], schema=schema)
    if empty:
        yield schema.empty_table()


def _values(pa: Any, values: Sequence[float | str | None]) -> tuple[Any, Any]:
    """Numbers and texts. A whole number beyond 2**53 becomes the nearest double."""
    try:
        return pa.array(values, pa.float64()), pa.nulls(len(values), pa.string())
    except pa.ArrowException:  # a text, or a large whole number
        texts = [value if isinstance(value, str) else None for value in values]
        return array_of(pa, pa.float64(), values), pa.array(texts, pa.string())


def write_tables(pa: Any, schema: Any, tables: Iterable[Any], output: Path) -> None:
    """Write a file; tables are put together into row groups."""
    with _no_collection(), pa.parquet.ParquetWriter(output, schema, compression="zstd") as writer:
        for group in _groups(tables, min(ROW_GROUP, max(1, _CELLS // len(schema)))):
            writer.write_table(pa.concat_tables(group), row_group_size=ROW_GROUP)


def _groups(tables: Iterable[Any], most: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    rows = 0
    for table in tables:
        if group and rows + table.num_rows > most:
            yield group
            group, rows = [], 0
        group.append(table)
        rows += table.num_rows
    if group:
        yield group


@contextmanager
def _no_collection() -> Generator[None]:
    """Do not look for cycles of objects: with millions of rows, that takes as long as reading them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
