"""Where a command writes its data: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import click

from ioc.errors import Refused

_BESIDE = ("", "-wal", "-shm", "-journal", ".lock")
"""Of the database and the files beside it."""


@contextmanager
def whole_file(target: Path, database: Path) -> Generator[Path]:
    """Give a path to write to, which becomes `target` when all is written; otherwise `target` stays as it was.

    Raises:
        UsageError: `target` is a file of the database.
        Refused: it cannot be written.
    """
    try:
        _refuse_database(target, database)
        if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
            yield target
            return
        final = _real(target)  # a link stays one
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
def text_output(target: Path | None, database: Path, form: str) -> Generator[TextIO]:
    """As `whole_file`, for text; None is standard output.

    Raises:
        UsageError, Refused: as `whole_file`, or standard output has not all the characters.
    """
    if target is None:
        with _exact_stdout() as stream:
            yield stream
        return
    # Spreadsheets take a CSV file for UTF-8 only if it begins with a byte order mark.
    encoding = "utf-8-sig" if form == "csv" else "utf-8"
    with whole_file(target, database) as path, path.open("w", encoding=encoding, newline="") as stream:
        yield stream


def lenient_stdout() -> None:
    """Let text for people be shown whatever the encoding of the terminal: other characters by their numbers."""
    _reconfigure("backslashreplace")


def say_error(text: str) -> None:
    """Say what is wrong on standard error, in one line whatever a name that was given has in it."""
    click.echo(f"error: {' | '.join(text.splitlines())}", err=True)


def give_up_stdout() -> None:
    """Throw away what is left for standard output, which would fail once more when the program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream that is no file
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def reason(error: OSError) -> str:
    """What the system says."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def _exact_stdout() -> Generator[TextIO]:
    """Standard output for data, of which no character may become another."""
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
    return Path(os.path.realpath(path))  # a link to itself is an error for `Path.resolve`
