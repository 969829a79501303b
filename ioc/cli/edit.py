"""``attpc-ioc runs edit``: corrects a run."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ioc.cli.runs import CLASS, QUALITY, number_argument, this_client, with_book
from ioc.errors import Refused
from ioc.model import RunClass, RunQuality, Scalar, check_comment
from ioc.rundb.edit import edit_run
from ioc.rundb.queries import RunBook, SheetObservable
from ioc.topology.manual_value import parse_manual
from ioc.topology.schema import Observable

_TITLE_LENGTH = 200


@click.command()
@number_argument
@click.option("--title", help="New title.")
@click.option("--class", "class_name", type=CLASS, help="New class.")
@click.option("--comment", help="New comment; can have several lines.")
@click.option("--quality", type=QUALITY, help="New quality.")
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
    if title is class_name is comment is quality is None and not settings:
        raise click.UsageError("nothing to change: give --title, --class, --comment, --quality or --set")
    if title is not None and (len(title) > _TITLE_LENGTH or not title.isprintable()):
        raise Refused(f"the title must be one line of at most {_TITLE_LENGTH} printable characters")
    known = book.definitions(number)
    changes = edit_run(
        book.path,
        book.experiment,
        number,
        title=title,
        run_class=None if class_name is None else RunClass[class_name],
        comment=None if comment is None else check_comment(comment),
        quality=None if quality is None else RunQuality[quality],
        values=dict(_manual_value(book.experiment, known, setting) for setting in settings),
        client=this_client(),
    )
    for change in changes or [f"run {number} of {book.experiment}: nothing has changed"]:
        click.echo(change)


def _manual_value(
    experiment: str, known: Mapping[str, SheetObservable], setting: str
) -> tuple[SheetObservable, Scalar]:
    name, separator, text = setting.partition("=")
    if not separator:
        raise click.UsageError(f"--set {setting} must be NAME=VALUE")
    if name not in known:
        raise Refused(f"experiment {experiment} has no observable {name}: it has {', '.join(known) or 'none'}")
    if not known[name].manual:
        raise Refused(f"observable {name} has a source PV: only a manual observable can be edited")
    return known[name], parse_manual(Observable.model_validate({"name": name, "type": known[name].value_type}), text)
