# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Which filed files have no checksum yet, and their checksums. Each function is called inside a transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass

from ioc.model import RunId
from ioc.rundb.dict_rows import Readable
from ioc.rundb.documents import OPEN
from ioc.rundb.times import to_text

Place = tuple[str, str]
"""Host and router of files, as `FiledFile` has them."""


@dataclass(frozen=True)
class DueFile:
    """A filed file without checksum."""

    id: int
    run: RunId
    router: str
    host: str
    path: str
    size: int


# With a plus, SQLite does not look for the files that were not purged, which are all.
_DUE = (
    f"checksum = '' AND +purged_at IS NULL AND run_id NOT IN (SELECT id FROM runs WHERE {OPEN}) "  # noqa: S608 - ours
    "AND files.id NOT IN (SELECT value FROM json_each(?))"
)


def backlog(db: Readable, passed_over: Collection[int] = ()) -> dict[Place, int]:
    """Return the bytes of all files of finished runs that have no checksum, without those `passed_over` (ids)."""
    rows = db.execute(
        f"SELECT host, router, sum(bytes) FROM files WHERE {_DUE} GROUP BY 1, 2",  # noqa: S608 - ours
        [json.dumps(list(passed_over))],
    )
    return {(host, router): size for host, router, size in rows}


def due_files(db: Readable, places: Collection[Place], passed_over: Collection[int], most: int) -> list[DueFile]:
    """Return files without checksum of these places, those of the newest runs first."""
    rows = db.execute(
        "SELECT files.id, experiments.name, run_number, router, files.host, path, files.bytes FROM files "  # noqa: S608
        "JOIN runs ON runs.id = run_id JOIN experiments ON experiments.id = experiment_id "
        f"WHERE {_DUE} AND (files.host, router) IN "
        "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) "
        "ORDER BY run_id DESC, files.id DESC LIMIT ?",
        [json.dumps(list(passed_over)), json.dumps(list(places)), most],
    )
    return [DueFile(key, RunId(experiment, number), *rest) for key, experiment, number, *rest in rows]


def save_checksum(db: Readable, file: DueFile, text: str, passed_over: Collection[int]) -> bool:
    """Store the checksum of a file; False if its row is no longer the one that was read."""
    changed = db.execute(
        "UPDATE files SET checksum = ?, checksummed_at = ? WHERE id = ? AND bytes = ? AND purged_at IS NULL",
        [text, to_text(time.time()), file.id, file.size],
    )
    ask_for_card(db, file, passed_over)
    return changed.rowcount == 1


def ask_for_card(db: Readable, file: DueFile, passed_over: Collection[int]) -> None:
    """Let the card of a file's run be written again if all its files on this host have their checksums.

    The other hosts ask for themselves: one that is away must not keep the checksums of all others from the card.
    """
    db.execute(
        "UPDATE runs SET card_due = 1 WHERE id = (SELECT run_id FROM files WHERE id = :id) AND EXISTS ("
        "SELECT 1 FROM files WHERE run_id = runs.id AND host = :host AND checksummed_at IS NOT NULL) AND NOT EXISTS ("
        "SELECT 1 FROM files WHERE run_id = runs.id AND host = :host AND checksum = '' AND purged_at IS NULL "
        "AND id NOT IN (SELECT value FROM json_each(:others)))",
        {"id": file.id, "host": file.host, "others": json.dumps(list(passed_over))},
    )
