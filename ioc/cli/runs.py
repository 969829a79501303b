"""``attpc-ioc runs``: the run database from the command line, with or without a running IOC.

Modules that only some commands need, above all the schema of the topology, are imported in these commands: importing
them takes longer than printing a list of runs.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import functools
import getpass
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ioc.cli.as_json import write_list, write_page
from ioc.cli.export import SAMPLE_FORMATS, SHEET_FORMATS, STATISTICS
from ioc.cli.options import (
    Age,
    Moment,
    PathName,
    WholeNumber,
    database_option,
    output_option,
    run_range,
    topology_option,
)
from ioc.cli.output import data_output, progress, whole_file
from ioc.cli.plot import plot_run
from ioc.cli.texts import run_diff, run_list, run_page
from ioc.errors import Refused
from ioc.model import Client, RunClass, RunQuality, Scalar, check_comment
from ioc.rundb.dataset import PAGE
from ioc.rundb.queries import RunBook, SheetObservable
from ioc.rundb.selection import Selection

if TYPE_CHECKING:
    from ioc.topology.schema import Topology

_TITLE_LENGTH = 200
_NUMBER = WholeNumber(0, 2**31 - 1)
_CLASSES = [each.name for each in RunClass]
_QUALITIES = [each.name for each in RunQuality]
_number_argument = click.argument("number", type=_NUMBER)
_observables_option = click.option(
    "--observable", "observables", multiple=True, help="Only this observable; may be repeated. Default: all."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")


def _with_book(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select database and experiment, and the opened runs as an argument.

    If the topology was read, it is the object of click's context.
    """

    @topology_option
    @database_option
    @click.option("--experiment", help="Experiment; default: the current one of the IOC.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context, *, topology: Path, database: Path | None, experiment: str | None, **arguments: Any
    ) -> None:
        named = context.get_parameter_source("topology") is ParameterSource.COMMANDLINE
        if database is None or named:
            from ioc.topology.load import load

            context.obj = load(topology)
            database = database or Path(context.obj.database)
        with RunBook(database, experiment, context.obj and context.obj.experiment) as book:
            command(book=book, **arguments)

    return wrapped


@click.group()
def runs() -> None:
    """List, show, edit and export runs, with or without a running IOC."""


@runs.command("list")
@click.option("--quality", type=click.Choice(_QUALITIES, case_sensitive=False), help="Only runs of this quality.")
@_json_option
@_with_book
def list_command(book: RunBook, quality: str | None, *, as_json: bool) -> None:
    """List the runs of an experiment."""
    runs = book.selected(Selection(qualities=() if quality is None else (quality,)))
    if as_json:
        with data_output(None, "json") as target:
            write_list(book.experiment, runs, target)
        return
    click.echo(run_list(book.experiment, runs))


@runs.command()
@_number_argument
@_json_option
@_with_book
def show(book: RunBook, number: int, *, as_json: bool) -> None:
    """Show observables, configurations, files and events of a run."""
    page = book.page(number)
    if as_json:
        with data_output(None, "json") as target:
            write_page(book.experiment, page, target)
        return
    click.echo(run_page(book.experiment, page))


@runs.command()
@_number_argument
@click.option("--title", help="New title.")
@click.option("--class", "class_name", type=click.Choice(_CLASSES, case_sensitive=False), help="New class.")
@click.option("--comment", help="New comment; may have several lines.")
@click.option("--quality", type=click.Choice(_QUALITIES, case_sensitive=False), help="New quality.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="New value of a manual observable; may be repeated."
)
@_with_book
def edit(
    *,
    book: RunBook,
    number: int,
    title: str | None,
    class_name: str | None,
    comment: str | None,
    quality: str | None,
    settings: tuple[str, ...],
) -> None:
    """Correct title, class, comment, quality or manual observables of a run.

    Run NUMBER must have ended. Each change becomes an event in the database.
    """
    from ioc.rundb.edit import edit_run

    if title is class_name is comment is quality is None and not settings:
        raise click.UsageError("nothing to change: give --title, --class, --comment, --quality or --set")
    if title is not None and (len(title) > _TITLE_LENGTH or not title.isprintable()):
        raise Refused(f"the title must be one line of at most {_TITLE_LENGTH} printable characters")
    known = book.definitions(number)
    values = dict(_manual_value(book.experiment, known, setting) for setting in settings)
    changes = edit_run(
        book.path,
        book.experiment,
        number,
        title=title,
        run_class=None if class_name is None else RunClass[class_name],
        comment=None if comment is None else check_comment(comment),
        quality=None if quality is None else RunQuality[quality],
        values=values,
        client=Client(_user(), "localhost"),
    )
    for change in changes or [f"run {number} of {book.experiment}: nothing has changed"]:
        click.echo(change)


