"""Leaves a small file of ours beside data files, never in place of somebody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum, auto

from ioc.hosts.transport import Transport, expand

LARGEST = 16 * 1024 * 1024
"""A larger file is not ours."""


class Left(Enum):
    """The outcome of leaving a file in a directory."""

    Written = auto()
    Present = auto()
    """It was there already, with the same content."""
    NoDirectory = auto()
    """There is no such directory (any more); it is never made."""
    Taken = auto()
    """A file that is not ours, a link or a directory has that name; it stays as it is."""


def leave(transport: Transport, directory: bytes, name: bytes, content: bytes, ours: Callable[[bytes], bool]) -> Left:
    """Write a file in one step unless it is there already; `ours` tells from its content which file may be replaced.

    Raises:
        PeerError: the host cannot be reached.
        OSError: the directory cannot be read, or the file not be written.
    """
    try:
        directory = expand(transport, os.fsdecode(directory))
        entries = transport.list_directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        return Left.NoDirectory
    path = directory + b"/" + name
    present = next((entry for entry in entries if entry.name == name), None)
    if present is not None:
        if not present.is_file or present.size > LARGEST:
            return Left.Taken
        there, _ = transport.read_end(path, LARGEST)
        if there == content:
            return Left.Present
        if not ours(there):
            return Left.Taken
    transport.replace(path, content)
    return Left.Written
