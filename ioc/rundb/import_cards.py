# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Enters runs from their cards, to rebuild a database that is lost.

What is not on a card is not rebuilt: samples, puts, settings, events without alarm, and what recording needs to go on
with an open run. Label, comment and order of an observable are those of its newest card.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ioc.errors import PeerError
from ioc.model import Client, RunId, Severity
from ioc.rundb import cards
from ioc.rundb.cards import Content
from ioc.rundb.connection import peer_error, reading
from ioc.rundb.dict_rows import Readable
from ioc.rundb.documents import experiment_id
from ioc.rundb.rows import storable
from ioc.rundb.run_sheet import rebuild_run_sheet
from ioc.rundb.session import Session
from ioc.rundb.times import to_text

if TYPE_CHECKING:
    from sqlite_utils import Database

_PATIENCE_SECONDS = 3.0
_DEFINITION = ("name", "units", "value_type", "source_pv")
"""Identity of an observable within its experiment."""
_DESCRIPTION = ("label", "comment", "display_order")
_FILE = ("router", "host", "path", "bytes", "source", "moved_at", "checksum", "checksummed_at", "purged_at")
_RUN = (
    *("title", "run_class", "state", "quality", "comment", "reserved_at", "started_at", "stopped_at", "adopted_at"),
    *("duration", "good_fraction", "bytes", "message", "config_name"),
)


@dataclass(frozen=True)
class FoundCard:
    """A card that was read from a file."""

    path: Path
    content: Content
    modified: float
    """When the file was written."""

    @property
    def run(self) -> RunId:
        return RunId(self.content["experiment"], self.content["run_number"])

    @property
    def age(self) -> tuple[str, float]:
        """Sorts cards of one run, the latest last."""
        return self.content["changed_at"] or "", self.modified


@dataclass(frozen=True)
class Checked:
    """How cards stand to what the database has."""

    new: tuple[FoundCard, ...]
    present: tuple[FoundCard, ...]
    """The database has exactly this."""
    problems: tuple[str, ...]


def differing(first: Content, second: Content) -> list[str]:
    """Return the fields in which two cards of a run differ; by which program they were written does not count."""
    return [name for name in first if name != "software" and first[name] != second.get(name)]


def check(path: Path, found: Sequence[FoundCard]) -> Checked:
    """Compare cards, one for each run, with the database, which need not exist.

    Raises:
        PeerError: the database cannot be read.
    """
    if not path.exists():
        return Checked(tuple(found), (), tuple(_shared_files({}, found)))
    with reading(path) as db:
        return _check(db, found)


def import_cards(path: Path, found: Sequence[FoundCard], client: Client) -> Checked:
    """Enter all cards, one for each run, or none, into the database, which is created if it does not exist.

    No IOC may use it meanwhile. If the result has problems, nothing was entered.

    Raises:
        PeerError: the database cannot be written, an IOC uses it, or the rows of a card contradict each other.
    """
    session = Session(path)
    try:
        session.open(_PATIENCE_SECONDS)
        with session.transaction(_PATIENCE_SECONDS) as db:
            checked = _check(db, found)
            if not checked.problems:
                _enter_all(db, checked.new, client)
    except sqlite3.Error as error:
        raise peer_error(path, error) from error
    finally:
        session.close()
    return checked


def _check(db: Readable, found: Sequence[FoundCard]) -> Checked:
    new: list[FoundCard] = []
    present: list[FoundCard] = []
    problems: list[str] = []
    for card in found:
        row = db.execute(
            "SELECT runs.id FROM runs JOIN experiments ON experiments.id = experiment_id "
            "WHERE name = ? AND run_number = ?",
            [card.run.experiment, card.run.number],
        ).fetchone()
        if row is None:
            new.append(card)
        elif differences := differing(json.loads(cards.encode(cards.read(db, row[0]))), card.content):
            problems.append(
                f"{card.run} of {card.run.experiment} is in the database already, but differs from {card.path} in "
                f"{', '.join(differences)}"
            )
        else:
            present.append(card)
    rows = db.execute(
        "SELECT host, path, name, run_number FROM files "
        "JOIN runs ON runs.id = run_id JOIN experiments ON experiments.id = experiment_id"
    )
    owners = {(host, path): f"run {number} of {experiment}" for host, path, experiment, number in rows}
    return Checked(tuple(new), tuple(present), (*problems, *_shared_files(owners, new)))


def _shared_files(owners: Mapping[tuple[str, str], str], found: Iterable[FoundCard]) -> Iterator[str]:
    """Say which files two runs claim."""
    known = dict(owners)
    for card in found:
        its_own = f"{card.run} of {card.run.experiment}"
        for file in card.content["files"]:
            owner = known.setdefault((file["host"], file["path"]), its_own)
            if owner != its_own:
                yield f"{card.path}: its file {file['path']} on {file['host']} belongs to {owner}"


