"""Changes a file that others read and edit as well: the whole change or nothing, and never over somebody else's.

Programs exclude each other by a lock on the file. An editor knows nothing of locks, so just before the new file takes
the place of the old one, that one is read again. The new file comes by a rename: a reader, a crash or a kill sees the
old one or the new one, whole. The lock belongs to the file that is replaced: who got it looks whether the name still
leads there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path

from ioc.errors import ConfigurationError, PeerTimeout, Problem, Refused
from ioc.topology.edit import Edit, edit
from ioc.topology.load import parse, read_text

_LOCK_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


def change_observables(path: Path, change: Edit) -> bool:
    """Change the observables of a topology file if the result has no errors; return whether it differs.

    Raises:
        ConfigurationError: the new file would have errors.
        Refused, PeerTimeout: as `edit` and `rewrite`.
    """

    def checked(text: str) -> str:
        new = edit(text, change, str(path))
        try:
            parse(new, str(path))
        except ConfigurationError as error:
            unchanged = Problem(str(path), 0, "is unchanged: with this change it would have errors")
            raise ConfigurationError((unchanged, *error.problems)) from None
        return new

    return rewrite(path, checked)


def rewrite(path: Path, change: Callable[[str], str]) -> bool:
    """Replace the text of a file by what `change` makes of it; return whether it differs. Blocks for up to 5 s.

    Mode and group stay, and a symbolic link stays one. If `change` raises an error, the file is unchanged.

    Raises:
        ConfigurationError: the file cannot be read.
        PeerTimeout: another program is changing the file.
        Refused: this user cannot write to it, or it was changed by another program meanwhile.
    """
    text = read_text(path, "a topology file")  # says what is wrong with it before it is opened for writing
    real = Path(os.path.realpath(path))
    try:
        with _locked(real):
            text = read_text(real, "a topology file")
            new = change(text)
            if new == text:
                return False
            _replace(real, text, new)
    except OSError as error:
        raise Refused(
            f"{path} cannot be changed by this user: {os.strerror(error.errno or 0)} ({error.filename or real})"
        ) from None
    return True


@contextlib.contextmanager
def _locked(real: Path) -> Generator[None]:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with real.open("r+b") as file:
            if _lock(file.fileno()) and os.path.samestat(os.fstat(file.fileno()), real.stat()):
                yield
                return
        if time.monotonic() > deadline:
            raise PeerTimeout(f"{real} is being changed by another program: try again")
        time.sleep(_PAUSE_SECONDS)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(real: Path, old: str, new: str) -> None:
    partial = real.with_name(f".{real.name}.attpc-ioc-new")
    partial.unlink(missing_ok=True)  # left by a kill
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(partial.unlink, missing_ok=True)
        with partial.open("xb") as file:
            file.write(new.encode())
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(real, partial)
        here = real.stat()
        for owner in ((-1, here.st_gid), (here.st_uid, -1)):
            with contextlib.suppress(OSError):  # only root may give a file to another user
                os.chown(partial, *owner)
        if real.read_bytes() != old.encode():
            raise Refused(f"{real} was changed by another program meanwhile: check it and try again")
        partial.replace(real)
        # The lock is gone with the old file: what has the name of `partial` now may be the next program's.
        on_failure.pop_all()
    with contextlib.suppress(OSError):  # some file systems have no directories to be flushed
        folder = os.open(real.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