@runs.command()
@click.argument("first", type=_NUMBER)
@click.argument("second", type=_NUMBER)
@_with_book
def diff(book: RunBook, first: int, second: int) -> None:
    """Show the differences between two runs.

    Settings, configurations, observables and files are compared.
    """
    click.echo(run_diff(book.experiment, book.page(first), book.page(second)))


@runs.command()
@click.argument("numbers", metavar="[N]...", nargs=-1, type=_NUMBER)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SHEET_FORMATS)),
    default="csv",
    show_default=True,
    help="Format of the file; Parquet needs pyarrow, HDF5 needs h5py.",
)
@click.option("--since", type=Moment(), help="Only runs that began then or later, such as 2026-11-22 (local time).")
@click.option(
    "--class",
    "classes",
    type=click.Choice(_CLASSES, case_sensitive=False),
    multiple=True,
    help="Only runs of this class; may be repeated.",
)
@click.option(
    "--quality",
    "qualities",
    type=click.Choice(_QUALITIES, case_sensitive=False),
    multiple=True,
    help="Only runs of this quality; may be repeated.",
)
@_observables_option
@click.option(
    "--statistic",
    "statistics",
    type=click.Choice(STATISTICS),
    multiple=True,
    help="A column of each observable in place of the usual ones; may be repeated.",
)
@output_option
@_with_book
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


@runs.command()
@_number_argument
@_observables_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SAMPLE_FORMATS)),
    help="Format of the file; default: csv. Parquet needs pyarrow.",
)
@click.option("--from-archiver", "archiver", metavar="URL", help="Compare with an EPICS Archiver Appliance instead.")
@output_option
@_with_book
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
        from ioc.cli.appliance import compare_with_archiver

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


@runs.command()
@click.argument("directory", type=PathName(file_okay=False))
@topology_option
@database_option
@click.option("--experiment", help="Only this experiment; default: all.")
def dataset(directory: Path, topology: Path, database: Path | None, experiment: str | None) -> None:
    """Write the database into DIRECTORY as Parquet, or bring it up to date (needs pyarrow).

    For DuckDB, Polars, pandas, Dask, Spark and others. Only files that must change are written again, so this can be
    called often, also in a run. DIRECTORY must be new, empty or a data set.
    """
    from ioc.cli.dataset import write_dataset

    if database is None:
        from ioc.topology.load import load

        database = Path(load(topology).database)
    write_dataset(database, directory, experiment)


@runs.command()
@_number_argument
@_observables_option
@click.option("--output", type=PathName(dir_okay=False), help="PNG file; default: run_NNNN.png.")
@_with_book
def plot(book: RunBook, number: int, observables: tuple[str, ...], output: Path | None) -> None:
    """Plot the observables of a run (needs matplotlib).

    The PNG also shows gaps, alarms and changes of state.
    """
    target = output or Path(f"run_{number:04d}.png")
    with whole_file(target, book.path) as path:
        plot_run(book, number, observables, path)
    click.echo(target)


