"""``attpc-ioc runs``: looking at runs."""

from __future__ import annotations

import click

from ioc.cli.as_json import RUN, write_list, write_page
from ioc.cli.output import data_output
from ioc.cli.runs import NUMBER, QUALITY, json_option, number_argument, with_book
from ioc.cli.texts import LISTED, run_diff, run_list, run_page
from ioc.rundb.queries import RunBook
from ioc.rundb.selection import Selection


@click.command("list")
@click.option("--quality", type=QUALITY, help="Only runs of this quality.")
@json_option
@with_book
def list_command(book: RunBook, quality: str | None, *, as_json: bool) -> None:
    """List the runs of an experiment."""
    selection = Selection(qualities=() if quality is None else (quality,))
    if as_json:
        with data_output(None, "json") as target:
            write_list(book.experiment, book.lines(selection, RUN), target)
        return
    click.echo(run_list(book.experiment, book.lines(selection, LISTED)))


@click.command()
@number_argument
@json_option
@with_book
def show(book: RunBook, number: int, *, as_json: bool) -> None:
    """Show observables, configurations, files and events of a run."""
    page = book.page(number)
    if as_json:
        with data_output(None, "json") as target:
            write_page(book.experiment, page, target)
        return
    click.echo(run_page(book.experiment, page))


@click.command()
@click.argument("first", type=NUMBER)
@click.argument("second", type=NUMBER)
@with_book
def diff(book: RunBook, first: int, second: int) -> None:
    """Show the differences between two runs.

    It compares settings, configurations, observables and files.
    """
    click.echo(run_diff(book.experiment, book.page(first), book.page(second)))
