"""``attpc-ioc runs``: the run database from the command line, and what its commands share."""

from __future__ import annotations

import functools
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ioc.cli.lazy import LazyGroup
from ioc.cli.options import WholeNumber, database_option, topology_option
from ioc.model import Client, RunClass, RunQuality
from ioc.rundb.queries import RunBook

NUMBER = WholeNumber(0, 2**31 - 1)
CLASS = click.Choice([each.name for each in RunClass], case_sensitive=False)
QUALITY = click.Choice([each.name for each in RunQuality], case_sensitive=False)
number_argument = click.argument("number", type=NUMBER)
numbers_argument = click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=NUMBER)
observables_option = click.option(
    "--observable", "observables", multiple=True, help="Only this observable; may be repeated. Default: all."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would be added.")
experiment_option = click.option("--experiment", help="Experiment; default: the current one of the IOC.")


_ELSEWHERE = {
    "list": ("runs_look", "List the runs of an experiment."),
    "show": ("runs_look", "Show observables, configurations, files and events of a run."),
    "diff": ("runs_look", "Show the differences between two runs."),
    "export": ("export", "Write the runs of an experiment, or runs N only."),
    "samples": ("export", "Write the samples of a run."),
    "card": ("cards", "Print the card of a run, which is stored beside its files as run_NNNN.json."),
    "import": ("cards", "Rebuild runs in the database from their cards."),
    "adopt": ("adopt", "Add runs to the database from their files."),
    "dataset": ("dataset", "Write the database into DIRECTORY as Parquet, or update it (needs pyarrow)."),
    "edit": ("edit", "Correct title, class, comment, quality or manual observables of a run."),
    "gather": ("gather", "Collect the files of runs as attpc_merger expects them."),
    "plot": ("plot", "Plot the observables of a run (needs matplotlib)."),
    "purge": ("purge", "Remove data files that have enough verified copies."),
    "verify": ("verify", "Check on the hosts whether the files of runs are intact."),
}


@click.group(cls=LazyGroup, elsewhere=_ELSEWHERE)
def runs() -> None:
    """List, show, edit and export runs, with or without a running IOC."""


def with_book(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select database and experiment, and the opened runs as an argument.

    If the topology was read, it is the object of click's context.
    """

    @topology_option
    @database_option
    @experiment_option
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context, *, topology: Path, database: Path | None, experiment: str | None, **arguments: Any
    ) -> None:
        named = context.get_parameter_source("topology") is ParameterSource.COMMANDLINE
        if database is None or named:
            from ioc.topology.load import load  # noqa: PLC0415 - takes longer to import than listing the runs

            context.obj = load(topology)
            database = database or Path(context.obj.database)
        with RunBook(database, experiment, context.obj and context.obj.experiment) as book:
            command(book=book, **arguments)

    return wrapped


def this_client(host: str = "localhost") -> Client:
    """The account of the user, as the database has it."""
    try:
        return Client(getpass.getuser(), host)
    except (KeyError, OSError):  # KeyError before Python 3.13: the account has no name
        return Client(f"uid {os.getuid()}", host)
