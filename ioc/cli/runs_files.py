"""``attpc-ioc runs``: the files of runs on their hosts."""

# ruff: noqa: PLC0415 - what takes long to import, above all the schema of the topology, is imported where it is needed

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ioc.cli.options import Age, PathName, WholeNumber, database_option, run_range, topology_option
from ioc.cli.runs_options import NUMBER, user, with_book
from ioc.model import Client
from ioc.rundb.queries import RunBook

if TYPE_CHECKING:
    from ioc.topology.schema import Topology


@click.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=NUMBER)
@click.option("--deep", is_flag=True, help="Also read all files and compare their checksums.")
@click.option("--copies", is_flag=True, help="Also check the safe copies, including those of removed files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_book
@click.pass_context
def verify(
    context: click.Context, *, book: RunBook, numbers: tuple[int, ...], deep: bool, copies: bool, as_json: bool
) -> None:
    """Check on the hosts whether the files of runs are intact. Default: all finished runs.

    Lists files that are missing, changed, unreadable, without checksum or not in the database, and hosts that cannot be
    reached. The exit code is 1 if there are any. It changes nothing, and the IOC can be running.

    Without --deep, it does not find changes that keep the size of a file.
    """
    from ioc.cli.verify import verify_runs
    from ioc.topology.load import load

    topology = context.obj or load(context.params["topology"])
    sys.exit(0 if verify_runs(book, topology, numbers, deep=deep, copies=copies, as_json=as_json) else 1)


def _print_schema(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ioc.cli.cards import schema

        click.echo(schema(), nl=False)
        context.exit()


@click.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=NUMBER)
@click.option("--write", is_flag=True, help="Make the IOC write missing cards, also of old runs.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of cards instead of a card.",
)
@with_book
def card(book: RunBook, numbers: tuple[int, ...], *, write: bool) -> None:
    """Print the card of a run, which is stored beside its files as run_NNNN.json."""
    from ioc.cli.cards import print_cards, write_cards

    if not numbers:
        raise click.UsageError("give the numbers of runs")
    (write_cards if write else print_cards)(book, numbers)


@click.command()
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=NUMBER)
@click.option(
    "--older-than", "age", type=Age(), required=True, help="Only runs that ended at least this long ago: 12h, 30d, 8w."
)
@click.option(
    "--copies", type=WholeNumber(1, 100), required=True, help="Number of verified copies that a file must have."
)
@click.option("--deep", is_flag=True, help="Also compute the checksums of the copies again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_book
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
    """Remove data files that have enough verified copies.

    It removes files only of complete runs: of the given runs, or without NUMBER of all. It first checks each copy
    again, and shows which files it would remove, which stay and why. The exit code is 1 if a host or destination could
    not be checked.
    """
    from ioc.cli.purge import purge_runs
    from ioc.topology.load import load

    loaded = topology or load(Path("topology.yaml"))
    client = Client(user(), socket.gethostname())
    purge_runs(loaded, book.path, book.experiment, numbers, age=age, copies=copies, deep=deep, yes=yes, client=client)


@click.command()
@click.argument("numbers", metavar="N[-M]", type=run_range)
@click.argument("directory", type=PathName(file_okay=False))
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the current one of the IOC.")
@click.option(
    "--link/--copy",
    default=True,
    show_default=True,
    help="Use hard links to the files on this machine, or copies; files on other hosts are always copied.",
)
def gather(
    numbers: range, directory: Path, topology: Path, database: Path | None, experiment: str | None, *, link: bool
) -> None:
    """Collect the files of runs as attpc_merger expects them.

    The files of run N go into DIRECTORY/run_NNNN/mmK, where K is the number of their CoBo, from this machine by hard
    link, from other hosts by SSH. Nothing is overwritten. Existing files stay, so if the command was interrupted or
    could not reach a host, run it again to complete the run. The exit code is 1 if anything is missing.
    """
    from ioc.cli.gather import gather_runs
    from ioc.topology.load import load

    loaded = load(topology)
    with RunBook(database or Path(loaded.database), experiment, loaded.experiment) as book:
        whole = gather_runs(book, loaded, numbers, directory, link=link)
    sys.exit(0 if whole else 1)
