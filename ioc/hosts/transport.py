"""The interface of a machine, reached by SSH or this one."""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ioc.errors import PeerError
from ioc.model.graw import partial_name

# Exports of login scripts (PATH, QUOTING_STYLE, functions that shadow programs) must not change the output of a script.
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin", "LC_ALL": "C", "TZ": "UTC0"}
"""The environment of a script, in addition to HOME."""
END_SECONDS = 3.0
OUTPUT_LIMIT = 4 * 1024 * 1024
"""Maximum bytes of a script's output."""
_LOOK_SECONDS = 0.05
"""How often a silent program is checked."""
_LAST_SECONDS = 1.0
"""How long the status of a program may come after the end of its output."""


class CannotRenameError(OSError):
    """A file cannot be renamed although its target is free: most likely it is on another file system."""


@dataclass(frozen=True)
class Entry:
    """One name in a directory; a symbolic link is neither file nor directory."""

    name: bytes
    size: int
    is_file: bool
    is_directory: bool
    modified: int = 0
    """Time of its last change in whole POSIX seconds; only `Transport.look` tells it."""


class Program(Protocol):
    """A script under way. Its input stays open; when it ends, nobody waits for the script any more."""

    def read(self, seconds: float) -> bytes | None:
        """Return the next piece of its output, empty at the end, or None if none came within this time."""
        ...

    def status(self) -> int | None:
        """Return its exit status; None while it runs, and if it is not known."""
        ...

    def close(self) -> None:
        """End its input, which gives it `END_SECONDS` to end, and leave it."""


class Transport(Protocol):
    """Run scripts and handle files on one machine.

    Every method blocks and may be called from any thread; each ends within the transport's time-out unless it has its
    own. Paths are bytes, because file names are.

    Raises:
        PeerError: the machine cannot be reached, or did not answer in time (`PeerTimeout`).
        OSError: it refused the operation on this file.
    """

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        """Feed `script` to a POSIX ``sh`` with `arguments` as ``$1``…; returns its output.

        The script must be a function ``main``. Its exit status is ignored.
        """
        ...

    def start(self, script: str, arguments: Sequence[bytes]) -> Program:
        """Feed `script` to a POSIX ``sh`` as `run` does, but in the environment that the user has there.

        Returns when it has begun.
        """
        ...

    def check_files(self) -> None:
        """Check that files can be handled, once on each connection.

        Raises:
            PeerError: they cannot; the text names the remedy.
        """

    def home(self) -> bytes:
        """Return the user's home directory there."""
        ...

    def list_directory(self, directory: bytes) -> list[Entry]:
        """List a directory without following links."""
        ...

    def real_path(self, path: bytes) -> bytes:
        """Return `path`, which must exist, without links."""
        ...

    def look(self, path: bytes) -> Entry:
        """Return the entry of `path`, following links."""
        ...

    def read_end(self, path: bytes, limit: int) -> tuple[bytes, bool]:
        """Read at most the last `limit` bytes of a regular file; also return whether that is the whole file."""
        ...

    def read(self, path: bytes, size: int, take: Callable[[bytes], None]) -> None:
        """Give the first `size` bytes of a regular file, which may have more but not fewer, to `take` in pieces.

        `take` may raise anything but an OSError.
        """

    def write(self, path: bytes, content: bytes) -> None:
        """Write a file, replacing it if it exists."""

    def replace(self, path: bytes, content: bytes) -> None:
        """Write a whole file in one step: at any moment `path` has all of the old content, or all of the new.

        It is on disk as far as the machine can tell. Of an attempt that was cut short, a hidden file may be left,
        which the next one removes.
        """

    def make_directory(self, path: bytes) -> None:
        """Make one directory; an error if the name exists."""

    def move(self, source: bytes, target: bytes) -> None:
        """Rename without ever replacing `target`.

        Raises:
            FileExistsError: `target` is taken.
            CannotRenameError: it is free, but a rename is not possible.
        """

    def remove(self, path: bytes) -> None:
        """Remove a file."""

    def drop(self) -> None:
        """Let calls that hang in the connection fail; the next call reconnects. Does not block."""

    def close(self) -> None:
        """End everything; calls that still run fail soon."""


