"""``attpc-ioc runs``: editing runs, and entering those that the database does not know."""

# ruff: noqa: PLC0415 - what takes long to import, above all the schema of the topology, is imported where it is needed

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from ioc.cli.options import PathName, database_option, topology_option
from ioc.cli.runs_options import CLASSES, QUALITIES, number_argument, user, with_book
from ioc.errors import Refused
from ioc.model import Client, RunClass, RunQuality, Scalar, check_comment
from ioc.rundb.queries import RunBook, SheetObservable

_TITLE_LENGTH = 200


@click.command()
@number_argument
@click.option("--title", help="New title.")
@click.option("--class", "class_name", type=click.Choice(CLASSES, case_sensitive=False), help="New class.")
@click.option("--comment", help="New comment; can have several lines.")
@click.option("--quality", type=click.Choice(QUALITIES, case_sensitive=False), help="New quality.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="New value of a manual observable; may be repeated."
)
@with_book
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
        client=Client(user(), "localhost"),
    )
    for change in changes or [f"run {number} of {book.experiment}: nothing has changed"]:
        click.echo(change)


@click.command()
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the name of the directory above the runs.")
@click.option(
    "--class",
    "class_name",
    type=click.Choice(CLASSES, case_sensitive=False),
    default=RunClass.Testing.name,
    show_default=True,
    help="Class of these runs.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be added.")
def adopt(
    directories: tuple[Path, ...],
    topology: Path,
    database: Path | None,
    experiment: str | None,
    class_name: str,
    *,
    dry_run: bool,
) -> None:
    """Add runs to the database from their files.

    DIRECTORY is that of an experiment, with run_NNNN directories in it, or that of one run. Give those of all routers
    and of the configuration backups: directories with the same number are one run. Stop the IOC first. If there is any
    error, nothing is added.
    """
    from ioc.cli.adopt import adopt_runs

    routers: dict[str, str] = {}
    if database is None:
        from ioc.topology.load import load

        loaded = load(topology)
        database = Path(loaded.database)
        routers = {source.id: source.data_routers[0] for source in loaded.data_sources}
    client = Client(user(), "localhost")
    adopt_runs(database, directories, experiment, RunClass[class_name], client=client, routers=routers, dry_run=dry_run)


@click.command("import")
@click.argument("places", metavar="CARD...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--dry-run", is_flag=True, help="Only show what would be added.")
def import_command(places: tuple[Path, ...], topology: Path, database: Path | None, *, dry_run: bool) -> None:
    """Rebuild runs in the database from their cards.

    CARD is a file run_NNNN.json, or a directory to search for such files. Of several cards of a run, the latest is
    used. Stop the IOC first. If there is any error, nothing is added.
    """
    from ioc.cli.cards import import_runs

    if database is None:
        from ioc.topology.load import load

        database = Path(load(topology).database)
    import_runs(database, places, client=Client(user(), "localhost"), dry_run=dry_run)


def _manual_value(
    experiment: str, known: Mapping[str, SheetObservable], setting: str
) -> tuple[SheetObservable, Scalar]:
    from ioc.topology.manual_value import parse_manual
    from ioc.topology.schema import Observable

    name, separator, text = setting.partition("=")
    if not separator:
        raise click.UsageError(f"--set {setting} must be NAME=VALUE")
    if name not in known:
        raise Refused(f"experiment {experiment} has no observable {name}: it has {', '.join(known) or 'none'}")
    if not known[name].manual:
        raise Refused(f"observable {name} has a source PV: only a manual observable can be edited")
    return known[name], parse_manual(Observable.model_validate({"name": name, "type": known[name].value_type}), text)
