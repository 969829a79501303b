# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""``attpc-ioc runs export`` and ``samples``: CSV, JSON and Parquet. HDF5 and Bluesky have modules of their own."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from ioc.cli import parquet
from ioc.cli.as_json import for_json
from ioc.cli.export_bluesky import write_bluesky
from ioc.cli.export_hdf5 import write_hdf5
from ioc.cli.options import Moment, output_option
from ioc.cli.output import data_output, progress
from ioc.cli.runs import CLASS, NUMBER, QUALITY, number_argument, observables_option, with_book
from ioc.rundb.dataset import PAGE, SAMPLES, SamplesPage
from ioc.rundb.queries import Row, RunBook
from ioc.rundb.selection import Selection
from ioc.rundb.sheet_lines import STATISTICS as FIGURES
from ioc.rundb.sheet_lines import VALUE, Line, SheetColumn

if TYPE_CHECKING:
    from ioc.topology.schema import Topology

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
STATISTICS = tuple(name for name in FIGURES if name != VALUE)
"""Those that can be chosen; each has a column such as ``OBSERVABLE (UNITS) mean``."""
_WHOLE = frozenset({"samples", "worst_severity"})
_WITH_UNITS = frozenset({"begin", "end", *_STATISTICS})
_SAMPLE_COLUMNS = ("name", "units", "sampled_at", "value", "severity", "status")
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet interprets a text that begins with one of these (also full-width) as a formula."""
_CONTROL = frozenset("\t\r\n")


class _Heading(NamedTuple):
    """A column of the exported sheet."""

    name: str
    value_type: str
    units: str | None = None


def _chosen(columns: Sequence[SheetColumn], selection: Selection) -> list[tuple[int, str]]:
    """The place of each observable with each statistic that it has; the usual ones unless others were chosen."""
    if not selection.statistics:
        usual = [(number, VALUE) for number in range(len(columns))]
        return usual + [(at, name) for at, each in enumerate(columns) if each.numeric for name in _STATISTICS]
    names = tuple(dict.fromkeys(selection.statistics))
    return [(at, name) for at, each in enumerate(columns) for name in names if each.numeric or name not in _STATISTICS]


def _headings(columns: Sequence[SheetColumn], selection: Selection) -> list[_Heading]:
    """The run, then the statistics of its observables."""
    headings = list(itertools.starmap(_Heading, _RUN_COLUMNS.items()))
    for at, statistic in _chosen(columns, selection):
        column = columns[at]
        if statistic == VALUE:
            heading = column.heading
        elif selection.statistics:
            heading = f"{column.name} ({column.units}) {statistic}" if column.units else f"{column.name} {statistic}"
        else:
            heading = f"{column.heading}.{statistic}"
        kind = "integer" if statistic in _WHOLE else "float"
        if statistic in {VALUE, "begin", "end"}:
            kind = column.value_type
        units = column.units if statistic in _WITH_UNITS | {VALUE} else None
        headings.append(_Heading(heading, kind, units))
    return headings


def _lines(book: RunBook, columns: Sequence[SheetColumn], selection: Selection) -> Iterator[Line]:
    """The runs, with values in the order of `_headings`."""
    return book.sheet(tuple(_RUN_COLUMNS), columns, _chosen(columns, selection), selection)


def write_sheet_csv(book: RunBook, selection: Selection, output: TextIO) -> None:
    """One line per run."""
    columns = book.columns(selection.observables)
    headings = (each.name for each in _headings(columns, selection))
    _write_csv(headings, _lines(book, columns, selection), output)


def write_sheet_json(book: RunBook, selection: Selection, output: TextIO) -> None:
    """A list of objects, one per run; observables are in a nested object, each with its statistics and units."""
    columns = book.columns(selection.observables)
    chosen = _chosen(columns, selection)
    wanted = [*((at, VALUE) for at in range(len(columns))), *chosen]
    before = "[\n  "
    for line in book.sheet(tuple(_RUN_COLUMNS), columns, wanted, selection):
        its: dict[str, Any] = dict(zip(_RUN_COLUMNS, map(for_json, line), strict=False))
        its["observables"] = _observables(columns, chosen, line[len(_RUN_COLUMNS) :])
        # One run after the other, indented as a part of the list: a text in JSON has no line break of its own.
        text = json.dumps(its, ensure_ascii=False, indent=2, allow_nan=False).replace("\n", "\n  ")
        output.write(f"{before}{text}")
        before = ",\n  "
    output.write("[]\n" if before.startswith("[") else "\n]\n")


def _observables(
    columns: Sequence[SheetColumn], chosen: Sequence[tuple[int, str]], values: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """Observables by name; if one had several units, those of the value.

    `values` are the value of each column and then what was chosen.
    """
    figures: list[dict[str, Any]] = [{} for _ in columns]
    for (at, name), value in zip(chosen, values[len(columns) :], strict=True):
        figures[at][name] = for_json(value)
    observables: dict[str, dict[str, Any]] = {}
    for column, value, its in zip(columns, values, figures, strict=False):
        if value is not None or column.name not in observables:
            first = {VALUE: its.pop(VALUE)} if VALUE in its else {}
            observables[column.name] = first | {"units": column.units} | its
    return observables


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


def write_sheet_parquet(book: RunBook, selection: Selection, output: Path) -> None:
    """One row per run; times are timestamps, units are in the metadata of each column.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = parquet.arrow()
    columns = book.columns(selection.observables)
    owners = [None] * len(_RUN_COLUMNS) + [columns[at] for at, _ in _chosen(columns, selection)]
    fractional = book.with_fractions(columns)
    types = parquet.kinds(arrow)
    fields: list[Any] = []
    for each, owner in zip(_headings(columns, selection), owners, strict=True):
        kind = types.get(each.value_type, arrow.string())
        if each.value_type == "integer" and each.units is not None and owner in fractional:
            kind = arrow.float64()
        fields.append(arrow.field(each.name, kind, metadata=None if each.units is None else {"units": each.units}))
    schema = arrow.schema(fields)
    parquet.write_tables(arrow, schema, parquet.tables_of(arrow, schema, _lines(book, columns, selection)), output)