def _enter_all(db: Database, found: Sequence[FoundCard], client: Client) -> None:
    # Ids increase with time.
    in_order = sorted(found, key=lambda card: (card.content["reserved_at"], card.run.experiment, card.run.number))
    for card in in_order:  # an experiment is as old as its first run
        row = {"name": card.run.experiment}
        db.table("experiments").lookup(row, {"created_at": card.content["reserved_at"]})
    definitions = _Definitions(db)
    for card in reversed(in_order):
        definitions.add(card)
    now = to_text(time.time())
    for card in in_order:
        try:
            _enter(db, card, definitions, client, now)
        except sqlite3.IntegrityError as error:
            raise PeerError(f"{card.path} contradicts itself ({error}): leave it out or correct it") from error
    rebuild_run_sheet(db)


class _Definitions:
    """The observables of experiments; missing ones are created, from the newest card to the oldest."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ids: dict[tuple[Any, ...], int] = {}
        self._used: dict[tuple[str, str], int] = {}
        """Ids of the observables in use, by experiment and name."""
        rows = db.query(
            "SELECT experiments.name AS experiment, observables.* FROM observables "
            "JOIN experiments ON experiments.id = experiment_id ORDER BY observables.id"
        )
        for row in rows:
            self._ids[_identity(row["experiment"], row)] = row["id"]
            if row["retired_at"] is None:
                self._used[row["experiment"], row["name"]] = row["id"]

    def add(self, card: FoundCard) -> None:
        """Create those of a card that do not exist; one that has a newer namesake is retired."""
        experiment = card.run.experiment
        for each in card.content["observables"]:
            key = _identity(experiment, each)
            if key in self._ids:
                continue
            named = (experiment, str(storable(each["name"])))
            row = {column: each[column] for column in (*_DEFINITION, *_DESCRIPTION)}
            row |= {
                "experiment_id": experiment_id(self._db, experiment),
                "retired_at": card.content["reserved_at"] if named in self._used else None,
            }
            self._ids[key] = _insert(self._db, "observables", row)
            self._used.setdefault(named, self._ids[key])

    def of(self, card: FoundCard, observable: Content) -> int:
        """Return the id of an observable of a card."""
        return self._ids[_identity(card.run.experiment, observable)]

    def named(self, card: FoundCard, name: str | None) -> int | None:
        """Return the id of the observable of an interval; None if neither the card nor the database knows it."""
        if name is None:
            return None
        on_card = next((each for each in card.content["observables"] if each["name"] == name), None)
        return self._used.get((card.run.experiment, name)) if on_card is None else self.of(card, on_card)


def _identity(experiment: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return experiment, *(storable(row[column]) for column in _DEFINITION)


def _enter(db: Database, card: FoundCard, definitions: _Definitions, client: Client, now: str) -> None:
    content, run = card.content, card.run
    row = {column: content[column] for column in _RUN}
    owner = {"experiment_id": experiment_id(db, run.experiment), "run_number": run.number}
    run_id = _insert(db, "runs", owner | row)
    of_run = {"run_id": run_id}
    for each in content["configs"]:
        _insert(db, "run_configs", of_run | each)
    for each in content["observables"]:
        measured = {name: value for name, value in each.items() if name not in (*_DEFINITION, *_DESCRIPTION)}
        _insert(db, "measurements", of_run | {"observable_id": definitions.of(card, each)} | measured)
    for each in content["intervals"]:
        interval = {name: value for name, value in each.items() if name != "observable"}
        observable_id = definitions.named(card, each["observable"])
        _insert(db, "run_intervals", of_run | {"observable_id": observable_id} | interval)
    for each in content["events"]:
        _insert(db, "events", of_run | each)
    for each in content["files"]:
        file_id = _insert(db, "files", of_run | {column: each[column] for column in _FILE})
        for copy in each["copies"]:
            _insert(db, "file_copies", {"file_id": file_id, "state": "verified"} | copy)
    imported = {
        "occurred_at": now,
        "severity": int(Severity.NO_ALARM),
        "source": "runs import",
        "message": f"{run} of {run.experiment}: imported from {card.path}",
        "user": client.user,
        "host": client.host,
    }
    _insert(db, "events", of_run | imported)
    # Its card is on the hosts.
    db.execute("UPDATE runs SET card_due = 0, changed_at = ? WHERE id = ?", [content["changed_at"], run_id])


def _insert(db: Database, table: str, row: Mapping[str, Any]) -> int:
    """Insert a row; returns its id, if it has one."""
    columns = ", ".join(row)
    marks = ", ".join("?" * len(row))
    values = [storable(value) for value in row.values()]
    return cast(
        "int",
        db.conn.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values).lastrowid,  # noqa: S608
    )
