"""Whether the books are right after a soak: numbers, files, samples and puts."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def complaints(database: Path, routers: Path, log: str, *, puts: int, uncertain: int) -> list[str]:
    """Everything that is wrong, a sentence each.

    `routers` is the directory of all data. `puts` is how many puts were answered, `uncertain` how many may have come.
    """
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        found = [*_numbers(db), *_files(db, routers), *_samples(db), *_puts(db, puts, uncertain)]
    return [*found, *_log(log)]


def _numbers(db: sqlite3.Connection) -> Iterator[str]:
    """Numbers count from 0 without gap; every run is closed; no two were open at one time."""
    for (experiment,) in db.execute("SELECT id FROM experiments").fetchall():
        numbers = [
            number
            for (number,) in db.execute(
                "SELECT run_number FROM runs WHERE experiment_id = ? ORDER BY reserved_at", (experiment,)
            )
        ]
        if numbers != list(range(len(numbers))):
            yield f"numbers of experiment {experiment} are {numbers}"
    for number, state, message in db.execute(
        "SELECT run_number, state, message FROM runs WHERE state NOT IN ('complete', 'failed', 'orphaned')"
    ):
        yield f"run {number} is still {state}: {message}"
    for one, other in db.execute(
        "SELECT one.id, other.id FROM runs AS one JOIN runs AS other ON one.id < other.id "
        "WHERE other.reserved_at < one.stopped_at"
    ):
        yield f"rows {one} and {other} of runs were open at the same time"


def _files(db: sqlite3.Connection, routers: Path) -> Iterator[str]:
    """Every file is recorded once, in the directory of its run, with its size; none is elsewhere."""
    names = ("*.graw", "*.duplicate-*")  # as second files of a name are called
    on_disk = {str(path): path.stat().st_size for name in names for path in routers.rglob(name)}
    recorded: dict[str, int] = {}
    for path, size, experiment, number in db.execute(
        "SELECT path, files.bytes, name, run_number FROM files JOIN runs ON runs.id = run_id "
        "JOIN experiments ON experiments.id = experiment_id"
    ):
        if path in recorded:
            yield f"{path} is recorded twice"
        if f"/{experiment}/run_{number:04d}/" not in path:
            yield f"{path} is recorded for run {number} of {experiment}"
        recorded[path] = size
    for path in sorted(on_disk.keys() | recorded.keys()):
        if on_disk.get(path) != recorded.get(path):
            yield f"{path} has {on_disk.get(path)} bytes on disk and {recorded.get(path)} in the database"
    for number, total, sizes in db.execute(
        "SELECT run_number, bytes, ifnull((SELECT sum(bytes) FROM files WHERE run_id = runs.id), 0) FROM runs"
    ):
        if total != sizes:
            yield f"run {number} has {total} bytes, but its files have {sizes}"


def _samples(db: sqlite3.Connection) -> Iterator[str]:
    """The statistics of a run count the samples that are stored for it."""
    for number, name, counted, stored in db.execute(
        "SELECT run_number, name, samples, (SELECT count(*) FROM sample_series JOIN sample_rows "
        "ON series_id = sample_series.id WHERE sample_series.run_id = runs.id "
        "AND sample_series.observable_id = observables.id AND NOT (value IS NULL AND alarm_id IN "
        "(SELECT id FROM alarms WHERE status = 'disconnected'))) AS stored "
        "FROM measurements JOIN runs ON runs.id = run_id JOIN observables ON observables.id = observable_id "
        "WHERE samples <> stored"
    ):
        yield f"run {number}: {counted} samples of {name} were counted, {stored} are stored"


def _puts(db: sqlite3.Connection, known: int, uncertain: int) -> Iterator[str]:
    [(rows,)] = db.execute("SELECT ifnull(sum(count), 0) FROM puts")
    if not known <= rows <= known + uncertain:
        yield f"{known} to {known + uncertain} puts came, but {rows} are recorded"


def _log(text: str) -> Iterator[str]:
    """No bug was logged, and no row lost."""
    for line in text.splitlines():
        if re.search(r"Traceback|internal error|rows are lost|were dropped|Task exception|never retrieved", line):
            yield f"the log has: {line[:1000]}"
