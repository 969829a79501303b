"""Where the copy of a file is at a destination: ``EXPERIMENT/run_NNNN/ROUTER/FILE`` below its directory or remote.

The router is part of it, because files of two routers may have the same name. If a router has filed two files of the
same name in a run, which takes two working directories, the second is called as filing calls one (``.duplicate-1``).
At a remote of rclone, where names are text, control characters and bytes that are not UTF-8 are written ``\\xNN``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ioc.hosts.placing import names
from ioc.hosts.transport import from_shown, shown
from ioc.model import RunId
from ioc.topology.schema import Destination

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def place_of(destination: Destination, run: RunId, router: str, path: str, earlier: Sequence[str]) -> bytes:
    """Return the path of a copy; for rclone with the remote.

    `path` is that of the file, and `earlier` are those of the files of the same run and router that were filed before
    it; all are written as in the database.
    """
    taken: set[bytes] = set()
    for each in earlier:
        taken.add(_free_name(each, taken))
    name = _free_name(path, taken)
    base = destination.rclone or destination.directory or ""
    joint = "" if base.endswith((":", "/")) else "/"
    if destination.rclone:
        name = _CONTROL.sub(lambda found: b"\\x%02x" % found[0][0], shown(name).encode())
    return os.fsencode(f"{base}{joint}{run.directory}/{router}/") + name


def temporary_of(place: bytes, file_id: int) -> bytes:
    """Return the name of an unfinished copy beside its place; no program takes it for a data file."""
    return place.rpartition(b"/")[0] + b"/.copy-%d.partial" % file_id


def _free_name(path: str, taken: set[bytes]) -> bytes:
    """Return the name of a file, or the next one like it that is not taken."""
    return next(name for name in names(from_shown(path).rpartition(b"/")[2]) if name not in taken)
