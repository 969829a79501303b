"""Output of commands: tables and progress for people, data to stdout or to a file that is complete or absent."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from ioc.errors import Refused

Item = TypeVar("Item")
_BINARY = frozenset({"parquet", "hdf5"})
_BESIDE = ("", "-wal", "-shm", "-journal", ".lock")
"""Suffixes of the database and the files beside it."""


def table(lines: Iterable[Sequence[str]]) -> str:
    """The rows, all of the same length, as `table_of_columns`."""
    return table_of_columns(zip(*lines, strict=True))


def table_of_columns(columns: Iterable[Sequence[str]]) -> str:
    """Columns of the same length side by side, aligned, also with wide characters.

    White space inside a cell, also a line break, becomes one space. tabulate does the same, but takes five times as
    long, which is seconds for all runs of a large experiment.
    """
    return "\n".join(map(str.rstrip, map("  ".join, zip(*map(_aligned, columns), strict=True))))


def count(number: int, what: str) -> str:
    """Such as "1 run" and "2 runs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _aligned(column: Sequence[str]) -> Sequence[str]:
    """Pad the cells to the same width on a terminal."""
    text = "|".join(("", *column, ""))
    # Looking at all cells at once is faster, and few columns have such white space.
    odd = not text.isprintable() or any(each in text for each in ("  ", "| ", " |"))
    cells = [" ".join(cell.split()) for cell in column] if odd else column
    if text.isascii():
        width = max(map(len, cells), default=0)
        return [cell.ljust(width) for cell in cells]
    from wcwidth import wcswidth  # noqa: PLC0415 - few tables need it

    # A control character has no width (-1).
    widths = [len(cell) if cell.isascii() else max(wcswidth(cell), 0) for cell in cells]
    width = max(widths)
    return [cell + " " * (width - its) for cell, its in zip(cells, widths, strict=True)]


@contextmanager
def progress(items: Iterable[Item], length: int, label: str, *, shown: bool = True) -> Generator[Iterator[Item]]:
    """Yield the items (about `length`) with a progress bar on standard error if that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield iter(items)
        return
    steps = max(1, length // 200)
    with click.progressbar(items, length=length, label=label, file=sys.stderr, update_min_steps=steps) as bar:
        yield iter(bar)


@contextmanager
def whole_file(target: Path, database: Path | None = None) -> Generator[Path]:
    """Yield a path to write to, which becomes `target` when everything is written; on failure `target` is unchanged.

    Raises:
        UsageError: `target` is a file of the database.
        Refused: it cannot be written.
    """
    try:
        if database is not None:
            _refuse_database(target, database)
        if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
            yield target
            return
        final = _real(target)  # keep a symbolic link
        partial = final.with_name(f".attpc-ioc-{os.getpid()}.partial")
        try:
            yield partial
            if final.exists():
                shutil.copymode(final, partial)
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(f"{target} cannot be written: {reason(error)}") from error


@contextmanager
def data_output(target: Path | None, form: str, database: Path | None = None) -> Generator[Any]:
    """As `whole_file`, opened for text unless the format is binary; `target` None means standard output.

    Raises:
        UsageError, Refused: as `whole_file`, a binary format without `target`, or a character that standard output
            lacks.
    """
    if form in _BINARY:
        if target is None:
            raise click.UsageError(f"--format {form} needs --output FILE")
        with whole_file(target, database) as path:
            yield path
        return
    if target is None:
        with _exact_stdout() as stream:
            yield stream
        return
    # Spreadsheets read a CSV file as UTF-8 only if it begins with a byte order mark.
    encoding = "utf-8-sig" if form == "csv" else "utf-8"
    with whole_file(target, database) as path, path.open("w", encoding=encoding, newline="") as stream:
        yield stream


def lenient_stdout() -> None:
    """Print text for people in any terminal encoding: missing characters are shown as their numbers."""
    _reconfigure("backslashreplace")


def say_error(text: str) -> None:
    """Report an error on standard error, in one line even if it contains line breaks."""
    click.echo(f"error: {' | '.join(text.splitlines())}", err=True)


def give_up_stdout() -> None:
    """Discard pending standard output: writing it would fail again when the program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream that is not a file
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def reason(error: OSError) -> str:
    """The system's text for an error."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def _exact_stdout() -> Generator[TextIO]:
    """Standard output for data, where no character may be replaced."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        raise Refused("standard output is closed, but must be open: --output FILE writes to a file")
    _reconfigure("strict")
    try:
        yield stdout
    except UnicodeEncodeError as error:
        missing = error.object[error.start]
        raise Refused(
            f"standard output is {error.encoding}, which has no {missing!r}: --output FILE writes UTF-8"
        ) from error
    finally:
        lenient_stdout()


def _reconfigure(errors: str) -> None:
    stdout: object = sys.stdout
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(errors=errors)


def _refuse_database(target: Path, database: Path) -> None:
    for each in (Path(f"{_real(database)}{suffix}") for suffix in _BESIDE):
        if _real(target) == each or (target.exists() and each.exists() and target.samefile(each)):
            raise click.UsageError(f"--output {target} is a file of the run database, but must be another one")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` fails for a link to itself
