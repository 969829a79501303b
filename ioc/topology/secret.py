"""Secrets: the topology has only the place of one, ``env:NAME`` or ``file:PATH``.

A secret is read each time it is used, so a new password needs no restart. No error contains any part of it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ioc.errors import PeerError

PLACE = re.compile(r"env:(?P<variable>[A-Za-z_][A-Za-z0-9_]*)|file:(?P<path>[^\0]+)")
_MOST = 64 * 1024
"""Largest file that is read, in bytes."""
FORM = "env:NAME (an environment variable) or file:PATH (a file with mode 600), never the secret itself"

_URL = re.compile(r"://|@")


def may_be_at(loc: tuple[str | int, ...]) -> bool:
    """Whether somebody may have put a secret in this place of a topology: then no error shows its value."""
    match loc:
        case ("notifications",) | ("notifications", "targets", *_) | ("logbook",) | ("logbook", int()):
            return True
        case ("logbook", int(), *rest):
            return "password" in rest or "url" in rest
        case _:
            return False


def may_be_in(loc: tuple[str | int, ...], value: object) -> bool:
    """As `may_be_at`, also because of what the value looks like."""
    return may_be_at(loc) or (loc[:1] == ("notifications",) and _URL.search(str(value)) is not None)


def file_of(place: str) -> str | None:
    """The path of a secret in a file; None for one in the environment."""
    found = PLACE.fullmatch(place)
    return found["path"] if found else None


def variable_of(place: str) -> str | None:
    """The environment variable of a secret; None for one in a file."""
    found = PLACE.fullmatch(place)
    return found["variable"] if found else None


def read_secret(place: str) -> str:
    """Return the secret, without the line end of its file.

    Raises:
        PeerError: there is none, or others may read its file.
    """
    found = PLACE.fullmatch(place)
    if found is None:
        raise PeerError(f"a secret must be given as {FORM}")
    if variable := found["variable"]:
        secret = os.environ.get(variable, "")
        if not secret:
            raise PeerError(f"the environment variable {variable} is not set")
        return secret
    return _read_file(Path(found["path"]).expanduser())


def _read_file(path: Path) -> str:
    try:
        # without O_NONBLOCK, opening a pipe in place of the file would block
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PeerError(f"{path} must be a file")
            if status.st_mode & 0o077:
                raise PeerError(
                    f"{path} has mode {stat.S_IMODE(status.st_mode):o}, but must have 600, so that nobody else can "
                    "read it"
                )
            secret = file.read(_MOST).decode().strip()
    except OSError as error:
        raise PeerError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PeerError(f"{path} must be UTF-8 text") from None
    if not secret:
        raise PeerError(f"{path} is empty")
    return secret
