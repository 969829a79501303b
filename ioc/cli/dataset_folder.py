"""The directory of a Parquet data set: which files are in it, what they were made from, and how they are replaced.

A file is written in the folder `_attpc-ioc`, which no reader of a table looks into, flushed to the disk, and moved to
its place in one step: at its place is always a whole file. `_attpc-ioc/state.db` has the fingerprint of what each file
was made from. A fingerprint is removed before its file is replaced and entered afterwards, so after a kill at any
moment the worst is a file without a fingerprint, which the next run writes again. The state is an SQLite file that is
locked while a program writes the data set; the system frees the lock when the program ends for any reason.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from ioc.errors import Refused
from ioc.rundb.connection import error_kind

NO_EXPERIMENT, NO_RUN = "-", -1
"""The partitions of what belongs to none. No experiment can have this name. pandas and Dask cannot read a partition of
null without help; and because of this one, every reader takes experiments for texts, even if all have numbers as names.
"""
_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The name that Hive gives the partition of an empty text, and of null."""
_ESCAPED = re.compile(r"""[\x00-\x1f"#%'*/:=?\\{\[\]^\x7f]""")
"""The characters that Hive writes as % and two hexadecimal digits."""
_OWN = "_attpc-ioc"


class Part(NamedTuple):
    """A file of the data set."""

    path: str
    """Relative to the directory of the data set."""
    fingerprint: str
    """Of what it is made from; empty if the file must always be written."""
    write: Callable[[Path], None]


def partition(table: str, experiment: str, run: int, file: str | None = None) -> str:
    """The path of a file of a table, as Hive names it; the name of the file is that of the table by default."""
    return f"{table}/experiment={encoded(experiment)}/run={run}/{encoded(file or table)}.parquet"


def encoded(value: str) -> str:
    """The value of a partition in the name of its folder."""
    if value == _NULL:
        return f"%{ord(value[0]):02X}{value[1:]}"
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", value) or _NULL


class DatasetFolder:
    """The directory of a data set while it is written; a context manager that holds its lock."""

    def __init__(self, root: Path, tables: Iterable[str]) -> None:
        self.root = root
        self._tables = tuple(tables)
        self._new = root / _OWN / "new.parquet"
        self._state: sqlite3.Connection | None = None
        self._known: dict[str, tuple[str, int]] = {}
        self._present: dict[str, int] = {}
        self.experiments: dict[str, str] = {}
        """When the experiments that are in the data set were created, by name."""
        self.written = self.unchanged = self.removed = 0

    def __enter__(self) -> Self:
        """Create the directory, or open it.

        Raises:
            Refused: it has other files, or another program writes it.
            OSError: it cannot be written.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        own = self.root / _OWN
        if not own.is_dir() and any(self.root.iterdir()):
            raise Refused(f"{self.root} has files that are not of a data set: name an empty or new directory")
        own.mkdir(exist_ok=True)
        try:
            self._state = _locked_state(own / "state.db")
            self._known = {row[0]: (row[1], row[2]) for row in self._state.execute("SELECT * FROM parts")}
            self.experiments = dict(self._state.execute("SELECT name, created_at FROM experiments"))
            self._present = dict(self._files())
        except BaseException as error:
            self._close()
            if isinstance(error, sqlite3.Error):
                raise self._refusal(error) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._new.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None

    def add_experiments(self, experiments: Iterable[tuple[str, str]]) -> None:
        """Note when these experiments were created."""
        with self._writing() as state:
            state.executemany("INSERT OR REPLACE INTO experiments VALUES (?, ?)", experiments)

    def forget_experiments(self, names: Iterable[str]) -> None:
        """Note that the data set has these no longer."""
        with self._writing() as state:
            state.executemany("DELETE FROM experiments WHERE name = ?", [(name,) for name in names])

    def put(self, parts: Iterable[Part]) -> None:
        """Write those of these files that are not there as they must be."""
        changed = [part for part in parts if not self._is_current(part)]
        with self._writing() as state:
            state.executemany("DELETE FROM parts WHERE path = ?", [(part.path,) for part in changed])
        for part in changed:
            part.write(self._new)
            size = _flushed(self._new)
            final = self.root / part.path
            _make_folders(final.parent)
            self._new.replace(final)
            _flushed(final.parent)
            self.written += 1
            with self._writing() as state:
                state.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (part.path, part.fingerprint, size))

    def _is_current(self, part: Part) -> bool:
        size = self._present.pop(part.path, None)
        current = bool(part.fingerprint) and self._known.get(part.path) == (part.fingerprint, size)
        self.unchanged += current
        return current

    def remove_others(self, experiments: Iterable[str]) -> None:
        """Remove the files of these experiments that were not `put`, and folders that are empty then."""
        folders = {f"experiment={encoded(each)}" for each in experiments}
        for path in sorted(self._present):
            if path.split("/")[1] in folders:
                with self._writing() as state:
                    state.execute("DELETE FROM parts WHERE path = ?", (path,))
                file = self.root / path
                file.unlink(missing_ok=True)
                with suppress(OSError):  # it has other files
                    file.parent.rmdir()
                    file.parent.parent.rmdir()
                self.removed += 1

    def _files(self) -> Iterator[tuple[str, int]]:
        """The files of the tables with their sizes."""
        for table in self._tables:
            for file in (self.root / table).glob("experiment=*/run=*/*.parquet"):
                yield file.relative_to(self.root).as_posix(), file.stat().st_size

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction of the state, which is on the disk when it ends.

        Raises:
            Refused: it cannot be written.
        """
        assert self._state is not None, "outside of `with`"
        try:
            with self._state:
                yield self._state
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> Refused:
        """Turn an error of the state file into a message for the user."""
        if error_kind(error) in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
            return Refused(f"{self.root} is being written by another attpc-ioc: wait until that ends")
        return Refused(f"{self.root / _OWN / 'state.db'} cannot be used ({error}): name a new directory")


def _locked_state(path: Path) -> sqlite3.Connection:
    """Open the state and lock it until it is closed.

    Raises:
        sqlite3.Error: another program has it, or it is no such file.
    """
    state = sqlite3.connect(path, timeout=0)
    try:
        state.executescript(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
            "BEGIN IMMEDIATE; "
            "CREATE TABLE IF NOT EXISTS parts (path TEXT PRIMARY KEY, fingerprint TEXT, bytes INTEGER); "
            "CREATE TABLE IF NOT EXISTS experiments (name TEXT PRIMARY KEY, created_at TEXT); "
            "COMMIT"
        )
    except BaseException:
        state.close()
        raise
    return state


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing; each is on the disk then."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir()
        _flushed(folder.parent)


def _flushed(path: Path) -> int:
    """Flush a file or a folder to the disk; returns its size."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
