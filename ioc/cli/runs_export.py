"""``attpc-ioc runs``: exporting runs and samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ioc.cli.export import SAMPLE_FORMATS, SHEET_FORMATS, STATISTICS
from ioc.cli.options import Moment, output_option
from ioc.cli.output import data_output, progress
from ioc.cli.runs import CLASS, NUMBER, QUALITY, number_argument, observables_option, with_book
from ioc.rundb.dataset import PAGE
from ioc.rundb.queries import RunBook
from ioc.rundb.selection import Selection

if TYPE_CHECKING:
    from ioc.topology.schema import Topology


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
@click.option("--since", type=Moment(), help="Only runs that began then or later, such as 2026-11-22 (local time).")
@click.option("--class", "classes", type=CLASS, multiple=True, help="Only runs of this class; may be repeated.")
@click.option("--quality", "qualities", type=QUALITY, multiple=True, help="Only runs of this quality; may be repeated.")
@observables_option
@click.option(
    "--statistic",
    "statistics",
    type=click.Choice(STATISTICS),
    multiple=True,
    help="A column of each observable in place of the usual ones; may be repeated.",
)
@output_option
@with_book
def export(book: RunBook, *, form: str, output: Path | None, **chosen: Any) -> None:
    """Write the runs of an experiment, or runs N only.

    CSV, JSON and Parquet have the run sheet: the data of each run, then its observables and their statistics. HDF5
    (with names of NeXus) and Bluesky (documents of its event model as JSON lines) have the samples, too.

    In CSV, a text that a spreadsheet would interpret as a formula gets an apostrophe in front.
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