@runs.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=_NUMBER)
@click.option("--deep", is_flag=True, help="Also read all files and compare their checksums.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@_with_book
@click.pass_context
def verify(context: click.Context, *, book: RunBook, numbers: tuple[int, ...], deep: bool, as_json: bool) -> None:
    """Look on the hosts whether the files of runs are whole. Default: all runs that have ended.

    Shows files that are missing, changed or unreadable, that have no checksum yet, and that the database does not
    know, and hosts that cannot be reached. The exit code is 1 if there are any. Nothing is changed; the IOC may run.

    Without --deep, a change of the content that leaves the size is not found.
    """
    from ioc.cli.verify import verify_runs
    from ioc.topology.load import load

    topology = context.obj or load(context.params["topology"])
    sys.exit(0 if verify_runs(book, topology, numbers, deep=deep, as_json=as_json) else 1)


@runs.command()
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the name of the directories that hold the runs.")
@click.option(
    "--class",
    "class_name",
    type=click.Choice(_CLASSES, case_sensitive=False),
    default=RunClass.Testing.name,
    show_default=True,
    help="Class of these runs.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def adopt(
    directories: tuple[Path, ...],
    topology: Path,
    database: Path | None,
    experiment: str | None,
    class_name: str,
    *,
    dry_run: bool,
) -> None:
    """Enter runs into the database whose files exist, but which it does not know.

    DIRECTORY is that of an experiment, which has directories run_NNNN, or that of one run. Those of all routers and of
    the backups of configurations may be named: the same number is the same run. The IOC must not run. Nothing is
    entered if anything is wrong.
    """
    from ioc.cli.adopt import adopt_runs

    routers: dict[str, str] = {}
    if database is None:
        from ioc.topology.load import load

        loaded = load(topology)
        database = Path(loaded.database)
        routers = {source.id: source.data_routers[0] for source in loaded.data_sources}
    client = Client(_user(), "localhost")
    adopt_runs(database, directories, experiment, RunClass[class_name], client=client, routers=routers, dry_run=dry_run)


def _print_schema(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ioc.cli.cards import schema

        click.echo(schema(), nl=False)
        context.exit()


@runs.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=_NUMBER)
@click.option("--write", is_flag=True, help="Have the IOC write them, also of old runs, where they are missing.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of cards instead.",
)
@_with_book
def card(book: RunBook, numbers: tuple[int, ...], *, write: bool) -> None:
    """Print the card of a run, which lies beside its files as run_NNNN.json."""
    from ioc.cli.cards import print_cards, write_cards

    if not numbers:
        raise click.UsageError("give the numbers of runs")
    (write_cards if write else print_cards)(book, numbers)


@runs.command("import")
@click.argument("places", metavar="CARD...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def import_command(places: tuple[Path, ...], topology: Path, database: Path | None, *, dry_run: bool) -> None:
    """Rebuild runs in the database from their cards.

    CARD is a file run_NNNN.json, or a directory that is searched for such files. Cards of the same run are one run: the
    latest counts. The IOC must not run. Nothing is entered if anything is wrong.
    """
    from ioc.cli.cards import import_runs

    if database is None:
        from ioc.topology.load import load

        database = Path(load(topology).database)
    import_runs(database, places, client=Client(_user(), "localhost"), dry_run=dry_run)


@runs.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=_NUMBER)
@click.option("--older-than", "age", type=Age(), required=True, help="Only runs that ended before: 12h, 30d, 8w.")
@click.option(
    "--copies", type=WholeNumber(1, 100), required=True, help="Verified copies that a file must have to be removed."
)
@click.option("--deep", is_flag=True, help="Also compute the checksums of the copies again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_book
@click.pass_obj
def purge(
    topology: Topology | None,
    *,
    book: RunBook,
    numbers: tuple[int, ...],
    age: float,
    copies: int,
    deep: bool,
    yes: bool,
) -> None:
    """Remove data files that have enough verified copies from their hosts.

    Only files of complete runs are removed, without NUMBER of all. Each copy is looked at again before. What would be
    removed, and what stays and why, is shown first. The exit code is 1 if a host or destination could not be looked at.
    """
    from ioc.cli.purge import purge_runs
    from ioc.topology.load import load

    loaded = topology or load(Path("topology.yaml"))
    client = Client(_user(), socket.gethostname())
    purge_runs(loaded, book.path, book.experiment, numbers, age=age, copies=copies, deep=deep, yes=yes, client=client)


@runs.command()
@click.argument("numbers", metavar="N[-M]", type=run_range)
@click.argument("directory", type=PathName(file_okay=False))
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the current one of the IOC.")
@click.option(
    "--link/--copy",
    default=True,
    show_default=True,
    help="Hard links to the files of this machine, or copies; those of other hosts are always copied.",
)
def gather(
    numbers: range, directory: Path, topology: Path, database: Path | None, experiment: str | None, *, link: bool
) -> None:
    """Gather the files of runs as attpc_merger expects them.

    The files of run N get into DIRECTORY/run_NNNN/mmK by the number K of their CoBo, from this machine by hard link,
    from other hosts by SSH. Nothing is overwritten. Files that are there are left as they are, so a gathering that was
    interrupted, or had no access to a host, is completed by another one. The exit code is 1 if anything is missing.
    """
    from ioc.cli.gather import gather_runs
    from ioc.topology.load import load

    loaded = load(topology)
    with RunBook(database or Path(loaded.database), experiment, loaded.experiment) as book:
        whole = gather_runs(book, loaded, numbers, directory, link=link)
    sys.exit(0 if whole else 1)


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
        raise Refused(f"observable {name} has a source PV: only a manual observable can be edited")
    return known[name], parse_manual(Observable.model_validate({"name": name, "type": known[name].value_type}), text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13: the account has no name
        return f"uid {os.getuid()}"
