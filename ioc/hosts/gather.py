"""Puts files of the hosts into a directory of this machine, by hard link or copy.

A file appears under its name in one step, when it is complete, and never replaces another. So whatever interrupts a
gathering, doing it again continues with the files that are not there yet. Until then a copy has a name that the program
that merges files does not take (`ioc.model.graw.partial_name`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO

from ioc.errors import AttpcError, Refused
from ioc.hosts.local import LocalTransport
from ioc.hosts.transport import Entry, Transport, partial, reason, shown

_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class DestinationError(AttpcError):
    """The directory cannot be written, so no file can be gathered; the text says why."""


class _Different(Exception):
    """Two files are not the same."""


@dataclass(frozen=True)
class Gatherer:
    """Gathers files of one host; `link` files of this machine instead of copying them."""

    transport: Transport
    link: bool

    def gather(self, source: bytes, target: bytes) -> int:
        """Let `target` be the file `source` of the host, unless it is already; returns its size.

        Raises:
            PeerError: the host is lost.
            Refused: this file cannot be gathered; the text says why.
            DestinationError: the directory of `target` cannot be written.
        """
        try:
            entry = self.transport.look(source)
            if not entry.is_file:
                raise Refused("it must be a regular file")
            if not os.path.lexists(target):
                self._place(source, entry, target)
            elif not self._is_there(source, entry, target):
                raise Refused(f"{shown(target)} is another file, which stays: move it away to gather this one")
            else:
                _remove(partial(target))
        except FileNotFoundError:
            raise Refused("it is gone") from None
        except OSError as error:
            raise Refused(f"it cannot be read ({reason(error)})") from None
        return entry.size

    @property
    def _on_this_machine(self) -> bool:
        return isinstance(self.transport, LocalTransport)

    def _place(self, source: bytes, entry: Entry, target: bytes) -> None:
        if not (self.link and self._on_this_machine):
            self._copy(source, entry, target)
            return
        real = self.transport.real_path(source)
        try:
            os.link(real, target, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_LINK:
                raise Refused(f"it cannot be linked into the directory ({reason(error)}): use --copy") from None
            raise _not_written(target, error) from None

    def _copy(self, source: bytes, entry: Entry, target: bytes) -> None:
        unfinished = partial(target)
        try:
            with _new_file(unfinished) as file:
                self.transport.read(source, entry.size, _Writer(file, target))
                with _writing(target):
                    file.flush()
                    os.fsync(file.fileno())
                    os.utime(unfinished, (entry.modified, entry.modified))
            with _writing(target):
                LocalTransport().move(unfinished, target)
        finally:
            _remove(unfinished)

    def _is_there(self, source: bytes, entry: Entry, target: bytes) -> bool:
        """Whether `target` is a link to the source or a copy of it; its time tells that without reading both."""
        try:
            there = os.stat(target)  # noqa: PTH116 - paths are bytes here
            if self._on_this_machine and os.path.samestat(there, os.stat(source)):  # noqa: PTH116
                return True
            if there.st_size != entry.size or int(there.st_mtime) == entry.modified:
                return there.st_size == entry.size
            with open(target, "rb") as file:  # noqa: PTH123
                self.transport.read(source, entry.size, _Comparer(file))
        except (_Different, FileNotFoundError):
            return False
        return True


@dataclass(frozen=True)
class _Writer:
    file: BinaryIO
    target: bytes

    def __call__(self, piece: bytes) -> None:
        with _writing(self.target):
            self.file.write(piece)


@dataclass(frozen=True)
class _Comparer:
    file: BinaryIO

    def __call__(self, piece: bytes) -> None:
        if self.file.read(len(piece)) != piece:
            raise _Different


@contextlib.contextmanager
def _writing(target: bytes) -> Generator[None]:
    """Name the directory that cannot be written."""
    try:
        yield
    except FileExistsError:
        raise Refused(f"{shown(target)} has just been made by another program") from None
    except OSError as error:
        raise _not_written(target, error) from None


def _new_file(path: bytes) -> BinaryIO:
    """Open a new file. A partial file from a killed call may be a link to a complete file: it is removed, never written
    to."""
    with _writing(path):
        _remove(path)
        return open(path, "xb")  # noqa: PTH123


def _remove(path: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


def _not_written(target: bytes, error: OSError) -> DestinationError:
    return DestinationError(f"{shown(target.rpartition(b'/')[0])} cannot be written: {reason(error)}")