def write_samples_parquet(pages: Iterable[SamplesPage], output: Path) -> None:
    """One row per sample, in the order given: the table `samples` of a data set.

    Raises:
        Refused: pyarrow is not installed.
    """
    arrow = parquet.arrow()
    schema = parquet.schema_of(arrow, SAMPLES)
    parquet.write_tables(arrow, schema, parquet.tables_of_samples(arrow, schema, pages), output)


SHEET_FORMATS = {
    "csv": write_sheet_csv,
    "json": write_sheet_json,
    "parquet": write_sheet_parquet,
    "hdf5": write_hdf5,
    "bluesky": write_bluesky,
}
SAMPLE_FORMATS: dict[str, Callable[[Iterable[Any], Any], None]] = {
    "csv": write_samples_csv,
    "parquet": write_samples_parquet,
}
"""Each function writes to what `data_output` gives for its format; Parquet is made of pages of columns, not of rows."""


@click.command()
@click.argument("numbers", metavar="[N]...", nargs=-1, type=NUMBER)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SHEET_FORMATS)),
    default="csv",
    show_default=True,
    help="Format of the file; Parquet needs pyarrow, HDF5 needs h5py.",
)
@click.option(
    "--since", type=Moment(), help="Only runs that began at this time or later, such as 2026-11-22 (local time)."
)
@click.option("--class", "classes", type=CLASS, multiple=True, help="Only runs of this class; may be repeated.")
@click.option("--quality", "qualities", type=QUALITY, multiple=True, help="Only runs of this quality; may be repeated.")
@observables_option
@click.option(
    "--statistic",
    "statistics",
    type=click.Choice(STATISTICS),
    multiple=True,
    help="Statistic of each observable instead of the usual columns; may be repeated.",
)
@output_option
@with_book
def export(book: RunBook, *, form: str, output: Path | None, **chosen: Any) -> None:
    """Write the runs of an experiment, or runs N only.

    CSV, JSON and Parquet have the run sheet: the data of each run, then its observables and their statistics. HDF5
    (with NeXus names) and Bluesky (event-model documents as JSON lines) also have the samples.

    In CSV, an apostrophe precedes text that a spreadsheet would interpret as a formula.
    """
    selection = Selection(**chosen)
    if selection.statistics and form in {"hdf5", "bluesky"}:
        raise click.UsageError(f"--format {form} has all statistics: leave out --statistic")
    book.check(selection)
    with data_output(output, form, book.path) as target:
        SHEET_FORMATS[form](book, selection, target)


@click.command()
@number_argument
@observables_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SAMPLE_FORMATS)),
    help="Format of the file; default: csv. Parquet needs pyarrow.",
)
@click.option("--from-archiver", "archiver", metavar="URL", help="Compare with an EPICS Archiver Appliance instead.")
@output_option
@with_book
@click.pass_obj
def samples(
    topology: Topology | None,
    *,
    book: RunBook,
    number: int,
    observables: tuple[str, ...],
    form: str | None,
    archiver: str | None,
    output: Path | None,
) -> None:
    """Write the samples of a run.

    With --from-archiver, compare them with those of an EPICS Archiver Appliance; the exit code is 1 if they differ.
    """
    if archiver is not None:
        for option, value in (("--output", output), ("--format", form)):
            if value is not None:
                raise click.UsageError(f"--from-archiver writes no samples: leave out {option}")
        from ioc.cli.appliance import compare_with_archiver  # noqa: PLC0415 - only here

        thinned = set[str]()
        if topology is not None:
            thinned = {each.name for each in topology.observables if each.deadband or each.max_rate}
        text, agree = compare_with_archiver(book, number, observables, archiver, thinned)
        click.echo(text)
        sys.exit(0 if agree else 1)
    form = form or "csv"
    chosen = book.sampled(number, observables)
    count = book.count_samples(number, chosen)
    columns = form == "parquet"
    rows = book.sample_pages(number, chosen) if columns else book.samples(number, chosen)
    with (
        data_output(output, form, book.path) as target,
        # no progress bar between lines on a terminal
        progress(rows, count // PAGE if columns else count, "writing", shown=output is not None) as items,
    ):
        SAMPLE_FORMATS[form](items, target)
