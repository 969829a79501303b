"""Names of data files, and which of them the program that merges files takes.

attpc_merger takes every file of a directory whose path contains ``CoBo<k>_AsAd<a>`` and ``.graw``, hidden ones too. So
what is not data in its own right has no ``.graw`` in its name: a copy that is not complete, and a second file where the
name is taken, whose events the merger would find out of order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator

SUFFIX = b".graw"
_DUPLICATE = re.compile(rb"(.+)\.duplicate-\d+", re.DOTALL)
_DUPLICATE_BEFORE_SUFFIX = re.compile(rb"(.*)(_duplicate-\d+)(\.[^.]*)?", re.DOTALL)
"""Of files that are not data, and of data files until version 0.1."""
_PART = re.compile(rb"(.+)_\d{4}-\d\d-\d\dT[\d:.]+_(\d+)\.graw", re.DOTALL)
"""Of a dataRouter: the board, the time when the file was begun, and its number, 0 for the first after a Start."""
_BOARD = re.compile(rb"CoBo(\d{1,3})_AsAd\d")


def is_filed_data(name: bytes) -> bool:
    """Whether a file in the directory of a run is a data file, or a second one of the same name.

    Hidden files are not data: macOS creates ``._NAME`` beside each file on some file systems.
    """
    return not name.startswith(b".") and (name.endswith(SUFFIX) or _DUPLICATE.fullmatch(name) is not None)


def names(name: bytes) -> Iterator[bytes]:
    """Yield possible names of a file at its place: its own, then ``STEM.duplicate-N`` without ``.graw``.

    For a file that is not data, they are ``STEM_duplicate-N.SUFFIX``.
    """
    yield name
    stem, dot, suffix = name.rpartition(b".")
    for number in itertools.count(1):
        if SUFFIX in name:
            yield unmerged(name) + b".duplicate-%d" % number
        else:
            yield (stem or name) + b"_duplicate-%d" % number + (dot + suffix if stem else b"")


def original_name(name: bytes) -> bytes:
    """Return the original name of a file that was renamed when it was placed; empty if it kept its name."""
    if match := _DUPLICATE.fullmatch(name):
        return match[1] + SUFFIX
    match = _DUPLICATE_BEFORE_SUFFIX.fullmatch(name)
    return match[1] + (match[3] or b"") if match else b""


def gathered_name(name: bytes) -> bytes:
    """Return the name for the merger's directories: another one if version 0.1 called a second file ``….graw``."""
    match = _DUPLICATE_BEFORE_SUFFIX.fullmatch(name)
    return match[1] + match[2].replace(b"_", b".", 1) if match and match[3] == SUFFIX else name


def partial_name(name: bytes) -> bytes:
    """Return the name of a file that is not complete."""
    hidden = b"." + unmerged(name)
    return hidden.replace(SUFFIX, b"._graw") + b".partial"


def unmerged(name: bytes) -> bytes:
    """Return a name without ``.graw``."""
    return name.removesuffix(SUFFIX).replace(SUFFIX, b"_graw")


def begun_again(names: Iterable[bytes], seen: Collection[bytes]) -> set[bytes]:
    """Return the files that boards began by a new Start, after those of `seen`; others may be data still in flight."""
    boards = {part[1] for name in seen if (part := _PART.fullmatch(name))}
    again: set[bytes] = set()
    found: set[bytes] = set()
    for name in sorted(set(names).difference(seen)):
        part = _PART.fullmatch(name)
        if part and (part[1] in again or (part[1] in boards and int(part[2]) == 0)):
            again.add(part[1])
            found.add(name)
    return found


def cobo_of(name: bytes) -> int | None:
    """Return the number of the CoBo whose directory the merger expects this file in; None if it takes it from none."""
    match = _BOARD.search(name)
    return int(match[1]) if match and _is_text(name) else None


def is_merged(name: bytes) -> bool:
    """Whether the merger takes a file of this name from the directory of its CoBo, or stops at it."""
    return (SUFFIX in name and _BOARD.search(name) is not None) or not _is_text(name)


def is_in_the_way(path: bytes) -> bool:
    """Whether data cannot be merged from below this path: the merger looks for its patterns in the whole path."""
    return SUFFIX in path or cobo_of(path) is not None or is_merged(path)


def _is_text(name: bytes) -> bool:
    """The merger ends at a name that is not UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
