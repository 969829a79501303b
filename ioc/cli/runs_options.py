"""Options that the commands of ``attpc-ioc runs`` share, such as the database and the experiment."""

# ruff: noqa: PLC0415 - what takes long to import, above all the schema of the topology, is imported where it is needed

from __future__ import annotations

import functools
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ioc.cli.options import WholeNumber, database_option, topology_option
from ioc.model import RunClass, RunQuality
from ioc.rundb.queries import RunBook

NUMBER = WholeNumber(0, 2**31 - 1)
CLASSES = [each.name for each in RunClass]
QUALITIES = [each.name for each in RunQuality]
number_argument = click.argument("number", type=NUMBER)
observables_option = click.option(
    "--observable", "observables", multiple=True, help="Only this observable; may be repeated. Default: all."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")


def with_book(command: Callable[..., None]) -> Callable[..., None]:
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


def user() -> str:
    """The account of the user, as the database has it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13: the account has no name
        return f"uid {os.getuid()}"
