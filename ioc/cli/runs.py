"""``attpc-ioc runs``: the run database from the command line, with or without a running IOC.

What only some commands need, above all the schema of the topology, they import themselves: importing it takes longer
than printing a list of runs.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import functools
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ioc.cli.export import (
    write_samples_csv,
    write_samples_parquet,
    write_sheet_csv,
    write_sheet_json,
    write_sheet_parquet,
)
from ioc.cli.options import PathName, WholeNumber, database_option, output_option, topology_option
from ioc.cli.output import progress, text_output, whole_file
from ioc.cli.plot import plot_run
from ioc.cli.texts import run_diff, run_list, run_page
from ioc.errors import Refused
from ioc.model import Client, RunClass, Scalar
from ioc.rundb.queries import RunBook, SheetObservable

_TITLE_LENGTH = 200
_NUMBER = WholeNumber(0, 2**31 - 1)
_CLASSES = [each.name for each in RunClass]
_number_argument = click.argument("number", type=_NUMBER)
_observables_option = click.option(
    "--observable", "observables", multiple=True, help="Only this observable; may be repeated. Default: all."
)


@dataclass(frozen=True)
class _Place:
    """Where the runs are."""

    database: Path
    experiment: str | None
    """As asked for."""
    topology: str | None
    """The topology's experiment, if one was read."""
    thinned: frozenset[str] = frozenset()
    """Observables with a dead band or a rate limit, if a topology was read."""

    def open(self) -> RunBook:
        return RunBook(self.database, self.experiment, self.topology)


def _with_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the runs are."""

    @topology_option
    @database_option
    @click.option("--experiment", help="Experiment; default: the one that the IOC is in.")
    @functools.wraps(command)
    def wrapped(*, topology: Path, database: Path | None, experiment: str | None, **arguments: Any) -> None:
        if database is not None:
            place = _Place(database, experiment, None)
        else:
            from ioc.topology.load import load

            loaded = load(topology)
            thinned = frozenset(each.name for each in loaded.observables if each.deadband or each.max_rate)
            place = _Place(Path(loaded.database), experiment, loaded.experiment, thinned)
        command(place=place, **arguments)

    return wrapped


@click.group()
def runs() -> None:
    """List, show, edit and export runs, with or without a running IOC."""


@runs.command("list")
@_with_place
def list_command(place: _Place) -> None:
    """List the runs of an experiment."""
    with place.open() as book:
        click.echo(run_list(book.experiment, book.runs()))


@runs.command()
@_number_argument
@_with_place
def show(place: _Place, number: int) -> None:
    """Show observables, configurations, files and events of a run."""
    with place.open() as book:
        click.echo(run_page(book.experiment, book.page(number)))


@runs.command()
@_number_argument
@click.option("--title", help="New title.")
@click.option("--class", "class_name", type=click.Choice(_CLASSES, case_sensitive=False), help="New class.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="New value of a manual observable; may be repeated."
)
@_with_place
def edit(place: _Place, number: int, title: str | None, class_name: str | None, settings: tuple[str, ...]) -> None:
    """Correct title, class or manual observables of a run.

    Run NUMBER must have ended. Each change becomes an event in the database.
    """
    from ioc.rundb.edit import edit_run

    if title is None and class_name is None and not settings:
        raise click.UsageError("nothing to change: give --title, --class or --set")
    if title is not None and (len(title) > _TITLE_LENGTH or not title.isprintable()):
        raise Refused(f"the title must be one line of at most {_TITLE_LENGTH} printable characters")
    with place.open() as book:
        experiment = book.experiment
        known = book.definitions(number)
        values = dict(_manual_value(experiment, known, setting) for setting in settings)
    changes = edit_run(
        place.database,
        experiment,
        number,
        title=title,
        run_class=None if class_name is None else RunClass[class_name],
        values=values,
        client=Client(_user(), "localhost"),
    )
    for change in changes or [f"run {number} of {experiment}: nothing has changed"]:
        click.echo(change)


@runs.command()
@click.argument("first", type=_NUMBER)
@click.argument("second", type=_NUMBER)
@_with_place
def diff(place: _Place, first: int, second: int) -> None:
    """Show the differences between two runs.

    They are those in settings, configurations, observables and files.
    """
    with place.open() as book:
        click.echo(run_diff(book.experiment, book.page(first), book.page(second)))


@runs.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of the file; Parquet needs pyarrow.",
)
@output_option
@_with_place
def export(place: _Place, form: str, output: Path | None) -> None:
    """Write the run sheet: a line for each run.

    It has the data of the run, then its observables and their statistics.

    In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    with place.open() as book:
        if form == "parquet":
            with whole_file(_required(output), place.database) as path:
                write_sheet_parquet(book, path)
        else:
            with text_output(output, form, place.database) as stream:
                (write_sheet_csv if form == "csv" else write_sheet_json)(book, stream)


@runs.command()
@_number_argument
@_observables_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    help="Format of the file; default: csv. Parquet needs pyarrow.",
)
@click.option("--from-archiver", "archiver", metavar="URL", help="Compare with an EPICS Archiver Appliance instead.")
@output_option
@_with_place
def samples(
    place: _Place,
    *,
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
        from ioc.cli.appliance import compare_with_archiver

        with place.open() as book:
            text, agree = compare_with_archiver(book, number, observables, archiver, place.thinned)
        click.echo(text)
        sys.exit(0 if agree else 1)
    with place.open() as book:
        chosen = book.sampled(number, observables)
        rows = book.samples(number, chosen)
        count = book.count_samples(number, chosen)
        if form == "parquet":
            with whole_file(_required(output), place.database) as path, progress(rows, count, "writing") as shown:
                write_samples_parquet(shown, path)
        elif output is not None:
            with text_output(output, "csv", place.database) as stream, progress(rows, count, "writing") as shown:
                write_samples_csv(shown, stream)
        else:  # no progress bar among the lines on the terminal
            with text_output(None, "csv") as stream:
                write_samples_csv(rows, stream)


@runs.command()
@_number_argument
@_observables_option
@click.option("--output", type=PathName(dir_okay=False), help="PNG file; default: run_NNNN.png.")
@_with_place
def plot(place: _Place, number: int, observables: tuple[str, ...], output: Path | None) -> None:
    """Plot the observables of a run (needs matplotlib).

    The PNG also shows gaps, alarms and changes of state.
    """
    target = output or Path(f"run_{number:04d}.png")
    with place.open() as book, whole_file(target, place.database) as path:
        plot_run(book, number, observables, path)
    click.echo(target)


def _manual_value(
    experiment: str, known: Mapping[str, SheetObservable], setting: str
) -> tuple[SheetObservable, Scalar]:
    from ioc.recorder import parse_manual
    from ioc.topology.schema import Observable

    name, separator, text = setting.partition("=")
    if not separator:
        raise click.UsageError(f"--set {setting} must be NAME=VALUE")
    if name not in known:
        raise Refused(f"experiment {experiment} has no observable {name}: it has {', '.join(known) or 'none'}")
    if not known[name].manual:
        raise Refused(f"observable {name} follows a PV: only a manual observable can be edited")
    return known[name], parse_manual(Observable.model_validate({"name": name, "type": known[name].value_type}), text)


def _required(output: Path | None) -> Path:
    if output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    return output


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before Python 3.13 the first: the account has no name
        return f"uid {os.getuid()}"
