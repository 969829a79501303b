"""``attpc-ioc runs card`` and ``runs import``: run cards, and runs from their cards."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import click
from pydantic import ValidationError

from ioc.cli.output import reason, say_error, table
from ioc.cli.texts import local_time, size
from ioc.errors import Refused
from ioc.model import LARGEST_RUN_NUMBER, Client, RunId, check_experiment
from ioc.ports import FINISHED
from ioc.rundb import cards
from ioc.rundb.card_model import RunCard
from ioc.rundb.connection import open_for_reading
from ioc.rundb.import_cards import Checked, FoundCard, check, differing, import_cards
from ioc.rundb.lock import owner_of
from ioc.rundb.queries import RunBook

_NAME = re.compile(r"run_\d{4,10}\.json")
_LARGEST = 16 * 1024 * 1024
_SAID = 3
"""Errors of one card that are named."""


def schema() -> str:
    """Return the JSON Schema of a card."""
    return files("ioc.rundb").joinpath("run-card.schema.json").read_text(encoding="utf-8")


def print_cards(book: RunBook, numbers: Sequence[int]) -> None:
    """Print the cards of runs as they are now, in UTF-8 whatever the terminal has.

    Raises:
        Refused: there is no such run; then nothing is printed.
    """
    ids = [book.run(number)["id"] for number in numbers]
    with closing(open_for_reading(book.path)) as db:
        for run_id in ids:
            click.echo(cards.card_of(db, run_id).content, nl=False)


def write_cards(book: RunBook, numbers: Sequence[int]) -> None:
    """Let the IOC write the cards of these runs.

    Raises:
        PeerError: the database cannot be written.
        Refused: there is no such run, or one is open.
    """
    cards.ask_for(book.path, book.experiment, {number: book.run(number) for number in numbers})
    when = "the IOC writes" if owner_of(book.path) is not None else "no IOC runs: the next one writes"
    count = "the card" if len(numbers) == 1 else f"the cards of {len(numbers)} runs"
    click.echo(f"{when} {count} of {book.experiment} on every reachable host where it is missing")


def import_runs(database: Path, places: Sequence[Path], *, client: Client, dry_run: bool) -> None:
    """Find cards, and enter their runs unless anything is wrong; print what was or would be entered.

    Everything that is wrong is reported, and the exit code is then 1.

    Raises:
        PeerError: the database cannot be read or written, or an IOC uses it.
    """
    search = _Search()
    for place in places:
        search.look(place)
    latest = list(_latest(search))
    if not (search.found or search.problems):
        search.problems.append(f"there is no card (run_NNNN.json) in {', '.join(map(str, places))}")
    for note in search.notes:
        click.echo(f"note: {note}", err=True)
    only_look = dry_run or search.problems
    checked = check(database, latest) if only_look else import_cards(database, latest, client)
    if problems := (*search.problems, *checked.problems):
        for problem in problems:
            say_error(problem)
        sys.exit(1)
    if checked.new:
        click.echo(_listed(checked.new))
    click.echo(_summary(database, checked, dry_run=dry_run))


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


def _listed(found: Sequence[FoundCard]) -> str:
    heading = ("experiment", "run", "class", "title", "state", "began", "files", "size", "card")
    return table([heading, *map(_line, found)])


def _line(card: FoundCard) -> tuple[str, ...]:
    content = card.content
    texts = (content["run_class"], content["title"], content["state"], local_time(content["started_at"]))
    return (
        *(card.run.experiment, str(card.run.number), *texts),
        *(str(len(content["files"])), size(content["bytes"]), str(card.path)),
    )


def _summary(database: Path, checked: Checked, *, dry_run: bool) -> str:
    count = len(checked.new)
    done = "would be added" if dry_run else "added"
    present = f"; {len(checked.present)} {'was' if len(checked.present) == 1 else 'were'} there already"
    return f"{count} run{'' if count == 1 else 's'} {done} to {database}{present if checked.present else ''}"