def entry_of(name: bytes, mode: int, size: int, modified: int = 0) -> Entry:
    """Make an `Entry` from the result of ``stat``."""
    return Entry(name, size, stat.S_ISREG(mode), stat.S_ISDIR(mode), modified)


def cut_short(path: bytes, size: int, missing: int) -> OSError:
    """Return the error for a file that ends before its size."""
    return OSError(errno.EIO, f"only {size - missing} of its {size} bytes can be read", path)


def fed_to_sh(script: str, arguments: Sequence[bytes]) -> bytes:
    """Return the input for ``sh -s``: the arguments are read by ``sh`` itself, never by the user's login shell."""
    quoted = " ".join(shlex.quote(os.fsdecode(argument)) for argument in arguments)
    return os.fsencode(f"{script}\nmain {quoted} </dev/null 2>/dev/null\n")


def follow(program: Program, over: threading.Event, take: Callable[[bytes], None]) -> int | None:
    """Give the output of a program to `take` until it ends, and an empty piece where none came for a moment.

    Returns its exit status; None if `over` was set before it ended. The program is closed in any case.

    Raises:
        PeerError: its end was not seen.
    """
    try:
        while not over.is_set():
            piece = program.read(_LOOK_SECONDS)
            if piece or (piece is None and program.status() is None):
                take(piece or b"")
                continue
            # It has ended. A child that left its process group may keep the output open for ever.
            while piece is None and (last := program.read(0)):
                take(last)
            until = time.monotonic() + _LAST_SECONDS
            while (status := program.status()) is None:
                if time.monotonic() > until:
                    raise PeerError("its end was not seen")
                time.sleep(_LOOK_SECONDS / 10)
            return status
        return None
    finally:
        program.close()


def expand(transport: Transport, path: str) -> bytes:
    """Return `path` as an absolute path on the machine (``~`` and relative paths: from its home directory)."""
    raw = os.fsencode(path)
    if raw.startswith(b"/"):
        return raw
    home = transport.home().rstrip(b"/")
    if raw == b"~":
        return home
    return home + b"/" + raw.removeprefix(b"~/")


def shown(path: bytes) -> str:
    """Return a path as text; bytes that are not UTF-8 become ``\\xNN``, as does a backslash that looks like that."""
    return _LOOKS_ESCAPED.sub(rb"\\x5c", path).decode(errors="backslashreplace")


def from_shown(text: str) -> bytes:
    """Return the path that `shown` showed."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode(errors="surrogateescape"))


_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_LOOKS_ESCAPED = re.compile(rb"\\(?=x[0-9a-f]{2})")


def reason(error: Exception) -> str:
    """Return the reason of a failure in the words of the system, without Python's ``[Errno 13]``."""
    if isinstance(error, OSError):
        # An answer over SFTP may have words but no number; str() of such an error begins "[Errno None] None".
        words = error.strerror or " ".join(str(argument) for argument in error.args if argument is not None)
        return words or "no reason was given"
    if isinstance(error, EOFError) and not str(error):
        return "the other end closed it"
    return str(error) or type(error).__name__


def reason_and_file(error: OSError) -> str:
    """Return the reason of a failure, and the file if known."""
    why = reason(error)
    if not error.filename:
        return why
    name = error.filename if isinstance(error.filename, bytes) else os.fsencode(str(error.filename))
    return f"{shown(name)}: {why}"


def partial(target: bytes) -> bytes:
    """Return the path of an unfinished file beside `target`: hidden, and of no kind that other programs take."""
    directory, _, name = target.rpartition(b"/")
    return directory + b"/" + partial_name(name)


def exists(transport: Transport, path: bytes) -> bool:
    try:
        transport.look(path)
    except FileNotFoundError:
        return False
    return True


def make_directories(transport: Transport, base: bytes, relative: str) -> bytes:
    """Make every directory of `relative` below `base`, which must exist; returns the whole path."""
    path = base
    for part in relative.split("/"):
        path = path + b"/" + os.fsencode(part)
        try:
            transport.make_directory(path)
        except OSError as failure:
            # Over SFTP "it exists already" looks like other failures, so check what exists.
            try:
                there = transport.look(path)
            except FileNotFoundError:
                raise failure from None
            if not there.is_directory:
                raise NotADirectoryError(f"{shown(path)} is a file, but must be a directory") from None
    return path
