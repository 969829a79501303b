# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The run card: everything about a run that the database knows, except samples and puts, as JSON for its directories.

`runs.card_due` says how far the card is: 1, something on it has changed (triggers set that, whichever process writes);
2, it was read since, and is being written; 0, every host has it. `take` makes 1 to 2 and `arrived` makes 2 to 0, so a
change between the two is never forgotten. A process that starts makes each 2 to 1 (`resume`).

The same rows give the same bytes: the card has no time of its writing, and no order that depends on ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ioc import __version__
from ioc.errors import Refused
from ioc.model import DocumentState, RunId
from ioc.ports import FINISHED
from ioc.rundb.dict_rows import Readable, dict_rows
from ioc.rundb.writing import open_for_editing

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA: Final = "attpc-ioc run card"
VERSION: Final = 1
MOST_EVENTS = 200
MOST_INTERVALS = 500
"""Limits of a card: it stays small, whatever went wrong."""

_BEGIN = f'{{\n "schema": {json.dumps(SCHEMA)},'.encode()
_RUN_COLUMNS = (
    *("title", "run_class", "state", "quality", "comment"),
    *("reserved_at", "started_at", "stopped_at", "adopted_at", "changed_at"),
    *("duration", "good_fraction", "bytes", "message", "config_name"),
)
_LISTS = {
    "configs": "SELECT ecc_server, describe, prepare, configure, config_digest, file_digests FROM run_configs "
    "WHERE run_id = :run ORDER BY length(ecc_server), ecc_server",
    "links": "SELECT DISTINCT source, router, host FROM files WHERE run_id = :run AND (source <> '' OR router <> '') "
    "ORDER BY source, router, host",
    "observables": "SELECT name, label, units, value_type, comment, display_order, source_pv, begin_value, end_value, "
    "minimum, maximum, mean, samples, worst_severity, disconnected_seconds, good_fraction "
    "FROM measurements JOIN observables ON observables.id = observable_id WHERE run_id = :run "
    "ORDER BY display_order, name, units, value_type, source_pv, begin_value, end_value",
    "intervals": "SELECT interlock, observables.name AS observable, began_at, ended_at, action, reason, low, high, "
    "value FROM run_intervals LEFT JOIN observables ON observables.id = observable_id WHERE run_id = :run "
    "ORDER BY began_at, interlock LIMIT :intervals",
    "events": "SELECT occurred_at, severity, source, message, user, host FROM events "
    "WHERE run_id = :run AND severity > 0 ORDER BY occurred_at, events.id LIMIT :events",
    "files": "SELECT id, router, host, path, bytes, source, moved_at, checksum, checksummed_at, purged_at FROM files "
    "WHERE run_id = :run ORDER BY length(router), router, host, path",
}
_COPIES = (
    "SELECT file_id, destination, file_copies.path, copied_at, verified_at FROM file_copies "
    "JOIN files ON files.id = file_id WHERE run_id = ? AND state = 'verified' ORDER BY destination"
)

Content = dict[str, Any]
"""A card as in its JSON."""


def file_name(run: RunId) -> str:
    """Name of the card of a run."""
    return f"run_{run.number:04d}.json"


def read(db: Readable, run_id: int) -> Content:
    """Read what is on the card of a run."""
    run = next(
        dict_rows(
            db,
            "SELECT runs.*, name AS experiment FROM runs JOIN experiments ON experiments.id = experiment_id "
            "WHERE runs.id = ?",
            [run_id],
        )
    )
    values = {"run": run_id, "intervals": MOST_INTERVALS, "events": MOST_EVENTS}
    lists = {name: list(map(_plain, dict_rows(db, sql, values))) for name, sql in _LISTS.items()}
    copies: dict[int, list[Content]] = {}
    for row in dict_rows(db, _COPIES, [run_id]):
        copies.setdefault(row.pop("file_id"), []).append(_plain(row))
    for file in lists["files"]:
        file["copies"] = copies.get(file.pop("id"), [])
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "software": f"attpc-ioc {__version__}",
        "experiment": run["experiment"],
        "run_number": run["run_number"],
        **_plain({column: run[column] for column in _RUN_COLUMNS}),
        **lists,
    }


def encode(content: Content) -> bytes:
    """Return a card as JSON in UTF-8, one line for each value and for each item of a list."""
    lines: list[str] = []
    for name, value in content.items():
        text = _json(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"  {_json(each)}" for each in value) + "\n ]"
        lines.append(f" {_json(name)}: {text}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode(errors="backslashreplace")


_RUN = ("schema", "experiment", "run_number", "reserved_at")
"""What tells a run from all others: after the loss of a database, a number may be used again."""


def is_earlier(text: bytes, card: bytes) -> bool:
    """Whether a file is a card of the same run as `card`, even a damaged or an empty one, which may be replaced."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return not text or begins_as_card(text)
    if not isinstance(content, dict):
        return False
    new = json.loads(card)
    return all(content.get(name) == new[name] for name in _RUN)


def begins_as_card(text: bytes) -> bool:
    """Whether a damaged file was a card once."""
    return text.startswith(_BEGIN)


@dataclass(frozen=True)
class Place:
    """A directory with files of a run, as `files` has it."""

    host: str
    router: str
    """Empty if not known."""
    directory: str


@dataclass(frozen=True)
class Card:
    """A card to be written."""

    run: RunId
    content: bytes
    places: tuple[Place, ...]
    """Those whose files were all purged are among them: the card stays, if the directory does."""


def due(db: Readable) -> list[int]:
    """The ids of the ended runs whose card has changed, the newest first."""
    ended = "state IN ('complete', 'failed', 'orphaned')"
    # SQLite takes the index of due cards only with its condition, word for word.
    rows = db.execute(f"SELECT id FROM runs WHERE card_due AND card_due = 1 AND {ended} ORDER BY id DESC")  # noqa: S608
    return [row[0] for row in rows.fetchall()]


def resume(db: Database) -> None:
    """Make the cards due that an earlier process was writing."""
    db.execute("UPDATE runs SET card_due = 1 WHERE card_due AND card_due = 2")


def take(db: Database, run_id: int) -> Card:
    """Read a card to write it: later changes make it due again."""
    db.execute("UPDATE runs SET card_due = 2 WHERE id = ?", [run_id])
    return card_of(db, run_id)


def card_of(db: Readable, run_id: int) -> Card:
    """Read a card, and where it belongs."""
    content = read(db, run_id)
    places = {Place(file["host"], file["router"], file["path"].rpartition("/")[0]): None for file in content["files"]}
    return Card(RunId(content["experiment"], content["run_number"]), encode(content), tuple(places))


def arrived(db: Database, run_id: int) -> None:
    """Every host has the card that was taken."""
    db.execute("UPDATE runs SET card_due = 0 WHERE id = ? AND card_due = 2", [run_id])


def ask_for(path: Path, experiment: str, numbers: Mapping[int, Mapping[str, Any]]) -> None:
    """Make the cards of these ended runs (rows of `runs` by number) due; works while an IOC runs.

    Raises:
        PeerError: the database cannot be written.
        Refused: a run is open; then none is due.
    """
    for number, row in numbers.items():
        if DocumentState(row["state"]) not in FINISHED:
            raise Refused(f"run {number} of {experiment} is {row['state']}: its card is written when it has ended")
    db = open_for_editing(path)
    try:
        with db.atomic():
            for row in numbers.values():
                db.execute("UPDATE runs SET card_due = 1 WHERE id = ?", [row["id"]])
    finally:
        db.close()


def _plain(row: Mapping[str, Any]) -> Content:
    """A row with values that JSON has: null for infinities, which SQLite stores."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
