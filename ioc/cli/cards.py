"""``attpc-ioc runs card`` and ``runs import``: run cards, and runs from their cards."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import click
from pydantic import ValidationError

from ioc.cli.options import PathName, database_of, database_option, topology_option
from ioc.cli.output import count, reason, say_error, table
from ioc.cli.runs import dry_run_option, numbers_argument, this_client, with_book
from ioc.cli.texts import local_time, size
from ioc.errors import Refused
from ioc.model import LARGEST_RUN_NUMBER, RunId, check_experiment
from ioc.ports import FINISHED
from ioc.rundb import cards
from ioc.rundb.card_model import RunCard
from ioc.rundb.connection import reading
from ioc.rundb.import_cards import FoundCard, check, differing, import_cards
from ioc.rundb.lock import owner_of
from ioc.rundb.queries import RunBook

_NAME = re.compile(r"run_\d{4,10}\.json")
_LARGEST = 16 * 1024 * 1024
_SAID = 3
"""Errors of one card that are named."""


def _print_schema(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(files("ioc.rundb").joinpath("run-card.schema.json").read_text(encoding="utf-8"), nl=False)
        context.exit()


@click.command()
@numbers_argument
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
    if not numbers:
        raise click.UsageError("give the numbers of runs")
    runs = {number: book.run(number) for number in numbers}
    if write:
        cards.ask_for(book.path, book.experiment, runs)
        when = "the IOC writes" if owner_of(book.path) is not None else "no IOC runs: the next one writes"
        what = "the card" if len(numbers) == 1 else f"the cards of {len(numbers)} runs"
        click.echo(f"{when} {what} of {book.experiment} on every reachable host where it is missing")
        return
    with reading(book.path) as db:
        for number in numbers:
            # in UTF-8 whatever the terminal has
            click.echo(cards.card_of(db, runs[number]["id"]).content, nl=False)


@click.command("import")
@click.argument("places", metavar="CARD...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@dry_run_option
def import_command(places: tuple[Path, ...], topology: Path, database: Path | None, *, dry_run: bool) -> None:
    """Rebuild runs in the database from their cards.

    CARD is a file run_NNNN.json, or a directory to search for such files. Of several cards of a run, the latest is
    used. Stop the IOC first. If there is any error, nothing is added.
    """
    database = database_of(topology, database)
    search = _Search()
    for place in places:
        search.look(place)
    latest = list(_latest(search))
    if not (search.found or search.problems):
        search.problems.append(f"there is no card (run_NNNN.json) in {', '.join(map(str, places))}")
    for note in search.notes:
        click.echo(f"note: {note}", err=True)
    only_look = dry_run or search.problems
    checked = check(database, latest) if only_look else import_cards(database, latest, this_client())
    if problems := (*search.problems, *checked.problems):
        for problem in problems:
            say_error(problem)
        sys.exit(1)
    if checked.new:
        heading = ("experiment", "run", "class", "title", "state", "began", "files", "size", "card")
        click.echo(table([heading, *map(_line, checked.new)]))
    done = "would be added" if dry_run else "added"
    known = len(checked.present)
    present = f"; {known} {'was' if known == 1 else 'were'} there already" if known else ""
    click.echo(f"{count(len(checked.new), 'run')} {done} to {database}{present}")


@dataclass
class _Search:
    """The cards found, and their errors."""

    found: list[FoundCard] = field(default_factory=list[FoundCard])
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    seen: set[str] = field(default_factory=set[str])

    def look(self, place: Path) -> None:
        """Read a card, or search a directory and all below it."""
        if not place.is_dir():
            self._read(place, named=True)
            return

        def unreadable(error: OSError) -> None:
            self.problems.append(f"{error.filename or place} cannot be read: {reason(error)}")

        for directory, below, names in os.walk(place, onerror=unreadable):
            below.sort()
            for name in sorted(names):
                if _NAME.fullmatch(name):
                    self._read(Path(directory, name), named=False)

    def _read(self, path: Path, *, named: bool) -> None:
        """Read a card; `named`: it was not searched for, so it must be one."""
        real = os.path.realpath(path)
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
                self._no_card(path, named=named)
                return
            text = path.read_bytes()
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {reason(error)}")
            return
        try:
            content: Any = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            if cards.begins_as_card(text):
                self.problems.append(f"{path} is damaged: leave it out, another host has the same card")
            else:
                self._no_card(path, named=named)
            return
        card = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
        if card.get("schema") != cards.SCHEMA:
            self._no_card(path, named=named)
        elif problem := _wrong(card):
            self.problems.append(f"{path}: {problem}")
        else:
            self.found.append(FoundCard(path, card, status.st_mtime))

    def _no_card(self, path: Path, *, named: bool) -> None:
        if named:
            self.problems.append(f"{path} is not a run card: give cards, or directories to search for run_NNNN.json")
        else:
            self.notes.append(f"{path} is not a run card and is skipped")


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _wrong(content: dict[str, Any]) -> str:
    """Return what is wrong with a card; empty if nothing."""
    version = content.get("version")
    if isinstance(version, int) and version > cards.VERSION:
        return f"it has version {version}, but this program knows only {cards.VERSION}: install a newer attpc-ioc"
    try:
        card = RunCard.model_validate(content)
        check_experiment(card.experiment)
    except ValidationError as error:
        texts = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        more = f" and {len(texts) - _SAID} more" if len(texts) > _SAID else ""
        return f"{'; '.join(texts[:_SAID])}{more}"
    except Refused as error:
        return str(error)
    if card.state not in {state.value for state in FINISHED}:
        return f"the run is {card.state}, but must have ended"
    if card.run_number > LARGEST_RUN_NUMBER:
        return f"run_number is {card.run_number}, but must be at most {LARGEST_RUN_NUMBER}"
    return ""


def _latest(search: _Search) -> Iterator[FoundCard]:
    """Yield the latest card of each run; note in what others differ."""
    by_run: dict[RunId, list[FoundCard]] = {}
    for card in search.found:
        by_run.setdefault(card.run, []).append(card)
    for run in sorted(by_run, key=lambda run: (run.experiment, run.number)):
        its = sorted(by_run[run], key=lambda card: card.age)
        latest = its[-1]
        for other in its[:-1]:
            if differences := differing(latest.content, other.content):
                search.notes.append(
                    f"{run} of {run.experiment}: {latest.path} is later than {other.path}, which differs in "
                    f"{', '.join(differences)} and is ignored"
                )
        yield latest


def _line(card: FoundCard) -> tuple[str, ...]:
    content = card.content
    texts = (content["run_class"], content["title"], content["state"], local_time(content["started_at"]))
    last = (str(len(content["files"])), size(content["bytes"]), str(card.path))
    return (card.run.experiment, str(card.run.number), *texts, *last)
